"""What a scale's networks, trainings and files measure: multiply-adds, speed, bytes.

A training's speed is a measured throughput (``mspn bench train``) where there is one; else a share of a GPU's
peak rate, which is an assumption and is said to be one. One multiply-add is two FLOPs; a training step costs
three forward passes (forward, and backward to inputs and to weights).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

from mspn.cluster.remembered import remembered
from mspn.errors import UserError
from mspn.experiment.config import SynthData
from mspn.experiment.experiment import Experiment
from mspn.experiment.grid import Run
from mspn.experiment.identity import code_hash
from mspn.experiment.networks import is_own, network_spec
from mspn.files import read_json

# Peak rates in TFLOP/s, from NVIDIA's data sheets of V100 SXM2, A100 SXM, H100 SXM and H200 SXM: dense matrix
# products in bf16 (V100: fp16) and tf32 (which a V100 has not), and plain fp32.
PEAKS = {
    "v100": {"bf16": 125.0, "tf32": 15.7, "fp32": 15.7},
    "a100": {"bf16": 312.0, "tf32": 156.0, "fp32": 19.5},
    "h100": {"bf16": 989.0, "tf32": 494.0, "fp32": 67.0},
    "h200": {"bf16": 989.0, "tf32": 494.0, "fp32": 67.0},
}
# Of the peak that these networks reach in training: an assumption, not measured. Of an H100 in bf16 it is
# 1,460 images/s of MSPN 2 at 256x192: expected are 1,200 to 1,600 compiled, 800 to 1,100 where it is not.
SHARE = 0.1
BACKWARD = 3  # forward passes that a training step costs
FLIP = 2  # forward passes that a box costs in the flip test
# Boxes that a detector keeps of COCO's pictures, and of a picture of any other data set.
COCO_BOXES = 100_000
BOXES_AN_IMAGE = 20  # of synthetic data
# Bytes of a stored crop: it reaches beyond the input for the augmentation, but is no finer than its picture.
# Measured on 86 real COCO persons: 0.48 MB for 256x192, 0.50 MB for 384x288.
STORED_A_PIXEL, STORED_MOST = 10.0, 5e5
PREDICTION_BYTES = 700  # of a box in predictions.json
# Bytes of the data sets unpacked: COCO's site says 18 GB and 1 GB of pictures, MPII's 12.9 GB.
DATA_BYTES = {"coco": 20e9, "external": 20e9, "mpii": 13e9}
THROUGHPUT = Path("results/bench")
# What a job that reads a data set's annotations takes of memory: COCO's, or synthetic ones.
MEMORY_MB = {"real": 16_000, "synthetic": 2_000}
LIGHT_MB = 4_000  # of a job that reads none
# The rules that run as jobs of a cluster, and whether they read a data set.
READING = ("synth", "crops", "detect", "trunk", "train", "evaluate", "ceiling", "report")
RULES = {**dict.fromkeys(READING, True), **dict.fromkeys(("flops", "trained_flops", "latency"), False)}
# Minutes that a rule's job is given at least; COCO's crops take hours on few cores.
LEAST_MIN = {**dict.fromkeys(RULES, 60), "crops": 240, "synth": 240}


@dataclass(frozen=True)
class Size:
    """A network's size at a run's input: multiply-adds of a training forward pass, and parameters."""

    macs: float
    parameters: int


@dataclass(frozen=True)
class Speed:
    """How fast this plan takes the GPUs to be, and why."""

    flops_per_s: float
    source: str
    measured: dict[str, float] = field(default_factory=dict)  # training key -> samples per second on one GPU


def bench_key(network: str, size: Sequence[int], width: float, precision: str) -> str:
    """What a measured throughput depends on, as one text."""
    return f"{network} {size[0]}x{size[1]} width {width:g} {precision}"


def read_throughput(
    folder: Path, cpu: bool = False, options: Mapping[str, Any] | None = None
) -> tuple[dict[str, float], str]:
    """Images per second by ``bench_key`` as ``mspn bench train`` measured them, and the device.

    Every ``train*.json`` of the folder is read, that of ``make test-gpu`` among them: what was measured on
    GPUs, or with ``cpu`` on CPUs, with the ``compile`` and ``gradient_checkpointing`` of ``options`` (off
    without them). Empty where nothing was measured. UserError for a file of another form, or several devices.
    """
    found: dict[str, float] = {}
    devices: set[str] = set()
    for path in sorted(folder.glob("train*.json")) if folder.is_dir() else ():
        try:
            value = read_json(path, "benchmark's result")
            # Of make test-gpu, or of the benchmark itself.
            for row in value["bench"] if isinstance(value, dict) else value:
                if "failed" in row:
                    continue
                key = bench_key(row["network"], row["input_size"], row.get("width", 1.0), row["precision"])
                if _as_trained(row, options or {}) and ("cuda" in row) != cpu:
                    found[key] = float(row["images_per_s"])
                    devices.add(row["device"])
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise UserError(
                f"{path}: not what `mspn bench train --json` prints ({error!r}); remove it or measure again"
            ) from None
    if len(devices) > 1:
        raise UserError(f"{folder}: measured on {', '.join(sorted(devices))}; keep the files of one device")
    return found, "".join(devices)


def _as_trained(row: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    own = row["options"]
    return (
        own["channels_last"]
        and own["compile"] == wanted.get("compile", "off")
        and own["gradient_checkpointing"] == wanted.get("gradient_checkpointing", False)
        and not row.get("variant", "").endswith("former")
    )


def network_sizes(experiment: Experiment) -> dict[str, Size]:
    """Each trained run's size at this scale's input and width; builds the networks without weights."""
    import torch

    from mspn.networks.build import definition, outline
    from mspn.networks.macs import FvcoreRules

    found: dict[str, Size] = {}
    seen: dict[str, Size] = {}
    for run in experiment.trained:
        key = repr((definition(run, experiment.scale.width), experiment.input_size(run)))
        if key not in seen:
            network = outline(run, experiment.scale.width)
            with torch.device("meta"), torch.no_grad(), FvcoreRules() as rules:
                network(torch.zeros(1, 3, *experiment.input_size(run)), all_stages=True)
            seen[key] = Size(rules.convolutions, sum(p.numel() for p in network.parameters()))
        found[run.run] = seen[key]
    return found


def count_parameters(experiment: Experiment) -> dict[str, int]:
    """Each trained run's parameters: of `network_sizes` what takes no forward pass, and is remembered."""
    runs, width = experiment.trained, experiment.scale.width

    def find() -> tuple[dict[str, int], tuple[()]]:
        from mspn.networks.build import outline

        networks = {run.run: outline(run, width) for run in runs}
        return {name: sum(p.numel() for p in one.parameters()) for name, one in networks.items()}, ()

    if any(is_own(run.network) for run in runs):  # another module's code, whose changes nobody here sees
        return find()[0]
    question = [[run.run, network_spec(run.network), run.supervision, run.joint_set, width] for run in runs]
    code = code_hash("mspn/networks", "baselines", "mspn/experiment")
    found: dict[str, int] = remembered(f"{experiment.results}: parameters", [question, code], find)
    return found


