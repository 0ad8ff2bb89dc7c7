"""How fast one core makes samples: by the literal per-sample method, the exact path, and the crop store."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from mspn.data.augment import augment, augmentation_for
from mspn.data.batches import DEVIATION, MEAN, Source, epoch_samples, normalise, training_batches
from mspn.data.coco import read_coco
from mspn.data.crops import make_store
from mspn.data.load import join
from mspn.data.persons import Persons, Picture
from mspn.data.pictures import read_picture
from mspn.data.skeletons import COCO
from mspn.data.store import CropStore, mean_difference, open_store
from mspn.experiment.config import Store
from mspn.training.targets import make_targets

KERNELS = (15, 11, 9, 7, 5)  # of all stages: five targets for each joint
BATCH = 32


def measure(
    size: tuple[int, int], augmentation: str, samples: int, workers: int, synthetic: bool, folder: Path
) -> dict[str, Any]:
    """Everything that ``run`` prints; times in ms of the processor per sample."""
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    persons, pictures = _persons(synthetic, folder)
    sources: dict[str, Source | None] = {"exact": None}
    differences = {}
    for settings in (Store(form="raw"), Store(form="jpeg")):
        form = settings.form
        make_store(folder / form, persons, size, augmentation, settings, report=lambda line: None)
        store = open_store(folder / form, persons, size, augmentation, settings)
        sources[f"store ({form})"] = store
        differences[form] = mean_difference(store, persons, size, augmentation)
    device = _device_work(persons, size, augmentation)
    paths = [_literal(persons, size, augmentation, samples)]
    paths += [_path(name, s, persons, size, augmentation, samples) for name, s in sources.items()]
    for row in paths:
        row["ratio"] = paths[0]["ms"] / row["ms"]
        mine = 0.0 if row is paths[0] else sum(device.values())
        row["ratio_with_device_work"] = paths[0]["ms"] / (row["ms"] + mine)
    return {
        "pictures": pictures,
        "input": f"{size[0]}x{size[1]}",
        "augmentation": augmentation,
        "samples": samples,
        "opencv": cv2.__version__,
        "paths": paths,
        "device_work_ms": device,
        "with_workers": _with_workers(sources, persons, size, augmentation, samples, workers),
        "mean_difference": differences,
    }


def _persons(synthetic: bool, folder: Path) -> tuple[Persons, str]:
    root = Path(os.environ.get("MSPN_COCO_MINI") or "../shared/data/coco-mini")
    if root.is_dir() and not synthetic:
        persons = join([read_coco(root, split) for split in ("train2017", "val2017")])
        # One person a picture: as in the whole data set, a batch then seldom shares a picture.
        first = np.unique(persons.image_ids, return_index=True)[1]
        return persons.select(first), f"{len(first)} COCO pictures, a person each"
    return made_up(folder / "pictures"), "48 made-up pictures of 640x480, a person each"


def made_up(folder: Path, count: int = 48) -> Persons:
    """Persons in pictures of 640x480, smooth noise as JPEG: as costly to decode as photographs."""
    random = np.random.default_rng(0)
    folder.mkdir(parents=True)
    pictures = {}
    for i in range(count):
        noise = cv2.GaussianBlur(random.integers(0, 256, (480, 640, 3), np.uint8), (5, 5), 0)
        cv2.imwrite(str(folder / f"{i}.jpg"), noise)
        pictures[i] = Picture(folder / f"{i}.jpg", 640, 480)
    sides = random.uniform((60, 120), (220, 440), (count, 2))
    corners = random.uniform(0, 1, (count, 2)) * ((640, 480) - sides)
    places = corners[:, None] + random.uniform(0, 1, (count, 17, 2)) * sides[:, None]
    return Persons(
        name="made-up pictures",
        skeleton=COCO,
        pictures=pictures,
        ids=np.arange(count),
        image_ids=np.arange(count),
        boxes=np.concatenate([corners, sides], axis=1).astype(np.float32),
        joints=np.concatenate([places, np.full((count, 17, 1), 2)], axis=2).astype(np.float32),
        scores=np.ones(count, np.float32),
        areas=sides.prod(axis=1).astype(np.float32),
        head_sizes=np.full(count, np.nan, np.float32),
    )


@contextmanager
def _clock(times: dict[str, float], step: str) -> Iterator[None]:
    """Add the processor time of the block to the step's."""
    start = time.process_time()
    yield
    times[step] = times.get(step, 0.0) + time.process_time() - start


