"""Short trainings of every family through the real loop: what guards the declared revisions.

``python -m tests.golden_trainings`` writes their figures anew, after a revision was raised.
"""

import hashlib
import json
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from mspn.data.augment import AUGMENTATIONS
from mspn.data.batches import Batch, training_batches
from mspn.data.crops import make_store
from mspn.data.persons import Persons, Picture
from mspn.data.skeletons import COCO
from mspn.data.store import open_store
from mspn.data.synth.difficulty import DIFFICULTIES
from mspn.data.synth.scene import make_scene, stream
from mspn.experiment.config import Recipe, Store
from mspn.experiment.grid import SUPERVISIONS
from mspn.experiment.identity import REVISIONS
from mspn.experiment.load import load_experiment
from mspn.training.hardware import Options, prepare, set_up
from mspn.training.objective import Objective, starting_network
from mspn.training.train import Machine, Stop, Training, train

GOLDEN = Path(__file__).parent / "golden_trainings.json"
SIZE = (64, 48)
STEPS = 20
BASE = {"batch": 4, "iterations": STEPS, "lr": 2e-3, "warmup_iterations": 4}
# name -> (run of the grid, changes to the recipe, options of the machine, step at which it is stopped)
CASES: dict[str, tuple[str, dict[str, Any], dict[str, Any], int | None]] = {
    "mspn, average of weights, cool-down": ("mspn-2", {"ema": 0.8, "cooldown": 0.5}, {}, None),
    "mspn, accumulation, resumed": ("mspn-1", {"norm_batch": 2}, {}, 9),
    "mspn, gradient checkpointing, head scale": ("mspn-2", {"head_scale": 4.0},
                                                 {"gradient_checkpointing": True}, None),
    "xception": ("mspn-4xs-xcp", {"iterations": 10}, {}, None),
    "hourglass, resumed": ("hourglass-4-ctf-csfa", {"iterations": 10}, {}, 5),
    "hourglass, wide": ("hourglass-2-wide", {}, {}, None),
    "simple baseline": ("simple-baseline-50", {}, {}, None),
    "hrnet": ("hrnet-w32", {"iterations": 6}, {}, None),
}  # fmt: skip
# Losses that all processors give alike; then Adam's division by small gradients lets rounding grow.
FIRST, FEWER = 5, {"mspn, average of weights, cool-down": 4}


def people(folder: Path) -> Persons:
    """Nine persons on three pictures, all of them formulas."""
    pictures, rows = {}, []
    for number in range(3):
        y, x = np.mgrid[0:90, 0:120]
        waves = [127 + 120 * np.sin(x / (5 + number + c) + y / (7 + c)) for c in range(3)]
        path = folder / f"{number}.png"
        cv2.imwrite(str(path), np.stack(waves, axis=2).astype(np.uint8))
        pictures[number] = Picture(path, 120, 90)
        for k in range(3):
            place = np.arange(17) * (2.4 + k) + 13 * number
            joints = np.stack(
                [10 + 31 * k + place % 29, 6 + (7 * place) % 76, (np.arange(17) + k) % 3], axis=1
            )
            rows.append((number, (8.0 + 31 * k, 4.0, 33.0, 80.0), joints))
    boxes, joints = (np.array([row[i] for row in rows], np.float32) for i in (1, 2))
    count = len(rows)
    return Persons(
        name="formulas", skeleton=COCO, pictures=pictures, ids=np.arange(count),
        image_ids=np.array([row[0] for row in rows], np.int64), boxes=boxes, joints=joints,
        scores=np.ones(count), areas=boxes[:, 2] * boxes[:, 3], head_sizes=np.full(count, np.nan),
    )  # fmt: skip