def choose_speed(
    experiment: Experiment,
    sizes: dict[str, Size],
    gpu: str,
    share: float,
    bench: Path,
    options: Mapping[str, Any] | None = None,
) -> Speed:
    """The measured throughput if it says something about this scale's networks; else the assumption.

    Networks that were not measured take the mean rate of FLOPs of those that were.
    """
    measured, device = read_throughput(bench, gpu == "cpu", options)
    rates = [
        measured[training_key(experiment, run)] * training_flops(sizes[run.run])
        for run in experiment.trained
        if training_key(experiment, run) in measured
    ]
    if rates:
        mean = sum(rates) / len(rates)
        rest = f"networks not measured at the mean rate, {mean / 1e12:.3g} TFLOP/s"
        return Speed(mean, f"measured on {device} ({bench}); {rest}", measured)
    if gpu not in PEAKS:
        raise UserError(
            f"--gpu {gpu}: nothing measured in {bench}, and no peak rate known; run `mspn bench train "
            f"--json`, or choose one of {', '.join(PEAKS)}"
        )
    used = {recipe.precision for recipe in experiment.scale.recipes.values()}
    precision = next(kind for kind in ("bf16", "tf32", "fp32") if kind in used)
    peak = PEAKS[gpu][precision]
    kind = precision if precision == "fp32" else f"dense {precision}"
    source = (
        f"assumed: {share:.0%} of the peak of {gpu.upper()} ({peak:g} TFLOP/s, {kind}) "
        f"= {peak * share:.3g} TFLOP/s; nothing measured in {bench}"
    )
    return Speed(peak * share * 1e12, source)


def training_key(experiment: Experiment, run: Run) -> str:
    """A run's ``bench_key`` at this scale."""
    return bench_key(
        run.network,
        experiment.input_size(run),
        experiment.scale.width,
        experiment.recipe(run).precision,
    )


def training_flops(size: Size) -> float:
    """FLOPs of one sample's share of a training step."""
    return 2 * BACKWARD * size.macs


