"""Batches of crops for training and testing, made ahead of need by threads (OpenCV lets go of Python's
lock).
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from itertools import count
from typing import Protocol, TypeVar

import cv2
import numpy as np
import torch

from mspn.data.augment import augment, augmentation_for, draw
from mspn.data.geometry import crop_matrices, test_crops
from mspn.data.notes import Notes
from mspn.data.persons import Persons
from mspn.data.pictures import read_picture
from mspn.errors import UserError

# ImageNet's mean and deviation of each channel, BGR, of values 0 to 1 (released code).
MEAN = (0.406, 0.456, 0.485)
DEVIATION = (0.225, 0.224, 0.229)

T = TypeVar("T")
S = TypeVar("S")


@dataclass(frozen=True)
class Batch:
    """N training samples.

    ``images`` (N, H, W, 3) uint8, BGR. ``joints`` (N, K, 3) float32: x, y in pixels of the input and v (0 not
    labelled, or outside the input: then x = y = 0; 1 hidden, 2 visible). ``index`` (N,) int64: the sample's
    row in its Persons.
    """

    images: torch.Tensor
    joints: torch.Tensor
    index: torch.Tensor

    def pinned(self) -> "Batch":
        """The same samples in page-locked memory, out of which copies to a GPU run beside other work."""
        images = self.images.pin_memory() if self.images.is_cpu else self.images  # on a device they stay
        return Batch(images, self.joints.pin_memory(), self.index)


class Source(Protocol):
    """Where crops come from: the pictures (``Pictures``) or a crop store."""

    def warp(self, rows: np.ndarray, matrices: np.ndarray, size: tuple[int, int]) -> torch.Tensor:
        """(N, H, W, 3) uint8: persons ``rows`` (N,) warped by ``matrices`` (N, 2, 3), picture -> input."""
        ...


@cache
def channel_statistics(device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and deviation of each channel, BGR, of values 0 to 255: two (3,) float32 on the device."""
    with torch.inference_mode(False):  # made once, for whoever asks
        mean, deviation = (torch.tensor(values, device=device) * 255 for values in (MEAN, DEVIATION))
    return mean, deviation


def normalise(
    images: torch.Tensor, statistics: tuple[torch.Tensor, torch.Tensor] | None = None
) -> torch.Tensor:
    """(N, H, W, 3) uint8 BGR to (N, 3, H, W) float32: (value - mean) / deviation, on the images' device.

    ``statistics`` are those of ``channel_statistics``, where they are at hand.
    """
    mean, deviation = channel_statistics(images.device) if statistics is None else statistics
    return images.float().sub_(mean).div_(deviation).permute(0, 3, 1, 2)


class Pictures:
    """The exact path: each picture is decoded and warped once."""

    def __init__(self, persons: Persons) -> None:
        self.persons = persons

    def warp(self, rows: np.ndarray, matrices: np.ndarray, size: tuple[int, int]) -> torch.Tensor:
        """Bilinear, zeros outside the picture; a picture of several persons in a batch is decoded once."""
        height, width = size
        out = np.empty((len(rows), height, width, 3), np.uint8)
        image_ids = self.persons.image_ids[rows]
        order = np.argsort(image_ids, kind="stable")
        last, image = None, out
        for i in order:
            if image_ids[i] != last:
                last = image_ids[i]
                image = read_picture(self.persons.pictures[int(last)])
            cv2.warpAffine(image, matrices[i], (width, height), dst=out[i], flags=cv2.INTER_LINEAR)
        return torch.from_numpy(out)


def trainable(persons: Persons) -> Persons:
    """The persons with the labels of joints outside their picture removed, counted in the log.

    The readers keep such joints, because scoring does; a crop shows nothing there to learn from.
    """
    sizes = np.array(
        [[persons.pictures[i].width, persons.pictures[i].height] for i in persons.image_ids.tolist()], float
    ).reshape(-1, 1, 2)
    points = persons.joints[:, :, :2]
    outside = (persons.joints[:, :, 2] > 0) & ((points < 0) | (points > sizes)).any(2)
    notes = Notes(persons.name)
    for row, joint in np.argwhere(outside):
        notes.add(
            "joints outside their picture not trained on",
            f"person {persons.ids[row]}, {persons.skeleton.joints[joint]}",
        )
    notes.log()
    return replace(persons, joints=np.where(outside[:, :, None], 0, persons.joints))


