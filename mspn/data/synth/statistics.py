"""Describe a data set of persons: how many, how large, how visible, how close; COCO's figures beside it."""

from pathlib import Path
from typing import Any

import numpy as np
from tabulate import tabulate

from mspn.data.skeletons import COCO, MPII
from mspn.errors import UserError
from mspn.files import read_json

# What is known of COCO, and from where; nothing else is claimed. "sample" was measured by this module.
SOURCES = {
    "paper": "MSPN paper, section 4.1: nearly 57K images and 150K persons with labelled joints for training",
    "sample": "159 images of train2017 and val2017 with 154 labelled persons: too few for the last digit",
}
_OF_PAPER = {
    "images_with_labelled_persons": 57_000,
    "persons_labelled": 150_000,
    "labelled_persons_per_such_image": 2.6,
}
_OF_SAMPLE = {
    "joints_labelled_per_person": 9.43,
    "joint_visible": 0.481,
    "joint_hidden": 0.074,
    "joint_unlabelled": 0.445,
    "box_height_over_image_side": [0.154, 0.306, 0.521],
    "area_over_image": [0.0076, 0.0237, 0.0932],
    "medium_share": 0.578,
    "large_share": 0.422,
    "largest_box_iou": 0.075,
    "box_iou_above_0.3": 0.071,
    "box_iou_above_0.5": 0.0,
}
_VISIBLE_IN_SAMPLE = (  # of COCO's joints, in their order
    0.584, 0.532, 0.532, 0.416, 0.435, 0.656, 0.721, 0.494, 0.513, 0.481, 0.5, 0.5, 0.494, 0.383, 0.364,
    0.318, 0.247,
)  # fmt: skip
_OF_SAMPLE |= {f"visible: {name}": v for name, v in zip(COCO.joints, _VISIBLE_IN_SAMPLE, strict=True)}
COCO_FIGURES: dict[str, dict[str, Any]] = {
    key: {"value": value, "source": source}
    for source, figures in (("paper", _OF_PAPER), ("sample", _OF_SAMPLE))
    for key, value in figures.items()
}


def statistics_of(root: Path) -> dict[str, Any]:
    """Statistics of every split in ``root``, by split; COCO's layout or MPII's JSON conversion.

    Raises UserError where there is no annotation file.
    """
    folder = Path(root) / "annotations"
    coco = sorted(folder.glob("person_keypoints_*.json"))
    mpii = [path for name in ("train", "valid") if (path := folder / f"{name}.json").is_file()]
    if not coco and not mpii:
        raise UserError(f"{folder}: no person_keypoints_*.json and no train.json or valid.json")
    splits = {path.stem.removeprefix("person_keypoints_"): _coco(path) for path in coco}
    splits |= {path.stem: _mpii(path) for path in mpii if not coco}
    return {"root": str(root), "splits": splits} | (
        {"coco": COCO_FIGURES, "sources": SOURCES} if coco else {}
    )