def boxes(experiment: Experiment, run: Run) -> int:
    """Boxes that an evaluation predicts on, about."""
    data = experiment.scale.datasets[run.datasets[0]]
    if isinstance(data, SynthData):
        return data.val_images * BOXES_AN_IMAGE
    return COCO_BOXES if run.joint_set == "coco" else persons(experiment, run.datasets[0], "val")


def crop_stores(experiment: Experiment) -> dict[tuple[str, tuple[int, int]], int]:
    """The crop stores of a scale, (data set, input size) -> persons; none where it trains from pictures."""
    if experiment.scale.crops == "exact":
        return {}
    return {
        (name, experiment.input_size(run)): persons(experiment, name, "train")
        for run in experiment.trained
        for name in run.datasets
    }


def stored_bytes(size: tuple[int, int], number: int) -> float:
    """Bytes of a crop store of ``number`` persons at an input size, about."""
    return number * min(size[0] * size[1] * STORED_A_PIXEL, STORED_MOST)


def persons(experiment: Experiment, dataset: str, split: Literal["train", "val"]) -> int:
    """Persons of a split, about: of a synthetic one two an image, else what the scale or its files say.

    As many as COCO's training split has where neither does: the data set is not there yet.
    """
    data = experiment.scale.datasets[dataset]
    if isinstance(data, SynthData):
        return 2 * (data.train_images if split == "train" else data.val_images)
    stated = data.counts.get(split, (None, None))[1]
    files = [path for path in experiment.annotation_files(dataset, split) if path.suffix == ".json"]
    if stated is not None or not files or not all(path.is_file() for path in files):
        return 149_813 if stated is None else stated
    return sum(remembered(f"{path}: persons", None, partial(_annotated, path)) for path in files)


def _annotated(path: Path) -> tuple[int, list[Path]]:
    value = read_json(path, "annotation file")
    return len(value["annotations"] if isinstance(value, dict) else value), [path]


def disk_bytes(experiment: Experiment, parameters: Mapping[str, int]) -> dict[str, float]:
    """Bytes that a scale takes on disk, about, by kind; ``parameters`` are those of each trained run."""
    used = {name: experiment.scale.datasets[name] for run in experiment.trained for name in run.datasets}
    weights = {run.run: 4.0 * parameters[run.run] for run in experiment.trained}
    trained = [weights[run.run] for run, _ in experiment.trainings().values()]
    stores = crop_stores(experiment)
    return {
        # Of the public ones: the scale states their counts, or is the paper's with its external data.
        "data sets": sum(
            DATA_BYTES.get(name, 0)
            for name, data in used.items()
            if not isinstance(data, SynthData) and (data.counts or name == "external")
        ),
        "crop stores": sum(stored_bytes(size, number) for (_, size), number in stores.items()),
        # Two checkpoints of weights and Adam's two moments each.
        "checkpoints": 2 * 3 * sum(trained),
        "weights": sum(trained),
        "predictions": sum(
            boxes(experiment, run) * PREDICTION_BYTES for run, _, _ in experiment.evaluations()
        ),
    }


def memory_mb(experiment: Experiment) -> int:
    """Memory of a job that reads the scale's data, without a GPU's share of its node."""
    synthetic = all(isinstance(data, SynthData) for data in experiment.scale.datasets.values())
    return MEMORY_MB["synthetic" if synthetic else "real"]


def job_needs(
    experiment: Experiment, sizes: dict[str, Size], longest_s: Mapping[str, float]
) -> dict[str, dict[str, int]]:
    """What the largest job of each rule asks a cluster for, with room to spare: ``mem_mb``, ``runtime``
    (minutes), ``disk_mb`` (what it writes). ``longest_s``: seconds of a rule's longest job, where known.
    """
    weights = 4.0 * max((size.parameters for size in sizes.values()), default=0)
    written = {
        "crops": max(
            (stored_bytes(size, n) for (_, size), n in crop_stores(experiment).items()), default=0.0
        ),
        # Two checkpoints of weights and Adam's two moments, and a third while one is replaced.
        "train": 10 * weights,
        "trunk": 10 * weights,
        "evaluate": max(boxes(experiment, run) for run in experiment.grid.values()) * PREDICTION_BYTES,
    }
    memory = memory_mb(experiment)
    return {
        rule: {
            "mem_mb": memory if reads else min(memory, LIGHT_MB),
            "runtime": max(LEAST_MIN[rule], round(2 * longest_s.get(rule, 0) / 60)),
            "disk_mb": max(100, round(1.2 * written.get(rule, 0) / 1e6)),
        }
        for rule, reads in RULES.items()
    }
