# The experiment that all rules speak of, checked before any job starts; and where logs and benchmarks go.
import os
import signal
import sys
import time
from pathlib import Path

from snakemake.exceptions import WorkflowError

from mspn.errors import UserError
from mspn.cluster.failures import explain_files
from mspn.experiment.experiment import load_experiment
from mspn.experiment.fingerprint import fingerprint
from mspn.experiment.grid import DATA

# Jobs use the Python that Snakemake runs in, also where the environment is not activated.
os.environ.update(PATH=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))

# A cluster warns a job before its time is up by SIGUSR1, which goes to all its processes: it is for the training,
# which saves and leaves, and must not kill the Snakemake around it.
signal.signal(signal.SIGUSR1, signal.SIG_IGN)
STARTED = time.time()

if unknown := set(config) - {"scale"}:
    raise WorkflowError(f"--config: unknown key {sorted(unknown)}; allowed: scale")

try:
    EXPERIMENT = load_experiment(config.get("scale", "demo"))
except UserError as error:
    raise WorkflowError(str(error)) from None

SCALE = config.get("scale", "demo")
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
    dataset="coco|external|mpii",
    size=r"\d+x\d+",
    seed=r"\d+",
    run="[a-z0-9.-]+",
    detector="[a-z0-9.-]+",
    training="[a-z0-9-]+",


def main_dataset(run):
    """The data set whose validation split a run is evaluated on."""
    return DATA[run.data][0]


def dataset_ready(name, split):
    """What must be there before a split can be read: what `mspn synth` writes last, or the annotations."""
    data = EXPERIMENT.scale.datasets[name]
    if data.kind == "synth":
        return [f"{RESULTS}/data/{name}/dataset.json"]
    return [str(path) for path in EXPERIMENT.annotation_files(name, split)]


def training_inputs(wildcards):
    """The training split's annotations, the crop stores and the pretrained weights of a training."""
    run, _ = EXPERIMENT.training(wildcards.training)
    for dataset in DATA[run.data]:
        yield from dataset_ready(dataset, "train")
        if EXPERIMENT.scale.crops == "store":
            yield f"{EXPERIMENT.crop_store(dataset, EXPERIMENT.input_size(run))}/manifest.json"


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


def search_inputs(wildcards):
    """Every evaluation of the search, and the training's record behind it."""
    for run, seed, detector in EXPERIMENT.evaluations():
        yield f"{EXPERIMENT.evaluation_folder(run, seed, detector)}/metrics.json"
        yield f"{EXPERIMENT.training_folder(run, seed)}/log.jsonl"
        yield f"{EXPERIMENT.training_folder(run, seed)}/environment.json"
