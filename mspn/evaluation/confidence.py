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

from mspn.errors import UserError
from mspn.evaluation.metrics import coco
from mspn.evaluation.metrics.bootstrap import COCO_FIGURES, figures, pack, replicates
from mspn.evaluation.metrics.resampling import interval
from mspn.files import read_json

LEVEL = 0.95
SEED = 0
SHOWN = 5  # wrong entries that an error names


def compare(truth: Path, files: Sequence[Path], count: int) -> dict[str, Any]:
    """The ten figures of one or two results files with 95 % intervals over images, and two files' difference.

    Percent; None where a figure is not defined, as without persons of a size. ``detections`` are those that
    count: pycocotools takes the 20 best of an image. The difference is the first file's minus the second's on
    the same drawn images. UserError for files that are not what they should be.
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
            {"file": str(path), "detections": len(m.scores), "figures": _figures(value, many)}
            for path, m, value, many in zip(files, packed, values, drawn, strict=True)
        ],
    }
    if len(files) == 2:
        result["difference"] = _figures(values[0] - values[1], drawn[0] - drawn[1])
    return result


def _figures(values: np.ndarray, many: np.ndarray) -> dict[str, dict[str, float | None]]:
    """Figure -> value and interval; ``values`` is (10,), ``many`` (B, 10)."""
    found: dict[str, dict[str, float | None]] = {}
    for name, value, column in zip(COCO_FIGURES, values.tolist(), many.T, strict=True):
        low, high = interval(column, LEVEL)
        numbers = (None, None, None) if math.isnan(value) else (value, low, high)
        found[name] = dict(zip(("value", "low", "high"), numbers, strict=True))
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
        if len(person["keypoints"]) != coco.VALUES:
            raise UserError(
                f"{path}: annotation {person.get('id')}: {len(person['keypoints'])} numbers of keypoints, "
                f"not {coco.VALUES}: COCO's metric is defined for its {coco.VALUES // 3} joints"
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
        problem = coco.fault(entry, images, boxes)
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
    keys = (*coco.KEYS, *(("bbox",) if boxes else ()))
    return [{key: entry[key] for key in keys} for entry in content]