def _numbers(
    persons: Persons, size: tuple[int, int], augmentation: str, positions: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows, maps and joints of the samples at ``positions``, as training has them."""
    rows, draws = epoch_samples(0, len(persons), positions)
    widths = np.array([persons.pictures[i].width for i in persons.image_ids[rows].tolist()], float)
    recipe = augmentation_for(augmentation, persons.skeleton)
    boxes, joints = persons.boxes[rows], persons.joints[rows]
    return rows, *augment(boxes, joints, widths, persons.skeleton, recipe, size, draws)


def literal_targets(joints: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(5, K, H/4, W/4): a sample's targets, blurred one by one: 5 x K blurs, labelled or not."""
    targets = np.zeros((len(KERNELS), len(joints), size[0] // 4, size[1] // 4), np.float32)
    for level, kernel in enumerate(KERNELS):
        for k, (x, y, v) in enumerate(joints):
            targets[level, k, int(y / 4), int(x / 4)] = v > 0
            targets[level, k] = cv2.GaussianBlur(targets[level, k], (kernel, kernel), 0)
            peak = targets[level, k].max()
            if peak > 0:
                targets[level, k] *= 255 / peak
    return targets


def _literal(persons: Persons, size: tuple[int, int], augmentation: str, samples: int) -> dict[str, Any]:
    mean, deviation = np.array(MEAN, np.float32), np.array(DEVIATION, np.float32)
    times: dict[str, float] = {}
    for position in range(samples):
        # Not timed, in favour of the comparison: made for batches, these are slow one by one.
        rows, matrices, joints = _numbers(persons, size, augmentation, np.array([position]))
        path = str(persons.pictures[int(persons.image_ids[rows[0]])].path)
        with _clock(times, "decode"):
            image = cv2.imread(path, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
        with _clock(times, "warp"):
            crop = cv2.warpAffine(np.asarray(image), matrices[0], size[::-1], flags=cv2.INTER_LINEAR)
        with _clock(times, "normalise"):
            np.ascontiguousarray(((crop.astype(np.float32) / 255 - mean) / deviation).transpose(2, 0, 1))
        with _clock(times, "targets"):
            literal_targets(joints[0], size)
    return _row("literal", times, samples)


def _row(path: str, times: dict[str, float], samples: int) -> dict[str, Any]:
    steps = {step: 1e3 * seconds / samples for step, seconds in times.items()}
    return {"path": path, "ms": sum(steps.values()), "steps": steps}


def _path(
    name: str,
    source: Source | None,
    persons: Persons,
    size: tuple[int, int],
    augmentation: str,
    samples: int,
) -> dict[str, Any]:
    """The real iterator's time; its steps are timed apart, and what they leave over is the iterator's own."""
    batches = training_batches(
        persons, input_size=size, augmentation=augmentation, seed=0, batch=BATCH, store=source
    )
    next(batches)  # the first pages the store in
    steps = -(-samples // BATCH)
    start = time.process_time()
    for _ in range(steps):
        next(batches)
    total = time.process_time() - start
    times: dict[str, float] = {}
    for step in range(1, steps + 1):
        with _clock(times, "augment"):
            rows, _, _ = _numbers(persons, size, augmentation, step * BATCH + np.arange(BATCH))
        if source is None:
            with _clock(times, "decode"):
                for key in np.unique(persons.image_ids[rows]).tolist():
                    read_picture(persons.pictures[key])
        elif isinstance(source, CropStore) and any(source.encoded):
            with _clock(times, "decode"):
                for row in rows.tolist():
                    source.crop(row)
    times["warp and the rest"] = total - sum(times.values())
    return _row(name, times, steps * BATCH)


def _device_work(persons: Persons, size: tuple[int, int], augmentation: str) -> dict[str, float]:
    """ms a sample of normalising and of targets of all five kernels, in batch, on this core."""
    batches = training_batches(persons, input_size=size, augmentation=augmentation, seed=0, batch=BATCH)
    batch = next(batches)
    times: dict[str, float] = {}
    make_targets(batch.joints, KERNELS, size)
    for _ in range(5):
        with _clock(times, "normalise"):
            normalise(batch.images)
        with _clock(times, "targets"):
            make_targets(batch.joints, KERNELS, size)
    return {step: 1e3 * seconds / (5 * BATCH) for step, seconds in times.items()}


def _with_workers(
    sources: dict[str, Source | None],
    persons: Persons,
    size: tuple[int, int],
    augmentation: str,
    samples: int,
    workers: int,
) -> list[dict[str, Any]]:

    rows = []
    for name, source in sources.items() if workers else ():
        batches = training_batches(
            persons,
            input_size=size,
            augmentation=augmentation,
            seed=0,
            batch=BATCH,
            workers=workers,
            store=source,
        )
        next(batches)
        steps = -(-samples // BATCH)
        start = time.perf_counter()
        for _ in range(steps):
            next(batches)
        seconds = time.perf_counter() - start
        rows.append({"path": name, "workers": workers, "per_second": steps * BATCH / seconds})
    return rows
