"""The crop store: each person's surroundings cut from its picture once, so that training decodes no pictures.

A person's crop is the part of the picture that the recipe's augmentation can show, at most at the
picture's own resolution, and no finer than ``oversampling`` pixels for each pixel of the input when the input
shows just the box (with the recipe's fixed enlargement). Nothing that an augmentation needs is cut off;
what it shows magnified (a half body, a small scale) is less sharp than from the picture where the
resolution was reduced.

A store is a folder: ``00000.npy``, ... uint8, crops one after the other (``form`` raw: pixels, memory-mapped;
jpeg: encoded), a ``00000.json`` beside each, ``index.npy``, and last of all ``manifest.json``. Shards are
written whole or not at all, so that a making that was interrupted goes on where it stopped.
"""

import hashlib
import json
import shutil
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mspn.data.augment import Augmentation, augmentation_for, joint_boxes
from mspn.data.batches import trainable
from mspn.data.geometry import box_centres, fit_aspect
from mspn.data.persons import Persons
from mspn.data.pictures import read_picture
from mspn.errors import UserError
from mspn.experiment.config import Store
from mspn.experiment.identity import REVISIONS
from mspn.files import atomic, read_json, sha256, write_json

FORMAT = 2
JPEG_QUALITY = 95
JPEG_SHARE = 0.3  # of the raw size, for the estimate; photographs take less
SHARD_BYTES = 256 * 2**20
# Columns of the index: where in which shard, the crop's size, and the part of the picture that it shows.
INDEX = ("shard", "offset", "bytes", "width", "height", "left", "top", "region_width", "region_height")


@dataclass(frozen=True)
class Layout:
    """Where each crop lies: ``regions`` (N, 4) int64 left, top, width, height in the picture, and ``sizes``
    (N, 2) int64 width, height of the stored crop."""

    regions: np.ndarray
    sizes: np.ndarray

    @property
    def bytes(self) -> np.ndarray:
        """(N,) int64 bytes of each crop, raw."""
        return 3 * self.sizes.prod(axis=1)


def reach(persons: Persons, augmentation: Augmentation, input_size: tuple[int, int]) -> np.ndarray:
    """(N, 4) float: left, top, right, bottom of all that a recipe's samples of a person can show."""
    labelled = np.asarray(persons.joints[:, :, 2] > 0)
    in_upper = np.isin(np.arange(labelled.shape[1]), persons.skeleton.upper_body)
    whole = np.array(augmentation.enlarge) * (1 + np.array(augmentation.extend))
    spans = [_span(persons.boxes, whole, augmentation, input_size)]
    for half in (in_upper, ~in_upper):
        boxes, count = joint_boxes(persons.joints, labelled & half)
        span = _span(boxes, 1 + np.array(augmentation.half_body_extend), augmentation, input_size)
        can = (labelled.sum(1) > augmentation.half_body_above) & (count >= 3) & (boxes[:, 2:].max(1) > 0)
        spans.append(np.where(can[:, None], span, spans[0]))
    low, high = np.stack(spans)[:, :, :2].min(0), np.stack(spans)[:, :, 2:].max(0)
    return np.concatenate([low, high], axis=1)


def _span(
    boxes: np.ndarray, factor: np.ndarray, augmentation: Augmentation, input_size: tuple[int, int]
) -> np.ndarray:
    """The upright rectangle around every rotation of the largest crop of each box."""
    centres = box_centres(boxes)
    half = fit_aspect(boxes[:, 2:] * factor, input_size) * augmentation.scale[1] / 2
    # Turned by t, a rectangle of half sides (a, b) reaches a cos t + b sin t: most at tan t = b / a.
    worst = np.minimum(np.arctan2(half[:, ::-1], half), np.radians(augmentation.rotation))
    extent = half * np.cos(worst) + half[:, ::-1] * np.sin(worst) + augmentation.shift * boxes[:, 2:]
    return np.concatenate([centres - extent, centres + extent], axis=1)


