"""Detectors as a swap: true boxes, a file of detections, and true boxes made worse until they measure an AP.

All three give detections in COCO's result format, ``{"image_id", "category_id", "bbox", "score"}``,
category 1.
"""

import contextlib
import io
import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypedDict

import msgspec
import numpy as np

from mspn.data.coco_form import PERSON, Box, Id, Number, numbers
from mspn.data.notes import Notes
from mspn.data.persons import Persons
from mspn.errors import UserError, shown
from mspn.experiment.config import DetectionFile, Detector, SimulatedDetector, TrueBoxes
from mspn.files import read_form

Detection = dict[str, Any]


class _Detection(TypedDict):
    image_id: Id
    category_id: Id
    bbox: Box
    score: Number


_FORM = msgspec.json.Decoder(list[_Detection])  # files in which `_check` finds nothing wrong

BEST = 100  # detections of an image that count, over all categories (paper, section 4.2)
BOXES_HASH = "boxes_sha256"  # in the file of measures that lies beside a file of boxes
TOLERANCE = 0.3  # percent of box AP that a simulated detector may be off
FEW = 100  # true boxes: with fewer, AP moves in steps too coarse to promise the tolerance
_STOP = 0.05  # percent of box AP at which the search ends
_STEPS = 20
_LOG = logging.getLogger("mspn.data")


def read_detections(path: Path, persons: Persons) -> Persons:
    """The best 100 boxes over all categories of each image, then persons only, in the file's order.

    Left out, with a count in the log: detections on images that ``persons`` has not, and boxes without area.
    UserError where the file is empty, names no known image or no person, or an entry is malformed.
    """
    value, sound = read_form(path, _FORM, "detection file")
    if not isinstance(value, list):
        raise UserError(f"{path}: expected a list of detections in COCO's result format")
    if not value:
        raise UserError(f"{path}: holds no detection; the detector failed, or this is another file")
    notes = Notes(str(path))
    if not sound:
        for i, entry in enumerate(value):
            _check(entry, f"{path}, entry {i}")
    known = [i for i, entry in enumerate(value) if entry["image_id"] in persons.pictures]
    for i in sorted(set(range(len(value))) - set(known)):
        notes.add("detections left out: unknown image", value[i]["image_id"])
    if not known:
        raise UserError(f"{path}: none of its {len(value)} detections is on an image of {persons.name}")
    kept = _best_persons([value[i] for i in known])
    with_area = [i for i in kept if min(value[known[i]]["bbox"][2:]) > 0]
    for i in sorted(set(kept) - set(with_area)):
        notes.add("detections left out: box without area", f"entry {known[i]}: {value[known[i]]['bbox']}")
    notes.log()
    if not with_area:
        raise UserError(f"{path}: no person (category {PERSON}) among the best {BEST} of any image")
    return _as_persons([value[known[i]] for i in with_area], persons, str(path))


def _check(entry: Any, place: str) -> None:
    """UserError where a detection is malformed."""
    if not isinstance(entry, dict) or not {"image_id", "category_id", "bbox", "score"} <= set(entry):
        raise UserError(f"{place}: needs image_id, category_id, bbox and score")
    numbers(entry["bbox"], 4, f"{place}: bbox")
    numbers([entry["score"]], 1, f"{place}: score")
    for key in ("image_id", "category_id"):
        if type(entry[key]) is not int or abs(entry[key]) >= 2**63:
            raise UserError(f"{place}: {key}: {shown(repr(entry[key]))} is not a whole number")


def _best_persons(detections: list[Detection]) -> list[int]:
    """Indices, in order, of the persons among each image's best 100 (equal scores: the earlier first)."""
    images = np.array([entry["image_id"] for entry in detections], np.int64)
    scores = np.array([entry["score"] for entry in detections], float)
    order = np.lexsort((-scores, images))
    starts = np.flatnonzero(np.diff(images[order], prepend=images[order[0]] - 1))
    rank = np.arange(len(order)) - np.repeat(starts, np.diff([*starts, len(order)]))
    best = np.sort(order[rank < BEST])
    return [i for i in best.tolist() if detections[i]["category_id"] == PERSON]


def _as_persons(detections: list[Detection], persons: Persons, name: str) -> Persons:
    count = len(detections)
    return Persons(
        name=name,
        skeleton=persons.skeleton,
        pictures=persons.pictures,
        ids=np.arange(count),
        image_ids=np.array([entry["image_id"] for entry in detections], np.int64),
        boxes=np.array([entry["bbox"] for entry in detections], np.float32),
        joints=np.zeros((count, len(persons.skeleton.joints), 3), np.float32),
        scores=np.array([entry["score"] for entry in detections], np.float32),
        areas=np.full(count, np.nan, np.float32),
        head_sizes=np.full(count, np.nan, np.float32),
    )


