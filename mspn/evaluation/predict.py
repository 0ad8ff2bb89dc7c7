"""Joints of persons on anybody's pictures: read ahead, batched across pictures, drawn and written behind.

Results are ``predictions.jsonl``, a line per person as it is found; ``overlays/``, the pictures with their
skeletons; and at the end ``predictions.json``, the same in COCO's result form, and ``summary.json``.
"""

import errno
import json
import math
import os
import signal
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from mspn.data import draw
from mspn.data.batches import ahead
from mspn.data.coco_form import PERSON
from mspn.data.geometry import crop_matrices, test_crops
from mspn.data.notes import Notes
from mspn.data.photos import Photo
from mspn.data.pictures import read_upright
from mspn.data.skeletons import Skeleton
from mspn.errors import UserError
from mspn.evaluation.decode import decode, merge, to_picture
from mspn.evaluation.inference import Ensemble, heat_maps, quicken
from mspn.evaluation.protocols import PROTOCOLS, filter_kernel
from mspn.files import write_json, write_text
from mspn.training.train import Stop

LINES, RESULTS, SUMMARY, OVERLAYS = "predictions.jsonl", "predictions.json", "summary.json", "overlays"
# Joint scores run from about 0.5 (nothing there) to 1.5 (the peak that networks are trained to).
THRESHOLD = 0.6
COUNTS = ("read", "predicted", "persons", "joints", "joints_above_threshold", "joints_outside")
HELD_BYTES = 256 * 2**20  # of pictures that wait for their batch; large ones make it smaller
UNREADABLE = "pictures that cannot be read"
UNDRAWN = "overlays that cannot be written; the joints are there"
# What is wrong with a picture's name alone; a full or read-only disk ends the work.
_NAMES = (errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG)
OUTSIDE = "boxes outside their picture, or smaller than a pixel"


@dataclass(frozen=True)
class Reading:
    """A picture (H, W, 3) uint8 BGR, its P persons' boxes (P, 5), crops (P, h, w, 3) and the crops' matrices
    picture -> input (P, 2, 3); ``outside`` are boxes that are not on it."""

    photo: Photo
    image: np.ndarray
    boxes: np.ndarray
    crops: np.ndarray
    matrices: np.ndarray
    outside: np.ndarray


def predict_photos(
    ensemble: Ensemble,
    photos: Sequence[Photo],
    boxes: Mapping[str, np.ndarray] | None,
    out: Path,
    notes: Notes,
    *,
    threshold: float = THRESHOLD,
    batch: int = 32,
    stop: Stop | None = None,
    seen: Callable[[], Any] = lambda: None,
) -> dict[str, Any]:
    """Predict by the paper's protocol, write all results under ``out`` and return what the summary holds.

    ``boxes`` are (P, 5) by the pictures' names, x, y, width, height and score; without it each whole picture
    is a person's box. ``stop`` ends it after the batch at hand; what was done by then is written. ``seen`` is
    called for each picture when it has been read. ``notes`` has pictures that cannot be read, boxes outside
    theirs, and overlays whose names are none. UserError where the network gives a heat map that is none.
    """
    cv2.setNumThreads(1)
    todo = [photo for photo in photos if boxes is None or len(boxes.get(photo.name, ()))]
    for name in (LINES, RESULTS, SUMMARY):
        (out / name).unlink(missing_ok=True)
    quicken(ensemble)
    counts = Counter(dict.fromkeys(COUNTS, 0))
    readings = _noted(_readings(todo, boxes, ensemble.input_size, stop, counts), notes, seen)
    lines = _work(ensemble, _groups(readings, batch), out, counts, threshold, batch, boxes is not None, notes)
    write_text(out / RESULTS, f"[{','.join(lines)}]\n")
    stopped = stop.signal if stop and counts["read"] < len(todo) else None
    summary = {
        "pictures": len(photos),
        "without_box": len(photos) - len(todo),
        **counts,
        "threshold": threshold,
        "whole_pictures": boxes is None,
        "stopped_by": signal.Signals(stopped).name if stopped else None,
        "joint_set": list(ensemble.skeleton.joints),
        "left_out": {rule: {"count": len(e), "which": sorted(set(e))} for rule, e in notes.entries.items()},
    }
    write_json(out / SUMMARY, summary)
    return summary