def layout(persons: Persons, input_size: tuple[int, int], augmentation: str, oversampling: float) -> Layout:
    """What a store keeps of each person; a box outside its picture keeps the nearest pixel."""
    numbers = augmentation_for(augmentation, persons.skeleton)
    span = reach(persons, numbers, input_size)
    pictures = [persons.pictures[i] for i in persons.image_ids.tolist()]
    frames = np.array([[picture.width, picture.height] for picture in pictures], np.int64)
    # Two pixels more: bilinear interpolation reads the neighbours, OpenCV at rounded places.
    low = np.clip(np.floor(span[:, :2]) - 2, 0, frames - 1).astype(np.int64)
    high = np.clip(np.ceil(span[:, 2:]) + 3, low + 1, frames).astype(np.int64)
    shown = fit_aspect(persons.boxes[:, 2:] * numbers.enlarge, input_size)
    resolution = np.minimum(1, oversampling * input_size[1] / shown[:, :1])
    sizes = np.ceil((high - low) * resolution).astype(np.int64)
    return Layout(np.concatenate([low, high - low], axis=1), sizes)


def identity(persons: Persons) -> str:
    """A hash of the persons that a store is made from: boxes, joints, and the pictures' names and sizes."""
    digest = hashlib.sha256()
    for rows in (persons.ids, persons.image_ids, persons.boxes, persons.joints):
        digest.update(np.ascontiguousarray(rows).tobytes())
    pictures = [persons.pictures[i] for i in persons.image_ids.tolist()]
    digest.update(json.dumps([[p.path.name, p.width, p.height] for p in pictures]).encode())
    return digest.hexdigest()


def plan_of(persons: Persons, input_size: tuple[int, int], augmentation: str, store: Store) -> dict[str, Any]:
    """Everything that decides a store's content."""
    numbers = asdict(augmentation_for(augmentation, persons.skeleton))
    plan = {
        "format": FORMAT,
        **store.model_dump(),
        "input_size": input_size,
        "augmentation": {"name": augmentation, **numbers},
        "jpeg_quality": JPEG_QUALITY if store.form == "jpeg" else None,
        "opencv": cv2.__version__,
        "revision": REVISIONS["data"],
        "persons": len(persons),
        "source": identity(persons),
    }
    found: dict[str, Any] = json.loads(json.dumps(plan))  # tuples as JSON has them
    return found


def estimate(place: Layout, form: str) -> int:
    """Bytes of a store on the disk: exact for raw, from above for jpeg."""
    return round(int(place.bytes.sum()) * (1 if form == "raw" else JPEG_SHARE))