def _coco(path: Path) -> dict[str, Any]:
    data = read_json(path, "annotation file")
    try:
        sizes = {image["id"]: image["width"] * image["height"] for image in data["images"]}
        persons = [a for a in data["annotations"] if a["category_id"] == 1 and not a["iscrowd"]]
        labelled = [a for a in persons if a["num_keypoints"] > 0]
        v = np.array([a["keypoints"] for a in labelled]).reshape(-1, len(COCO.joints), 3)[..., 2]
        images = [a["image_id"] for a in labelled]
        boxes = np.array([a["bbox"] for a in labelled], float).reshape(-1, 4)
        area = np.array([a["area"] for a in labelled], float)
        size = np.array([sizes[image] for image in images], float)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: not COCO keypoint annotations: {error!r}") from None
    per_image = np.unique(np.array(images), return_counts=True)[1]
    overlap = largest_overlap(np.array(images), boxes)
    return {
        "images": len(sizes),
        "persons": len(persons),
        "persons_labelled": len(labelled),
        "images_with_labelled_persons": len(per_image),
        "labelled_persons_per_such_image": _mean(per_image),
        "joints_labelled_per_person": _mean((v > 0).sum(axis=1)),
        "joint_visible": _mean(v == 2),
        "joint_hidden": _mean(v == 1),
        "joint_unlabelled": _mean(v == 0),
        "box_height_over_image_side": _quartiles(boxes[:, 3] / np.sqrt(size)),
        "area_over_image": _quartiles(area / size),
        "medium_share": _mean((area >= 32**2) & (area < 96**2)),
        "large_share": _mean(area >= 96**2),
        "largest_box_iou": _mean(overlap),
        "box_iou_above_0.3": _mean(overlap > 0.3),
        "box_iou_above_0.5": _mean(overlap > 0.5),
        **{f"visible: {name}": _mean(v[:, k] == 2) for k, name in enumerate(COCO.joints)},
    }  # fmt: skip


def _mpii(path: Path) -> dict[str, Any]:
    data = read_json(path, "annotation file")
    try:
        v = np.array([row["joints_vis"] for row in data]).reshape(-1, len(MPII.joints))
        images = [row["image"] for row in data]
        scale = np.array([row["scale"] for row in data], float)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: not the JSON conversion of MPII: {error!r}") from None
    per_image = np.unique(np.array(images), return_counts=True)[1]
    return {
        "images_with_labelled_persons": len(per_image),
        "persons_labelled": len(data),
        "labelled_persons_per_such_image": _mean(per_image),
        "joints_labelled_per_person": _mean((v > 0).sum(axis=1)),
        "height_px": _quartiles(200 * scale),
        **{f"labelled: {name}": _mean(v[:, k] > 0) for k, name in enumerate(MPII.joints)},
    }


def largest_overlap(images: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """(N,) each box's (x, y, w, h) largest intersection over union with another of its image; 0 if alone."""
    best = np.zeros(len(boxes))
    for image in np.unique(images):
        rows = np.flatnonzero(images == image)
        low, high = boxes[rows, :2], boxes[rows, :2] + boxes[rows, 2:]
        side = np.clip(np.minimum(high[:, None], high) - np.maximum(low[:, None], low), 0, None)
        common = side[..., 0] * side[..., 1]
        own = boxes[rows, 2] * boxes[rows, 3]
        iou = common / np.maximum(own[:, None] + own - common, 1e-9)
        np.fill_diagonal(iou, 0.0)
        best[rows] = iou.max(axis=1)
    return best


def _mean(values: np.ndarray) -> float | None:
    return round(float(np.mean(values)), 4) if np.size(values) else None


def _quartiles(values: np.ndarray) -> list[float] | None:
    return [round(float(q), 4) for q in np.percentile(values, (25, 50, 75))] if np.size(values) else None


def describe(statistics: dict[str, Any]) -> str:
    """The statistics as a table for a person to read; three figures are the quartiles."""
    splits, coco = statistics["splits"], statistics.get("coco", {})
    rows = [[statistics["root"], *splits, *(("COCO", "") if coco else ())]]
    for key in next(iter(splits.values())):
        row = [key.replace("_", " "), *(_text(split[key]) for split in splits.values())]
        if coco:
            known = coco.get(key, {"value": None, "source": ""})
            row += [_text(known["value"]), known["source"]]
        rows.append(row)
    sides = ("left", *("right" for _ in splits), *(("right", "left") if coco else ()))
    table = tabulate(rows, tablefmt="plain", disable_numparse=True, colalign=sides)
    sources = [f"{name}: {text}" for name, text in statistics.get("sources", {}).items()]
    return "\n".join(line.rstrip() for line in [*table.splitlines(), *sources])


def _text(value: Any) -> str:
    if isinstance(value, list):
        return " / ".join(f"{v:.3g}" for v in value)
    return "-" if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)