def _work(
    ensemble: Ensemble,
    groups: Iterable[list[Reading]],
    out: Path,
    counts: Counter[str],
    threshold: float,
    batch: int,
    boxed: bool,
    notes: Notes,
) -> list[str]:
    """Predict, write and draw group by group, drawing one group while the next is predicted; all lines."""
    lines: list[str] = []
    drawn: Future[None] | None = None
    with ThreadPoolExecutor(1) as behind, (out / LINES).open("x", encoding="utf-8") as file:
        for group in groups:
            joints = _predict(ensemble, group, batch)
            new = [
                line for pair in zip(group, joints, strict=True) for line in _lines(*pair, ensemble.skeleton)
            ]
            file.writelines(new)
            file.flush()
            lines += new
            counts.update(_counts(group, joints, threshold))
            if drawn:
                drawn.result()
            how = (ensemble.skeleton, threshold, boxed, notes)
            drawn = behind.submit(_write_overlays, out, group, joints, *how)
        if drawn:
            drawn.result()
    return lines


def _readings(
    todo: Sequence[Photo],
    boxes: Mapping[str, np.ndarray] | None,
    input_size: tuple[int, int],
    stop: Stop | None,
    counts: Counter[str],
) -> Iterator[Reading | str]:
    """The pictures in order, read ahead by a thread, until told to stop; counted as they are asked for."""

    def asked() -> Iterator[Photo]:
        for photo in todo:
            if stop and stop.signal:
                return
            counts["read"] += 1
            yield photo

    def read(photo: Photo) -> Reading | str:
        return _read(photo, None if boxes is None else boxes[photo.name], input_size)

    return ahead(read, asked(), 1)


def _read(photo: Photo, boxes: np.ndarray | None, input_size: tuple[int, int]) -> Reading | str:
    """The picture and its persons' crops, or what is wrong with it."""
    try:
        image = read_upright(photo.path)
    except UserError as error:
        return str(error)
    height, width = image.shape[:2]
    if boxes is None:
        boxes = np.array([[0.0, 0.0, width, height, 1.0]])
    x, y, w, h = boxes[:, :4].T
    on = (x < width) & (y < height) & (x + w > 0) & (y + h > 0) & (w >= 1) & (h >= 1)
    # Boxes are enlarged as detections are, for MPII's joints too: its own squares come from annotations.
    matrices = crop_matrices(test_crops(boxes[on, :4], input_size), input_size)
    crops = np.empty((len(matrices), *input_size, 3), np.uint8)
    for crop, matrix in zip(crops, matrices, strict=True):
        cv2.warpAffine(image, matrix, input_size[::-1], dst=crop)
    return Reading(photo, image, boxes[on], crops, matrices, boxes[~on])


def _noted(readings: Iterable[Reading | str], notes: Notes, seen: Callable[[], Any]) -> Iterator[Reading]:
    """The pictures with persons; the others, and boxes that are not on theirs, are noted."""
    for reading in readings:
        seen()
        if isinstance(reading, str):
            notes.add(UNREADABLE, reading)
            continue
        for box in reading.outside[:, :4].tolist():
            height, width = reading.image.shape[:2]
            notes.add(OUTSIDE, f"{reading.photo.name}: box {box}, picture of {width} x {height} pixels")
        if len(reading.crops):
            yield reading


def _groups(readings: Iterable[Reading], batch: int) -> Iterator[list[Reading]]:
    """Pictures whose persons fill a batch together; fewer where the pictures are large, and at least one."""
    group: list[Reading] = []
    persons = held = 0
    for reading in readings:
        persons += len(reading.crops)
        held += reading.image.nbytes
        if group and (persons > batch or held > HELD_BYTES):
            yield group
            group, persons, held = [], len(reading.crops), reading.image.nbytes
        group.append(reading)
    if group:
        yield group