def as_detections(persons: Persons) -> list[Detection]:
    """Persons' boxes and scores in COCO's result format, grouped by image."""
    order = np.argsort(persons.image_ids, kind="stable")
    boxes, images, scores = persons.boxes[order], persons.image_ids[order], persons.scores[order]
    return [
        {"image_id": image, "category_id": PERSON, "bbox": box, "score": score}
        for image, box, score in zip(images.tolist(), boxes.tolist(), scores.tolist(), strict=True)
    ]


def box_ap(annotations: dict[str, Any], detections: list[Detection]) -> float:
    """Box AP (0.50:0.95, percent) of persons by pycocotools against every annotated person, crowd ignored."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    if not detections:
        return 0.0
    truth = [a for a in annotations["annotations"] if a["category_id"] == PERSON]
    with contextlib.redirect_stdout(io.StringIO()):
        gt = COCO()
        gt.dataset = {
            "images": [{"id": image["id"]} for image in annotations["images"]],
            "categories": [{"id": PERSON, "name": "person"}],
            "annotations": [
                {key: a.get(key, 0) for key in ("id", "image_id", "category_id", "bbox", "iscrowd")}
                | {"area": a.get("area", a["bbox"][2] * a["bbox"][3])}
                for a in truth
            ],
        }
        gt.createIndex()
        evaluation = COCOeval(gt, gt.loadRes([dict(entry) for entry in detections]), "bbox")
        evaluation.params.areaRng = evaluation.params.areaRng[:1]
        evaluation.params.areaRngLbl = evaluation.params.areaRngLbl[:1]
        evaluation.params.maxDets = [BEST]
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"]
    return float(100 * precision[precision > -1].mean()) if (precision > -1).any() else math.nan


def simulate(annotations: dict[str, Any], strength: float, seed: int) -> list[Detection]:
    """True boxes of every annotated person that is not crowd, made worse with ``strength`` (0: perfect).

    Per person, at strength t: the centre moves by 0.3 t of the side (standard deviation, each axis), the
    sides change by exp(0.3 t normal); missed with probability 0.1 t; found twice, worse by half, with 0.2
    t. Per image a false positive with probability 0.5 t, of a random size and place. Scores fall with how
    far the box is off, with noise; a duplicate's and a false positive's are lower. The random numbers are
    fixed by the seed and the entry's place, so that only the strength is left to solve for.
    """
    sizes = {image["id"]: (image["width"], image["height"]) for image in annotations["images"]}
    people = [
        a
        for a in annotations["annotations"]
        if a["category_id"] == PERSON and not a.get("iscrowd", 0) and min(a["bbox"][2:]) > 0
    ]
    if not people:
        return []
    boxes = np.array([a["bbox"] for a in people], float)
    found = np.random.Generator(np.random.Philox(key=np.array([seed, 0], np.uint64)))
    noise, chance = found.standard_normal((len(boxes), 10)), found.random((len(boxes), 2))
    first, second = _worse(boxes, noise[:, :5], strength), _worse(boxes, noise[:, 5:], 1.5 * strength)
    second[1][:] *= 0.6
    there = chance[:, 0] >= 0.1 * strength
    twice = there & (chance[:, 1] < 0.2 * strength)
    images = np.array([a["image_id"] for a in people])
    false = np.random.Generator(np.random.Philox(key=np.array([seed, 1], np.uint64))).random((len(sizes), 6))
    invented = false[:, 0] < 0.5 * strength
    frames = np.array(list(sizes.values()), float)
    sides = frames * (0.05 + 0.45 * false[:, 1:3])
    places = np.concatenate([(frames - sides) * false[:, 3:5], sides], axis=1)
    parts = (
        (images[there], first[0][there], first[1][there]),
        (images[twice], second[0][twice], second[1][twice]),
        (np.array(list(sizes))[invented], places[invented], 0.05 + 0.5 * false[invented, 5]),
    )
    image_ids, placed, scores = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort((-scores, image_ids))
    return [
        {"image_id": int(image_ids[i]), "category_id": PERSON, "bbox": placed[i].round(2).tolist()}
        | {"score": round(float(scores[i]), 4)}
        for i in order
    ]


def _worse(boxes: np.ndarray, noise: np.ndarray, strength: float) -> tuple[np.ndarray, np.ndarray]:
    """Boxes (N, 4) moved and resized by ``noise`` (N, 5) and scores (N,) that fall with the change."""
    shift, growth = 0.3 * strength * noise[:, :2], 0.3 * strength * noise[:, 2:4]
    sides = boxes[:, 2:] * np.exp(growth.clip(-2, 2))
    centres = boxes[:, :2] + boxes[:, 2:] * (0.5 + shift)
    off = np.abs(shift).sum(1) + np.abs(growth).sum(1)
    scores = (0.98 * np.exp(-off) + 0.1 * strength * noise[:, 4]).clip(0.01, 1)
    return np.concatenate([centres - sides / 2, sides], axis=1), scores


def calibrate(annotations: dict[str, Any], target: float, seed: int) -> tuple[list[Detection], float, float]:
    """Detections whose box AP is nearest to ``target`` (percent), that AP, and the strength, by bisection.

    Raises UserError where the AP is off by more than TOLERANCE, unless there are fewer than FEW true boxes:
    then AP moves in coarse steps, and the nearest is taken with a warning that says what it measures.
    """

    def measure(strength: float) -> tuple[float, float]:
        return box_ap(annotations, simulate(annotations, strength, seed)), strength

    ap, strength = bisect(measure, target)
    detections = simulate(annotations, strength, seed)
    people = sum(a["category_id"] == PERSON and not a.get("iscrowd", 0) for a in annotations["annotations"])
    if not abs(ap - target) <= TOLERANCE:
        message = (
            f"simulated detector: box AP {ap:.2f}, wanted {target} within {TOLERANCE}, on {people} boxes"
        )
        if people >= FEW:
            raise UserError(f"{message}; try another seed or more images")
        _LOG.warning("%s; fewer than %d boxes: the nearest is taken", message, FEW)
    return detections, ap, strength


def bisect(measure: Callable[[float], tuple[float, float]], target: float) -> tuple[float, float]:
    """The measured (value, argument) nearest to ``target`` of a function that falls from its value at 0."""
    tried = [measure(0.0), measure(1.0)]
    while tried[-1][0] > target and tried[-1][1] < 16:
        tried.append(measure(2 * tried[-1][1]))
    low, high = tried[-2][1], tried[-1][1]
    for _ in range(_STEPS):
        if min(abs(value - target) for value, _ in tried) <= _STOP:
            break
        middle = (low + high) / 2
        tried.append(measure(middle))
        low, high = (middle, high) if tried[-1][0] > target else (low, middle)
    return min(tried, key=lambda pair: abs(pair[0] - target))


def detect(
    detector: Detector, persons: Persons, annotations: dict[str, Any] | None
) -> tuple[list[Detection], dict[str, Any]]:
    """A detector's boxes on the pictures of ``persons`` and what they measure.

    ``annotations`` are COCO's own, crowd and unlabelled persons included; None for MPII, which allows true
    boxes only and has no box AP. The measures: ``kind``, ``box_ap`` and ``expected_box_ap`` in percent
    (None where there is none), ``strength`` of a simulated detector, and counts.
    """
    expected = getattr(detector, "box_ap", None)
    strength: float | None = None
    ap: float | None
    if isinstance(detector, SimulatedDetector) and annotations is not None:
        detections, ap, strength = calibrate(annotations, detector.box_ap, detector.seed)
    elif isinstance(detector, TrueBoxes):
        detections = as_detections(persons)
        ap = None if annotations is None else box_ap(annotations, detections)
    elif isinstance(detector, DetectionFile) and annotations is not None:
        detections = as_detections(read_detections(detector.path, persons))
        measured = ap = box_ap(annotations, detections)
        if expected is not None and not abs(measured - expected) <= TOLERANCE:
            _LOG.warning("%s: box AP %.2f measured, %s expected", detector.path, measured, expected)
    else:
        raise UserError(f"{persons.name}: MPII is evaluated on its true boxes only")
    boxes = (
        [] if annotations is None else [a for a in annotations["annotations"] if a["category_id"] == PERSON]
    )
    metrics = {
        "kind": detector.kind,
        "box_ap": ap,
        "expected_box_ap": expected,
        "strength": strength,
        "detections": len(detections),
        "images": len(persons.pictures),
        "persons_annotated": sum(not a.get("iscrowd", 0) for a in boxes) if boxes else len(persons),
    }
    return detections, metrics
