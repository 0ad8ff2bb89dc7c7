# The experiment that all rules speak of, checked before any job starts; and where logs and benchmarks go.
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.settings.enums import RerunTrigger

from mspn.errors import UserError
from mspn.experiment.config import parse_size
from mspn.experiment.grid import load_grid
from mspn.experiment.identity import REVISIONS, code_hash
from mspn.experiment.load import claim_results, load_experiment, missing_sources, scale_name
from mspn.experiment.networks import is_own
from mspn.experiment.paper import FIGURES as PAPER
from mspn.experiment.tuning import round_evaluations, searched
from mspn.files import project_file

STARTED = time.time()
CONTENT_DECIDES = 2 * 10**9


# What decides a result stands in a rule's parameters and in paths, so that neither another text of a command nor
# another environment of the same revisions repeats weeks of training. Snakemake sets its triggers only after it has
# read the rules, so that the workflow's own property is narrowed. One that includes this decides for itself.
class OwnTriggers(type(workflow)):
    @property
    def rerun_triggers(self):
        return set(super().rerun_triggers) - {RerunTrigger.CODE, RerunTrigger.SOFTWARE_ENV}

    @property
    def dag_settings(self):
        return vars(self)["dag_settings"]

    @dag_settings.setter
    def dag_settings(self, settings):
        # A plain copy gives files new times: up to this size (bytes) their content says whether they changed.
        settings.max_checksum_file_size = max(settings.max_checksum_file_size, CONTENT_DECIDES)
        vars(self)["dag_settings"] = settings