def make_store(
    folder: Path,
    persons: Persons,
    input_size: tuple[int, int],
    augmentation: str,
    store: Store,
    workers: int = 1,
    report: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Make the store, or finish one that was begun; returns the manifest.

    A store begun from other data or settings is made anew. UserError where the disk is too small (before
    anything is written) or a picture cannot be read.
    """
    cv2.setNumThreads(1)
    plan, form = plan_of(persons, input_size, augmentation, store), store.form
    persons = trainable(persons)
    place = layout(persons, input_size, augmentation, store.oversampling)
    shards = np.split(np.arange(len(persons)), np.flatnonzero(np.diff(shard_of(place))) + 1)
    folder.mkdir(parents=True, exist_ok=True)
    begun = folder / "plan.json"
    try:
        same = begun.exists() and read_json(begun, "plan of a crop store") == plan
    except UserError as error:
        raise UserError(f"{error}; remove it, and the whole store is made anew") from None
    if not same:
        _clear(folder)
    done = [finished_shard(folder, number) for number in range(len(shards))]
    missing = [rows for rows, note in zip(shards, done, strict=True) if note is None]
    _require_space(folder, _take(place, np.concatenate(missing)) if missing else None, form)
    write_json(begun, plan)
    for number, rows in enumerate(shards):
        if done[number]:
            report(f"{folder}: shard {number + 1} of {len(shards)} is there")
            continue
        done[number] = _make_shard(folder, number, persons.select(rows), _take(place, rows), form, workers)
        report(f"{folder}: shard {number + 1} of {len(shards)} made, {len(rows)} persons")
    return _finish(folder, plan, place, [shard for shard in done if shard], shards)


def shard_of(place: Layout) -> np.ndarray:
    """(N,) each person's shard: the next begins where the raw crops before fill SHARD_BYTES once more."""
    before = np.cumsum(place.bytes) - place.bytes
    return before // SHARD_BYTES


def _take(place: Layout, rows: np.ndarray) -> Layout:
    return Layout(place.regions[rows], place.sizes[rows])


def _clear(folder: Path) -> None:
    for pattern in ("manifest.json", "plan.json", "index.npy", "[0-9]*.npy", "[0-9]*.json", ".*.tmp"):
        for path in folder.glob(pattern):
            path.unlink()


def finished_shard(folder: Path, number: int) -> dict[str, Any] | None:
    """What a whole shard's note says; None where one of the two is absent, or not as they were written."""
    note, path = folder / f"{number:05}.json", folder / f"{number:05}.npy"
    if not note.exists() or not path.exists():
        return None
    try:
        value = read_json(note)
        lengths, checks = value["lengths"], value.get("checks")  # an older version wrote no checks
        if sha256(path) != value["sha256"] or path.stat().st_size != value["file_bytes"]:
            return None
        shard = np.load(path, mmap_mode="r", allow_pickle=False)
        parts = np.split(shard, np.cumsum(lengths)[:-1])
        found = [zlib.crc32(np.ascontiguousarray(part).data) for part in parts]
        whole = sum(lengths) == len(shard) and checks in (None, found)
    except (UserError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return dict(value) if whole else None


def _require_space(folder: Path, place: Layout | None, form: str) -> None:
    needed = estimate(place, form) if place else 0
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise UserError(
            f"{folder}: the crop store needs {needed / 1e6:,.1f} MB more, {free / 1e6:,.1f} MB are free; "
            "make room, or set crops: {form: jpeg}, a smaller oversampling, or crops: exact in the scale"
        )


def cut(image: np.ndarray, region: np.ndarray, size: np.ndarray) -> np.ndarray:
    """A picture's part ``region`` (left, top, width, height), averaged down to ``size`` (width, height)."""
    left, top, width, height = region.tolist()
    part = image[top : top + height, left : left + width]
    if (width, height) == tuple(size.tolist()):
        return part
    return cv2.resize(part, size.tolist(), interpolation=cv2.INTER_AREA)


def _make_shard(
    folder: Path, number: int, persons: Persons, place: Layout, form: str, workers: int
) -> dict[str, Any]:
    crops: list[bytes] = [b""] * len(persons)

    def cut_all(image_id: int) -> None:
        image = read_picture(persons.pictures[image_id])
        for row in np.flatnonzero(persons.image_ids == image_id):
            crop = cut(image, place.regions[row], place.sizes[row])
            if form == "jpeg":
                crop = cv2.imencode(".jpg", crop, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1]
            crops[row] = crop.tobytes()

    with ThreadPoolExecutor(max(workers, 1)) as pool:
        for _ in pool.map(cut_all, np.unique(persons.image_ids).tolist()):
            pass
    path = folder / f"{number:05}.npy"
    with atomic(path) as temporary, temporary.open("wb") as file:
        np.save(file, np.frombuffer(b"".join(crops), np.uint8))
        file.flush()
    note = {"file": path.name, "sha256": sha256(path), "file_bytes": path.stat().st_size}
    note["lengths"] = [len(crop) for crop in crops]
    note["checks"] = [zlib.crc32(crop) for crop in crops]
    write_json(folder / f"{number:05}.json", note, indent=None)
    return note


def _finish(
    folder: Path, plan: dict[str, Any], place: Layout, notes: list[dict[str, Any]], shards: list[np.ndarray]
) -> dict[str, Any]:
    index = np.zeros((plan["persons"], len(INDEX)), np.int64)
    for number, (note, rows) in enumerate(zip(notes, shards, strict=True)):
        lengths = np.array(note["lengths"], np.int64)
        index[rows, 0] = number
        index[rows, 1] = np.cumsum(lengths) - lengths
        index[rows, 2] = lengths
    index[:, 3:5], index[:, 5:] = place.sizes, place.regions
    path = folder / "index.npy"
    with atomic(path) as temporary, temporary.open("wb") as file:
        np.save(file, index)
    manifest = {
        **plan,
        "columns": list(INDEX),
        "index": {"file": path.name, "sha256": sha256(path), "file_bytes": path.stat().st_size},
        "shards": [{key: note[key] for key in ("file", "sha256", "file_bytes")} for note in notes],
        "bytes": int(index[:, 2].sum()),
    }
    write_json(folder / "manifest.json", manifest)
    return manifest