def training_batches(
    persons: Persons,
    *,
    input_size: tuple[int, int],
    augmentation: str,
    seed: int,
    batch: int,
    start: int = 0,
    rank: int = 0,
    world: int = 1,
    workers: int = 0,
    store: Source | None = None,
    pin: bool = False,
) -> Iterator[Batch]:
    """Augmented samples without end.

    The samples of all epochs form one sequence: each epoch is a permutation of the persons, and the next
    follows at once, so that an epoch's last batch may reach into the next. Step s of rank r takes the
    ``batch`` samples from position (s x world + r) x batch on; ``start`` is the first step, counted in
    these batches (micro-batches where gradients are accumulated), so that going on from step s needs
    nothing else. A global batch holds the same samples however it is split: batch x world x accumulation is
    what counts. ``augmentation`` is one of ``mspn.data.augment.AUGMENTATIONS``. ``store`` is a crop store
    in memory or on a device, where the images then are; without one, pictures are decoded (the exact path).
    ``workers`` threads make batches ahead; 0 makes them in the caller's. Neither changes a sample.
    ``pin`` makes them in page-locked memory, for a GPU. OpenCV's own threads are switched off.
    """
    if not len(persons):
        raise UserError(f"{persons.name}: no person to train on")
    cv2.setNumThreads(1)
    persons = trainable(persons)
    recipe = augmentation_for(augmentation, persons.skeleton)
    source = Pictures(persons) if store is None else store
    widths = np.array([persons.pictures[i].width for i in persons.image_ids.tolist()], float)
    samples = len(persons)

    def make(step: int) -> Batch:
        positions = (step * world + rank) * batch + np.arange(batch)
        rows, draws = epoch_samples(seed, samples, positions)
        matrices, joints = augment(
            persons.boxes[rows],
            persons.joints[rows],
            widths[rows],
            persons.skeleton,
            recipe,
            input_size,
            draws,
        )
        images = source.warp(rows, matrices, input_size)
        made = Batch(images, torch.from_numpy(joints), torch.from_numpy(rows))
        return made.pinned() if pin else made

    return ahead(make, count(start), workers)


def epoch_samples(seed: int, samples: int, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rows (N,) int64 and random numbers (N, 8) at ``positions`` (N,) of the sequence of all epochs."""
    epochs, places = np.divmod(positions, samples)
    rows = np.empty(len(positions), np.int64)
    draws = np.empty((len(positions), 8))
    for epoch in np.unique(epochs).tolist():
        order, numbers = _epoch(seed, epoch, samples)
        here = epochs == epoch
        rows[here] = order[places[here]]
        draws[here] = numbers[rows[here]]
    return rows, draws


@lru_cache(maxsize=4)
def _epoch(seed: int, epoch: int, samples: int) -> tuple[np.ndarray, np.ndarray]:
    """An epoch's order of rows (samples,) and every row's random numbers (samples, 8)."""
    # The same key as the samples' numbers, far away in the counter.
    philox = np.random.Philox(key=np.array([seed, epoch], np.uint64), counter=[0, 0, 1, 0])
    order = np.argsort(philox.random_raw(samples), kind="stable")
    return order, draw(seed, epoch, samples)


def evaluation_batches(
    persons: Persons, *, input_size: tuple[int, int], batch: int, workers: int = 0, pin: bool = False
) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """The protocol's test crops of all persons, in their order, by the exact path.

    Yields images (N, H, W, 3) uint8 BGR, the maps picture -> input (N, 2, 3) float64, and rows (N,) int64.
    MPII's boxes are its protocol's squares already and are not enlarged. ``pin`` puts the images into
    page-locked memory, for a GPU.
    """
    cv2.setNumThreads(1)
    enlarge = persons.skeleton.name != "mpii"
    matrices = crop_matrices(test_crops(persons.boxes, input_size, enlarge), input_size)
    source = Pictures(persons)

    def make(first: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        rows = np.arange(first, min(first + batch, len(persons)))
        images = source.warp(rows, matrices[rows], input_size)
        images = images.pin_memory() if pin else images
        return images, torch.from_numpy(matrices[rows]), torch.from_numpy(rows)

    return ahead(make, range(0, len(persons), batch), workers)


def ahead(make: Callable[[S], T], items: Iterable[S], workers: int) -> Iterator[T]:
    """``map(make, items)``, in order, with ``workers`` threads at work on the next items; 0 for none."""
    if workers <= 0:
        yield from map(make, items)
        return
    pool = ThreadPoolExecutor(min(workers, os.cpu_count() or 1), thread_name_prefix="batches")
    waiting: deque[Future[T]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(make, item))
            if len(waiting) > workers + 1:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
