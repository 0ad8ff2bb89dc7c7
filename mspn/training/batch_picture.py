"""A sheet of training samples for a person to look at."""

from collections.abc import Callable

import cv2
import numpy as np
import torch

from mspn.data.batches import Batch, Source, training_batches
from mspn.data.persons import Persons
from mspn.data.skeletons import Skeleton
from mspn.training.targets import make_targets

_TILE = 256  # pixels: small crops are magnified to at least about this height
_COLOURS = {"left": (255, 160, 60), "right": (40, 140, 255)}  # BGR; the rest is white


def draw_sheet(
    persons: Persons,
    size: tuple[int, int],
    augmentation: str,
    kernels: tuple[int, ...],
    seed: int,
    samples: int,
    start: int = 0,
    store: Source | None = None,
) -> Callable[[str], bytes]:
    """Samples from number ``start`` x ``samples`` on; returns what encodes the sheet as .png or .jpg."""
    batches = training_batches(
        persons,
        input_size=size,
        augmentation=augmentation,
        seed=seed,
        batch=samples,
        start=start,
        store=store,
    )
    batch = next(batches)
    tiles = [tile(batch, i, size, kernels, persons.skeleton, persons) for i in range(samples)]
    columns = max(1, round((len(tiles) * tiles[0].shape[0] * 1.6 / tiles[0].shape[1]) ** 0.5))
    tiles += [np.full_like(tiles[0], 255)] * (-len(tiles) % columns)
    rows = [np.concatenate(tiles[i : i + columns], axis=1) for i in range(0, len(tiles), columns)]
    sheet = np.concatenate(rows, axis=0)

    def encode(suffix: str) -> bytes:
        return cv2.imencode(suffix, sheet)[1].tobytes()

    return encode


def tile(
    batch: Batch,
    i: int,
    size: tuple[int, int],
    kernels: tuple[int, ...],
    skeleton: Skeleton,
    persons: Persons,
) -> np.ndarray:
    """One sample: its crop with joints beside its crop under the targets, with a line of text above."""
    zoom = max(1, round(_TILE / size[0]))
    image = batch.images[i].cpu().numpy()
    large = cv2.resize(image, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_NEAREST)
    joints = batch.joints[i].cpu()
    drawn = draw_joints(large.copy(), joints.numpy(), skeleton, zoom)
    maps = make_targets(joints[None], (max(kernels), min(kernels)), size)[0].amax(1)  # (2, H/4, W/4)
    both = torch.stack([torch.zeros_like(maps[0]), maps[1], maps[0]], dim=2).numpy()
    heat = cv2.resize(both, (large.shape[1], large.shape[0]), interpolation=cv2.INTER_NEAREST)
    under = (large * 0.4 + heat * 0.6).round().clip(0, 255).astype(np.uint8)
    pair = np.concatenate([drawn, under], axis=1)
    strip = np.full((14, pair.shape[1], 3), 255, np.uint8)
    label = f"person {persons.ids[int(batch.index[i])]}, {int((joints[:, 2] > 0).sum())} joints"
    cv2.putText(strip, label, (2, 10), cv2.FONT_HERSHEY_SIMPLEX, 0.35, (0, 0, 0), 1, cv2.LINE_AA)
    framed = np.concatenate([strip, pair], axis=0)
    return cv2.copyMakeBorder(framed, 1, 3, 1, 3, cv2.BORDER_CONSTANT, value=(255, 255, 255))


def draw_joints(image: np.ndarray, joints: np.ndarray, skeleton: Skeleton, zoom: int = 1) -> np.ndarray:
    """Draw joints (K, 3) and limbs on a BGR picture in place; returns it."""

    def colour(joint: int) -> tuple[int, int, int]:
        return _COLOURS.get(skeleton.joints[joint].split("_")[0], (255, 255, 255))

    # A joint at pixel x fills the magnified pixels from x * zoom on.
    places = [tuple(((p + 0.5) * zoom - 0.5).round().astype(int).tolist()) for p in joints[:, :2]]
    for a, b in skeleton.limbs:
        if joints[a, 2] > 0 and joints[b, 2] > 0:
            cv2.line(
                image, places[a], places[b], colour(a if colour(b) == (255, 255, 255) else b), 1, cv2.LINE_AA
            )
    for k, (place, v) in enumerate(zip(places, joints[:, 2], strict=True)):
        if v > 0:
            cv2.circle(image, place, 3, (0, 0, 0), -1 if v > 1 else 2, cv2.LINE_AA)
            cv2.circle(image, place, 2, colour(k), -1 if v > 1 else 1, cv2.LINE_AA)
    return image
