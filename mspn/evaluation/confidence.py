"""Intervals of anybody's COCO keypoint results: files read and checked, scored by pycocotools, resampled.

A results file is a list of ``{"image_id", "category_id", "keypoints", "score"}``, keypoints as x, y, v of 17
joints; boxes may be there and then decide the area, as pycocotools has it. What cannot be meant is refused,
not scored: pycocotools would drop it, or count it, in silence.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools.coco import COCO

from mspn.data.coco import MOST
from mspn.data.skeletons import skeleton
from mspn.errors import UserError
from mspn.evaluation.metrics import coco
from mspn.evaluation.metrics.bootstrap import COCO_FIGURES, Matches, figures, pack, replicates
from mspn.evaluation.metrics.resampling import interval
from mspn.files import read_json

LEVEL = 0.95
SEED = 0
JOINTS = len(skeleton("coco").joints)
VALUES = 3 * JOINTS  # x, y, v of each
SHOWN = 5  # wrong entries that an error names


def compare(truth: Path, files: Sequence[Path], count: int) -> dict[str, Any]:
    """The ten figures of one or two results files with 95 % intervals over images, and two files' difference.

    Percent; None where a figure is not defined, as without persons of a size. The difference is the first
    file's minus the second's on the same drawn images. UserError for files that are not what they should be.
    """
    annotations = read_truth(truth)
    packed = [pack(coco.evaluate(annotations, read_results(path, annotations))) for path in files]
    drawn = [100 * replicates(matches, SEED, count) for matches in packed]
    values = [100 * np.where((found := figures(m)) < 0, np.nan, found) for m in packed]
    result: dict[str, Any] = {
        "truth": str(truth),
        "images": len(packed[0].image_ids),
        "persons": int(packed[0].persons[0].sum()),
        "replicates": count,
        "level": LEVEL,
        "files": [
            {"file": str(path), "detections": _detections(m), "figures": _figures(value, many)}
            for path, m, value, many in zip(files, packed, values, drawn, strict=True)
        ],
    }
    if len(files) == 2:
        result["difference"] = _figures(values[0] - values[1], drawn[0] - drawn[1])
    return result


def _detections(matches: Matches) -> int:
    """Those that count: pycocotools takes the 20 best of an image."""
    return len(matches.scores)


def _figures(values: np.ndarray, many: np.ndarray) -> dict[str, dict[str, float | None]]:
    """Figure -> value and interval; ``values`` is (10,), ``many`` (B, 10)."""
    found: dict[str, dict[str, float | None]] = {}
    for name, value, column in zip(COCO_FIGURES, values.tolist(), many.T, strict=True):
        low, high = interval(column, LEVEL)
        known = not math.isnan(value)
        found[name] = {
            "value": value if known else None,
            "low": low if known else None,
            "high": high if known else None,
        }
    return found


def read_truth(path: Path) -> COCO:
    """pycocotools' index of an annotation file of keypoints; UserError says what is wrong with it."""
    content = read_json(path, "annotation file")
    missing = {"images", "annotations", "categories"} - set(content if isinstance(content, dict) else ())
    if missing:
        raise UserError(f"{path}: not COCO annotations: {', '.join(sorted(missing))} missing")
    try:
        truth = coco.index(content)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    persons = [a for a in content["annotations"] if a.get("category_id") == coco.PERSON]
    if not persons:
        raise UserError(f"{path}: no annotated person (category {coco.PERSON})")
    for person in persons:
        if len(person["keypoints"]) != VALUES:
            raise UserError(
                f"{path}: annotation {person.get('id')}: {len(person['keypoints'])} numbers of keypoints, "
                f"not {VALUES}: COCO's metric is defined for its {JOINTS} joints"
            )
    return truth


def read_results(path: Path, truth: COCO) -> list[dict[str, Any]]:
    """A results file's entries, with the keys that scoring reads. UserError names file and entries."""
    if path.is_file() and not path.stat().st_size:
        raise UserError(f"{path}: an empty file; a results file is a JSON list of detections")
    content = read_json(path, "results file")
    if not isinstance(content, list):
        raise UserError(f"{path}: not a list of detections, as COCO's results files are")
    if not content:
        raise UserError(f"{path}: an empty list: no detection to score")
    images, seen = set(truth.getImgIds()), dict[tuple[Any, ...], int]()
    boxes = isinstance(content[0], dict) and "bbox" in content[0]
    wrong = []
    for number, entry in enumerate(content, start=1):
        problem = _problem(entry, images, boxes)
        if not problem:
            key = (entry["image_id"], entry["score"], *entry["keypoints"])
            first = seen.setdefault(key, number)
            problem = f"the same image, keypoints and score as entry {first}" if first != number else ""
        if problem:
            wrong.append(f"  entry {number}: {problem}")
    if wrong:
        more = [f"  and {len(wrong) - SHOWN} more"] if len(wrong) > SHOWN else []
        lines = [f"{path}: {len(wrong)} of {len(content)} entries are wrong", *wrong[:SHOWN], *more]
        raise UserError("\n".join(lines))
    keys = ("image_id", "category_id", "keypoints", "score", *(("bbox",) if boxes else ()))
    return [{key: entry[key] for key in keys} for entry in content]


def _problem(entry: Any, images: set[int], boxes: bool) -> str:
    """What is wrong with an entry; empty where nothing is."""
    if not isinstance(entry, dict):
        return "not an object with image_id, category_id, keypoints and score"
    missing = [key for key in ("image_id", "category_id", "keypoints", "score") if key not in entry]
    if missing:
        return f"lacks {', '.join(missing)}"
    image, category, keypoints, score = (
        entry[k] for k in ("image_id", "category_id", "keypoints", "score")
    )  # fmt: skip
    if not isinstance(image, int) or image not in images:
        return f"image_id {image!r} is not in the annotations"
    if category != coco.PERSON:
        return f"category_id {category!r} is not the person's, {coco.PERSON}"
    if not _are_numbers([score]):
        return f"score {score!r} is not a finite number"
    if not isinstance(keypoints, list) or len(keypoints) != VALUES:
        there = f"{len(keypoints)} numbers" if isinstance(keypoints, list) else repr(keypoints)[:40]
        return f"keypoints are {there}, not {VALUES} numbers"
    if not _are_numbers(keypoints):
        return "a keypoint is not a finite number"
    box = entry.get("bbox")
    if boxes and not (isinstance(box, list) and len(box) == 4 and _are_numbers(box)):
        return "no bbox of four finite numbers, though the first entry has one"
    if not boxes and box is not None:
        return "a bbox, though the first entry has none"
    return ""


def _are_numbers(values: list[Any]) -> bool:
    return all(type(value) in (int, float) and abs(value) <= MOST for value in values)