def _predict(ensemble: Ensemble, group: list[Reading], batch: int) -> list[np.ndarray]:
    """(P, K, 3) joints x, y in pixels of the picture and scores, for each picture's P persons."""
    crops = torch.from_numpy(np.concatenate([reading.crops for reading in group]))
    matrices = torch.from_numpy(np.concatenate([reading.matrices for reading in group]))
    parts = math.ceil(len(crops) / batch)
    paper, order = PROTOCOLS["paper"], ensemble.skeleton.mirrored
    kernel = filter_kernel(ensemble.skeleton.name)
    found = []
    for images, own in zip(crops.tensor_split(parts), matrices.tensor_split(parts), strict=True):
        try:
            maps, mirrored = heat_maps(ensemble, images)
        except torch.OutOfMemoryError:
            raise UserError(
                f"out of memory with {len(images)} persons at once; try a smaller --batch"
            ) from None
        joints = decode(merge(maps, mirrored, order, paper.shift), kernel, paper.offset)
        found.append(to_picture(joints, own.to(joints.device)).cpu().numpy())
    ends = np.cumsum([len(reading.crops) for reading in group])[:-1]
    return np.split(np.concatenate(found), ends)


def _outside(reading: Reading, joints: np.ndarray) -> np.ndarray:
    """(P, K) whether each joint lies outside the picture."""
    height, width = reading.image.shape[:2]
    x, y = joints[..., 0], joints[..., 1]
    return np.asarray((x < 0) | (y < 0) | (x > width - 1) | (y > height - 1))


def _counts(group: list[Reading], joints: list[np.ndarray], threshold: float) -> dict[str, int]:
    return {
        "predicted": len(group),
        "persons": sum(len(persons) for persons in joints),
        "joints": sum(persons[..., 2].size for persons in joints),
        "joints_above_threshold": sum(int((persons[..., 2] > threshold).sum()) for persons in joints),
        "joints_outside": sum(int(_outside(*pair).sum()) for pair in zip(group, joints, strict=True)),
    }


def _lines(reading: Reading, joints: np.ndarray, skeleton: Skeleton) -> list[str]:
    """A picture's persons as COCO results, a line each, with its file's name and the joints outside it."""
    scores = joints[..., 2].mean(axis=1) * reading.boxes[:, 4]
    entries = [
        {
            "image_id": reading.photo.image_id,
            "file_name": reading.photo.name,
            "category_id": PERSON,
            "bbox": box[:4],
            "keypoints": keypoints,
            "score": round(score, 9),
            "outside": [skeleton.joints[k] for k in np.flatnonzero(outside)],
        }
        for box, keypoints, score, outside in zip(
            reading.boxes.tolist(),
            joints.round(3).reshape(len(joints), -1).tolist(),
            scores.tolist(),
            _outside(reading, joints),
            strict=True,
        )
    ]
    return [json.dumps(entry, allow_nan=False) + "\n" for entry in entries]


def _write_overlays(
    out: Path,
    group: list[Reading],
    joints: list[np.ndarray],
    skeleton: Skeleton,
    threshold: float,
    boxed: bool,
    notes: Notes,
) -> None:
    """The pictures with their persons, and boxes where they were given; joints outside thin, at the edge.

    One whose name cannot be that of a file there, or is taken by a folder, is noted.
    """
    for reading, persons in zip(group, joints, strict=True):
        image, shown = reading.image, persons.copy()
        shown[..., :2] = shown[..., :2].clip(0, (image.shape[1] - 1, image.shape[0] - 1))
        shown[_outside(reading, persons), 2] = np.finfo(float).min
        for box in reading.boxes if boxed else ():
            draw.draw_box(image, box)
        for person in shown:
            draw.draw_skeleton(image, person, skeleton, minimum=-math.inf, threshold=threshold)
        target = out / OVERLAYS / f"{reading.photo.name}.jpg"
        try:
            _write_overlay(target, draw.encode_jpeg(image, 92))
        except OSError as error:
            if error.errno not in _NAMES:
                raise
            notes.add(UNDRAWN, f"{target}: {error.strerror}")


def _write_overlay(target: Path, data: bytes) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{os.getpid()}.tmp")
    try:
        temporary.write_bytes(data)
        temporary.replace(target)  # whole or absent; not synced, as it can be made again
    finally:
        temporary.unlink(missing_ok=True)
