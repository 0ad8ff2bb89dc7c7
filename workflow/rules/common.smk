# The experiment that all rules speak of, checked before any job starts; and where logs and benchmarks go.
import json
import os
import signal
import sys
import time
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.settings.enums import RerunTrigger

from mspn.errors import UserError
from mspn.experiment.config import parse_size
from mspn.experiment.identity import REVISIONS, code_hash
from mspn.experiment.load import load_experiment, missing_sources, scale_name
from mspn.experiment.paper import FIGURES as PAPER
from mspn.experiment.tuning import round_evaluations, searched

# Jobs use the Python that Snakemake runs in, also where the environment is not activated.
os.environ.update(PATH=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))

# A cluster warns a job before its time is up by SIGUSR1, which goes to all its processes: it is for the training,
# which saves and leaves, and must not kill the Snakemake around it.
signal.signal(signal.SIGUSR1, signal.SIG_IGN)
STARTED = time.time()


# What decides a result stands in a rule's parameters and in paths, so that neither another text of a command nor
# another environment of the same revisions repeats weeks of training. Snakemake sets its triggers only after it has
# read the rules, so that the workflow's own property is narrowed. One that includes this decides for itself.
class OwnTriggers(type(workflow)):
    @property
    def rerun_triggers(self):
        return set(super().rerun_triggers) - {RerunTrigger.CODE, RerunTrigger.SOFTWARE_ENV}


OWN = Path(str(workflow.current_basedir)).resolve().parents[1] / "Snakefile"
if Path(workflow.main_snakefile).resolve() == OWN:
    workflow.__class__ = OwnTriggers

if unknown := set(config) - {"scale"}:
    raise WorkflowError(f"--config: unknown key {sorted(unknown)}; allowed: scale")

# A resource of the rules, not a parameter, so that another spelling of the same scale repeats nothing.
SCALE = str(config.get("scale", "demo"))
try:
    EXPERIMENT = load_experiment(SCALE)
    SCALE = scale_name(SCALE)
except UserError as error:
    raise WorkflowError(str(error)) from None
if missing := [path for path in (PAPER, *missing_sources(EXPERIMENT)) if not Path(path).is_file()]:
    raise WorkflowError(
        f"scale {EXPERIMENT.scale.name}: {len(missing)} files that it needs are not there: "
        f"{', '.join(map(str, missing[:5]))}; put them there, or mend the scale's file (`mspn doctor` says more)"
    )

RESULTS = str(EXPERIMENT.results)
REPORTS = str(EXPERIMENT.reports)
LOGS = f"{RESULTS}/logs"
# For `--software-deployment-method conda`; the local environment holds the same packages.
ENVIRONMENT = "../../environment.yml"
BENCHMARKS = f"{RESULTS}/benchmarks"
# Rules that may use GPUs: the profile gives them (resources gpu or gres), the launcher checks and leases them.
LAUNCH = (
    "python -m mspn launch --gpus {resources.gpu} --gres={resources.gres:q} --share {resources.gpu_share} --"
)


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
        return [f"{RESULTS}/data/{name}/dataset.json"]
    return [str(path) for path in EXPERIMENT.annotation_files(name, split)]


def training_data(run):
    """The training split's annotations and the crop stores of a run."""
    for dataset in run.datasets:
        yield from dataset_ready(dataset, "train")
        if EXPERIMENT.scale.crops != "exact":
            yield f"{EXPERIMENT.crop_store(dataset, EXPERIMENT.input_size(run))}/manifest.json"


def training_inputs(wildcards):
    """What a training reads: its data, and the trunk that it branches off from."""
    run, seed = EXPERIMENT.training(wildcards.training)
    recipe = EXPERIMENT.recipe(run)
    yield from training_data(run)
    if recipe.cooldown is not None:
        yield f"{EXPERIMENT.trunk_folder(run, seed, recipe.cooldown_start)}/state.ckpt"


def trunk_inputs(wildcards):
    """What a trunk reads: its data, and its own state at the step before at which a training branches off."""
    run, seed, steps = EXPERIMENT.trunks()[wildcards.trunk]
    yield from training_data(run)
    for step in [step for step in steps if step < int(wildcards.step)][-1:]:
        yield f"{EXPERIMENT.trunk_folder(run, seed, step)}/state.ckpt"


def evaluation_weights(wildcards):
    """The weights of a run, or of all members of an ensemble."""
    run = EXPERIMENT.run(wildcards.run)
    members = [EXPERIMENT.run(name) for name in run.members] or [run]
    folders = [EXPERIMENT.training_folder(member, int(wildcards.seed)) for member in members]
    return [f"{folder}/weights.safetensors" for folder in folders]


def report_inputs(wildcards):
    """Every training's record and every evaluation of the grid at this scale."""
    for run, seed, detector in EXPERIMENT.evaluations():
        yield f"{EXPERIMENT.evaluation_folder(run, seed, detector)}/metrics.json"
    for run, seed in EXPERIMENT.trainings().values():
        yield f"{EXPERIMENT.training_folder(run, seed)}/environment.json"


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
