"""What a scale's networks, trainings and files measure: multiply-adds, speed, bytes.

A training's speed is a measured throughput (``mspn bench train``) where there is one; else a share of a GPU's
peak rate, which is an assumption and is said to be one. One multiply-add is two FLOPs; a training step costs
three forward passes (forward, and backward to inputs and to weights).
"""

from dataclasses import dataclass, field
from pathlib import Path

from mspn.config import CocoData, MpiiData, SynthData
from mspn.errors import UserError
from mspn.experiment import Experiment
from mspn.files import read_json
from mspn.grid import DATA, SUPERVISIONS, Run
from mspn.networks.table import construct, network_spec
from mspn.skeletons import skeleton

# Peak rates in TFLOP/s of dense bf16 (V100: fp16) matrix products, from NVIDIA's data sheets of V100 SXM2,
# A100 SXM, H100 SXM and H200 SXM. In fp32 the tensor cores' TF32 runs at half of that.
PEAKS = {"v100": 125.0, "a100": 312.0, "h100": 989.0, "h200": 989.0}
SHARE = 0.2  # of the peak that these networks reach in training: an assumption
BACKWARD = 3  # forward passes that a training step costs
FLIP = 2  # forward passes that a box costs in the flip test
# Persons of the training splits (COCO with a labelled joint, MPII's usual split), for the crop stores' size;
# boxes that a COCO detector keeps and MPII's validation persons. The external set is taken to be like COCO.
PERSONS = {"coco": 149_813, "external": 149_813, "mpii": 22_246}
BOXES = {"coco": 100_000, "mpii": 2_958}
BOXES_AN_IMAGE = 20  # of synthetic data
# Bytes of a stored crop: it reaches beyond the input for the augmentation, but is no finer than its picture.
# Measured on 86 real COCO persons: 0.48 MB for 256x192, 0.50 MB for 384x288.
STORED_A_PIXEL, STORED_MOST = 10.0, 5e5
PREDICTION_BYTES = 700  # of a box in predictions.json
# Bytes of the data sets unpacked: COCO's site says 18 GB and 1 GB of pictures, MPII's 12.9 GB.
DATA_BYTES = {"coco": 20e9, "external": 20e9, "mpii": 13e9}
THROUGHPUT = Path("results/bench/train.json")


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


def bench_key(run: Run, size: tuple[int, int], width: float, precision: str) -> str:
    """What a measured throughput depends on, as one text."""
    return f"{run.network} {size[0]}x{size[1]} width {width:g} {precision}"


def read_throughput(path: Path) -> dict[str, float]:
    """Samples per second on one GPU by ``bench_key``, as ``mspn bench train`` wrote; empty if not run."""
    if not path.exists():
        return {}
    value = read_json(path, "benchmark's result")
    try:
        return {
            f"{row['network']} {row['input']} width {row['width']:g} {row['precision']}": float(
                row["samples_per_s"]
            )
            for row in value["rows"]
        }
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path}: not what `mspn bench train` writes ({error!r}); remove it or run it again"
        ) from None


def network_sizes(experiment: Experiment) -> dict[str, Size]:
    """Each trained run's size at this scale's input and width; builds the networks without weights."""
    import torch

    from mspn.macs import count_by_torch

    sizes: dict[str, Size] = {}
    seen: dict[str, Size] = {}
    for run in experiment.trained:
        constructor, keywords = network_spec(run.network)
        decided = {
            "joints": len(skeleton(run.joint_set).joints),
            "scales": SUPERVISIONS[run.supervision][0],
            "width": experiment.scale.width,
        }
        key = repr((constructor, keywords, decided, experiment.input_size(run)))
        if key not in seen:
            with torch.device("meta"):
                network = construct(constructor, {**keywords, **decided}).eval()
                images = torch.zeros(1, 3, *experiment.input_size(run))
            parameters = sum(p.numel() for p in network.parameters())
            seen[key] = Size(count_by_torch(network, images, all_stages=True), parameters)
        sizes[run.run] = seen[key]
    return sizes