# What concerns the whole process is left alone where another workflow has this one as a module.
OWN = Path(str(workflow.current_basedir)).resolve().parents[1] / "Snakefile"
if Path(workflow.main_snakefile).resolve() == OWN:
    workflow.__class__ = OwnTriggers
    # Jobs use the Python that Snakemake runs in, also where the environment is not activated.
    os.environ.update(PATH=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
    # A cluster warns a job before its time is up by SIGUSR1, which goes to all its processes: it is for the
    # training, which saves and leaves, and must not kill the Snakemake around it.
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    if unknown := set(config) - {"scale"}:
        raise WorkflowError(f"--config: unknown key {sorted(unknown)}; allowed: scale")

# A resource of the rules, not a parameter, so that another spelling of the same scale repeats nothing.
SCALE = str(config.get("scale", "demo"))
try:
    EXPERIMENT = load_experiment(SCALE)
    SCALE = scale_name(SCALE)
except UserError as error:
    raise WorkflowError(str(error)) from None
if missing := [
    path for path in (PAPER, *missing_sources(EXPERIMENT)) if not project_file(Path(path)).is_file()
]:
    raise WorkflowError(
        f"scale {EXPERIMENT.scale.name}: {len(missing)} files that it needs are not there: "
        f"{', '.join(map(str, missing[:5]))}; put them there, or mend the scale's file (`mspn doctor` says more)"
    )

# Networks of one's own are built and tried before any job, by a process of its own: torch takes long to import.
if workflow.is_main_process and any(map(is_own, EXPERIMENT.networks())):
    check = [sys.executable, "-m", "mspn", "check-networks", "--scale", SCALE]
    done = subprocess.run(check, capture_output=True, text=True)
    if done.returncode:
        raise WorkflowError(done.stderr.strip().removeprefix("mspn: "))

RESULTS = str(EXPERIMENT.results)
REPORTS = str(EXPERIMENT.reports)
# With `--default-storage-provider` Snakemake copies what a job reads from the storage, and what it writes to it: all of
# that is declared then, folders whole, and the job is told where the copies lie. Without, it works in place.
STORAGE = bool(workflow.storage_settings.default_storage_provider)
LOGS = f"{RESULTS}/logs"
# Where a job has a file: the storage's copy, else the file itself.
copied = workflow.modifier.path_modifier.apply_default_storage
JOB_ROOT, JOB_LOGS = str(Path(copied(RESULTS)).parents[1]), str(copied(LOGS))
# For `--software-deployment-method conda`; the local environment holds the same packages.
ENVIRONMENT = "../../environment.yml"
BENCHMARKS = f"{RESULTS}/benchmarks"
# Rules that may use GPUs: the profile gives them (resources gpu or gres), the launcher checks and leases them.
LAUNCH = (
    "MSPN_ROOT={resources.root:q} python -m mspn launch"
    " --gpus {resources.gpu} --gres={resources.gres:q} --share {resources.gpu_share} --"
)

# A cluster may kill a job for its memory: the profile asks for more at each attempt. What ends in an error on one's
# own machine does so again.
RETRIES = 0 if workflow.local_exec else 3


wildcard_constraints:
    dataset="[a-z0-9-]+",
    size=r"\d+x\d+",
    seed=r"\d+",
    run="[a-z0-9.-]+",
    detector="[a-z0-9.-]+",
    training="[a-z0-9-]+",
    trunk="[a-z0-9-]+",
    step=r"\d+",
    round=r"\d+",


def in_place(path):
    """An input that is read where it lies, also where results are copied from a storage and to it."""
    return local(str(path)) if STORAGE else str(path)


def along(path):
    """A file of this project as an input: the working directory's, or the one that came with the package."""
    return in_place(project_file(Path(path)))


def whole(folder, last):
    """What stands for a folder as an input: the file that is written last, or the folder, where it is copied."""
    return folder if STORAGE else f"{folder}/{last}"


def whole_output(folder, last):
    """The same as an output. Not declared, the rest of a folder survives an interrupted job, which goes on from it."""
    return directory(folder) if STORAGE else f"{folder}/{last}"


def main_dataset(run):
    """The data set whose validation split a run is evaluated on."""
    return run.datasets[0]


def main_datasets():
    """The data sets that runs are evaluated on, each once."""
    return list(dict.fromkeys(map(main_dataset, EXPERIMENT.grid.values())))


def network_sizes():
    """What decides the cost of each run's network."""
    width = EXPERIMENT.scale.width
    return {r.run: [r.network, r.supervision, width, *EXPERIMENT.input_size(r)] for r in EXPERIMENT.trained}


def machine_cores():
    """All cores of this machine; 1 where they are not limited, as a cluster places the jobs.

    Nor does a job on a cluster take all that it sees of its node: it was submitted with 1.
    """
    try:
        return 1 if workflow.remote_exec else workflow.cores
    except WorkflowError:
        return 1


def dataset_ready(name, split):
    """What must be there before a split can be read: what `mspn synth` writes last, or the annotations."""
    data = EXPERIMENT.scale.datasets[name]
    if data.kind == "synth":
        return [whole(f"{RESULTS}/data/{name}", "dataset.json")]
    return [in_place(path) for path in EXPERIMENT.annotation_files(name, split)]


def training_data(run):
    """The training split's annotations and the crop stores of a run."""
    for dataset in run.datasets:
        yield from dataset_ready(dataset, "train")
        if EXPERIMENT.scale.crops != "exact":
            yield whole(str(EXPERIMENT.crop_store(dataset, EXPERIMENT.input_size(run))), "manifest.json")


def training_inputs(wildcards):
    """What a training reads: its data, and the trunk that it branches off from."""
    run, seed = EXPERIMENT.training(wildcards.training)
    recipe = EXPERIMENT.recipe(run)
    yield from training_data(run)
    if recipe.cooldown is not None:
        yield from trunk_files(EXPERIMENT.trunk_folder(run, seed, recipe.cooldown_start))


def trunk_files(folder):
    """What goes on from a trunk reads: its state, which is written last, and the journal beside."""
    others = ("log.jsonl", "timing.jsonl", "attempts.json")
    return [f"{folder}/{name}" for name in ("state.ckpt", *(others if STORAGE else ()))]


def trunk_inputs(wildcards):
    """What a trunk reads: its data, and its own state at the step before at which a training branches off."""
    run, seed, steps = EXPERIMENT.trunks()[wildcards.trunk]
    yield from training_data(run)
    for step in [step for step in steps if step < int(wildcards.step)][-1:]:
        yield from trunk_files(EXPERIMENT.trunk_folder(run, seed, step))


def evaluation_weights(wildcards):
    """The weights of a run, or of all members of an ensemble."""
    run = EXPERIMENT.run(wildcards.run)
    members = [EXPERIMENT.run(name) for name in run.members] or [run]
    folders = [EXPERIMENT.training_folder(member, int(wildcards.seed)) for member in members]
    return [f"{folder}/weights.safetensors" for folder in folders]


def report_inputs(wildcards):
    """Every training's record and every evaluation of the grid at this scale."""
    for run, seed, detector in EXPERIMENT.evaluations():
        folder = EXPERIMENT.evaluation_folder(run, seed, detector)
        yield f"{folder}/metrics.json"
        for name in ("predictions.json", "matches.npz"):
            # Results that were put back from a small bundle have none, and are not measured again for that.
            if (folder / name).exists() or not (folder / "metrics.json").exists():
                yield f"{folder}/{name}"
    for run, seed in EXPERIMENT.trainings().values():
        for name in ("environment.json", "config.json", "log.jsonl"):
            yield f"{EXPERIMENT.training_folder(run, seed)}/{name}"


def report_outputs(page, **others):
    """The files that every report has; where they are copied, the folder with the pictures that only some have."""
    return {"page": directory(REPORTS)} if STORAGE else {"page": page, **others}


def measurements():
    """The figures of every evaluation that the report is about; a search's table is about its own."""
    if EXPERIMENT.scale.search:
        return []
    evaluations = EXPERIMENT.evaluations()
    return [f"{EXPERIMENT.evaluation_folder(*one)}/metrics.json" for one in evaluations]


def detections_of_report():
    """What each detector's boxes measure, on the data sets that runs are evaluated on."""
    pairs = {(main_dataset(run), detector): None for run, _, detector in EXPERIMENT.evaluations()}
    return [f"{RESULTS}/boxes/{dataset}/{detector}.metrics.json" for dataset, detector in pairs]


def reference_run():
    """The manifest of the reference run that the repository keeps, if there is one."""
    path = Path("results/reference/bench/manifest-sha256.txt")
    return [in_place(path)] if path.is_file() else []


def scored(run, seed, detector):
    """An evaluation, and the training's record behind it."""
    yield f"{EXPERIMENT.evaluation_folder(run, seed, detector)}/metrics.json"
    yield f"{EXPERIMENT.training_folder(run, seed)}/environment.json"


def round_inputs(wildcards):
    """The results of a network's candidates in a round of the search: of all in the first, of who is left."""
    for run, seed, detector in round_evaluations(EXPERIMENT, wildcards.run, int(wildcards.round), survivors):
        yield from scored(run, seed, detector)


def survivors(row, number):
    """The candidates that a round of the search keeps, once it is decided."""
    with checkpoints.halve.get(run=row, round=number).output[0].open() as file:
        return json.load(file)["kept"]


def search_inputs(wildcards):
    """The last round of every run's search."""
    last = len(EXPERIMENT.scale.search.rounds)
    return [f"{RESULTS}/search/{row}-round-{last}.json" for row in searched(EXPERIMENT)]