def trained(name: str, folder: Path) -> dict[str, Any]:
    """A case's losses at some steps, and the size of its final weights and running statistics."""
    run_name, changes, options, stop_at = CASES[name]
    experiment = load_experiment("bench" if run_name in load_experiment("bench").grid else "smoke-all")
    run = experiment.run(run_name)
    recipe = Recipe.model_validate({**BASE, **changes})
    persons = people(folder)

    def batches(stop: Stop) -> Any:
        def make(batch: int, start: int) -> Iterator[Batch]:
            made = training_batches(
                persons, input_size=SIZE, augmentation=recipe.augmentation, seed=3, batch=batch, start=start
            )
            for number, one in enumerate(made, start + 1):
                if stop_at and number == stop_at * (recipe.batch // batch):
                    stop.signal = 15
                yield one

        return make

    set_up(torch.device("cpu"), Options())
    weights = None
    while weights is None:
        machine = Machine(torch.device("cpu"), Options(**options))
        network = starting_network(run, 0.0625, 3, recipe.head_scale).double()
        # In double precision another order of sums does not show in the first steps; later Adam lets it grow.
        network.register_forward_pre_hook(lambda module, inputs: (inputs[0].double(),))
        network = prepare(network, machine.device, machine.options)
        _, earlier, last = SUPERVISIONS[run.supervision]
        objective = Objective(SIZE, len(network.stages), earlier, last)  # type: ignore[arg-type]
        stop = Stop()
        training = Training(recipe, objective, batches(stop), name, folder / "live")
        weights = train(network, training, machine, stop)
        stop_at = None
    lines = [json.loads(line) for line in (folder / "live/log.jsonl").read_text().splitlines()]
    assert len(lines) == recipe.iterations
    first = FEWER.get(name, FIRST)
    floats = {key: value for key, value in weights.items() if value.is_floating_point()}
    statistics = [value for key, value in floats.items() if "running" in key]
    return {
        "first": [line["loss"] for line in lines[:first]],
        "later": [line["loss"] for line in lines[first:]],
        "weights": float(sum(value.double().abs().sum() for value in floats.values())),
        "statistics": float(sum(value.double().abs().sum() for value in statistics)),
    }


def data(folder: Path) -> dict[str, Any]:
    """Whole numbers that augmentation, order, crop stores and the synthetic persons give."""
    persons = people(folder)
    found: dict[str, Any] = {}
    for name in AUGMENTATIONS:
        settings = {"input_size": SIZE, "augmentation": name, "seed": 1, "batch": 6}
        (batch,) = (b for b, _ in zip(training_batches(persons, start=2, **settings), range(1), strict=False))  # type: ignore[arg-type]
        joints = (batch.joints * 64).round().long()
        found[name] = [batch.index.tolist(), int(batch.images.long().sum()), int(joints.sum())]
    for form in ("raw", "jpeg"):
        store = Store.model_validate({"form": form, "oversampling": 1.0})
        make_store(folder / form, persons, SIZE, "released", store, report=lambda line: None)
        crops = open_store(folder / form, persons, SIZE, "released", store)
        found[f"store, {form}"] = [crops.index[:, 3:].tolist(), int(crops.crop(4).astype(int).sum())]
    for difficulty, numbers in DIFFICULTIES.items():
        scene = make_scene(stream(5, "train", 3), numbers)
        placed = [[int(v) for v in person.joints.ravel()] for person in scene.persons]
        found[f"synth, {difficulty}"] = [list(scene.picture.shape), placed]
    return found


@cache
def measured(name: str) -> Any:
    """A case's figures, or those of the data."""
    with tempfile.TemporaryDirectory() as folder:
        return data(Path(folder)) if name == "data" else trained(name, Path(folder))


def main() -> None:
    """Write what is measured now, with the revisions that it stands for."""
    found = {name: measured(name) for name in ("data", *CASES)}
    GOLDEN.write_text(json.dumps({"revisions": REVISIONS, **found}, indent=1) + "\n")
    print(f"{GOLDEN.name}: sha256 {hashlib.sha256(GOLDEN.read_bytes()).hexdigest()[:10]}")


if __name__ == "__main__":
    main()