def choose_speed(
    experiment: Experiment, sizes: dict[str, Size], gpu: str, share: float, bench: Path
) -> Speed:
    """The measured throughput if it says something about this scale's networks; else the assumption.

    Networks that were not measured take the mean rate of FLOPs of those that were.
    """
    measured = read_throughput(bench)
    rates = []
    for run in experiment.trained:
        rate = measured.get(training_key(experiment, run))
        if rate:
            rates.append(rate * training_flops(sizes[run.run]))
    if rates:
        mean = sum(rates) / len(rates)
        source = f"measured: {bench}; networks not in it at the mean rate, {mean / 1e12:.3g} TFLOP/s"
        return Speed(mean, source, measured)
    if gpu not in PEAKS:
        raise UserError(f"--gpu {gpu}: no peak rate known; there are: {', '.join(PEAKS)}")
    half = all(recipe.precision == "fp32" for recipe in experiment.scale.recipes.values())
    rate = PEAKS[gpu] * share / (2 if half else 1)
    peak = f"{PEAKS[gpu]:g} TFLOP/s, dense bf16" + (", half of it in fp32" if half else "")
    source = f"assumed: {share:.0%} of the peak of {gpu.upper()} ({peak}) = {rate:.3g} TFLOP/s; no {bench}"
    return Speed(rate * 1e12, source)


def training_key(experiment: Experiment, run: Run) -> str:
    """A run's ``bench_key`` at this scale."""
    return bench_key(
        run, experiment.input_size(run), experiment.scale.width, experiment.recipe(run).precision
    )


def training_flops(size: Size) -> float:
    """FLOPs of one sample's share of a training step."""
    return 2 * BACKWARD * size.macs


def boxes(experiment: Experiment, run: Run) -> int:
    """Boxes that an evaluation predicts on, about."""
    data = experiment.scale.datasets[DATA[run.data][0]]  # type: ignore[index]
    return data.val_images * BOXES_AN_IMAGE if isinstance(data, SynthData) else BOXES[run.joint_set]


def crop_stores(experiment: Experiment) -> dict[tuple[str, tuple[int, int]], int]:
    """The crop stores of a scale, (data set, input size) -> persons."""
    return {
        (name, experiment.input_size(run)): persons(experiment, name)
        for run in experiment.trained
        for name in DATA[run.data]
    }


def persons(experiment: Experiment, dataset: str) -> int:
    """Persons of a training split, about: of a synthetic one two an image."""
    data = experiment.scale.datasets[dataset]  # type: ignore[index]
    return 2 * data.train_images if isinstance(data, SynthData) else PERSONS[dataset]


def disk_bytes(experiment: Experiment, sizes: dict[str, Size]) -> dict[str, float]:
    """Bytes that a scale takes on disk, about, by kind."""
    used = {name: experiment.scale.datasets[name] for run in experiment.trained for name in DATA[run.data]}  # type: ignore[index]
    weights = {run.run: 4.0 * sizes[run.run].parameters for run in experiment.trained}
    trained = [weights[run.run] for run, _ in experiment.trainings().values()]
    stores = crop_stores(experiment) if experiment.scale.crops == "store" else {}
    return {
        "data sets": sum(DATA_BYTES[n] for n, d in used.items() if isinstance(d, CocoData | MpiiData)),
        "crop stores": sum(
            number * min(size[0] * size[1] * STORED_A_PIXEL, STORED_MOST)
            for (_, size), number in stores.items()
        ),
        # Two checkpoints of weights and Adam's two moments each.
        "checkpoints": 2 * 3 * sum(trained),
        "weights": sum(trained),
        "predictions": sum(
            boxes(experiment, run) * PREDICTION_BYTES for run, _, _ in experiment.evaluations()
        ),
    }
