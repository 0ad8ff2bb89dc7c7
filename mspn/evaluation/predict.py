"""Joints of persons on any pictures: one person per picture, or given boxes; as COCO JSON and as overlays."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from mspn.data.coco import numbers
from mspn.data.geometry import crop_matrices, test_crops
from mspn.data.mpii import picture_size
from mspn.data.persons import Picture
from mspn.data.pictures import read_picture
from mspn.errors import UserError
from mspn.evaluation import draw
from mspn.evaluation.decode import decode, merge, to_picture
from mspn.evaluation.inference import Ensemble, heat_maps
from mspn.evaluation.metrics.coco import PERSON
from mspn.evaluation.protocols import filter_kernel, protocol
from mspn.files import atomic, read_json, write_json

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"}
# Joint scores run from about 0.5 (nothing there) to 1.5; below this a joint is written but not drawn.
DRAWN_FROM = 0.6


@dataclass(frozen=True)
class Predicted:
    """What was done: entries in COCO's result form, and a line for each picture that could not be used."""

    results: list[dict[str, Any]]
    problems: list[str]


def find_pictures(path: Path) -> list[Path]:
    """The picture itself, or every file in a folder (and below) that is named like a picture, sorted."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise UserError(f"{path}: no such picture or folder")
    found = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    if not found:
        raise UserError(f"{path}: no picture in it (looked for {', '.join(sorted(SUFFIXES))})")
    return found


def read_boxes(path: Path) -> dict[str, list[list[float]]]:
    """Boxes by picture: lists of x, y, width, height and score, from either of two forms.

    A mapping of file names to lists of boxes of 4 numbers (or 5, with a score), or COCO detections: a list of
    ``{"image_id" or "file_name", "bbox", "score"}`` (``score`` may be left out; other categories than
    person are). A picture is named by its file name, its path below the folder, its name without the suffix,
    or, as COCO's image id, the number that its name is. UserError names a malformed entry.
    """
    value = read_json(path, "boxes file")
    boxes: dict[str, list[list[float]]] = {}
    if isinstance(value, dict):
        entries = [
            (str(name), box, f"{path}: {name!r}, box {i}")
            for name, rows in value.items()
            for i, box in enumerate(rows if isinstance(rows, list) else [rows])
        ]
        boxes = {str(name): [] for name in value}
    elif isinstance(value, list):
        entries = []
        for i, entry in enumerate(value):
            place = f"{path}: entry {i}"
            name = entry.get("file_name", entry.get("image_id")) if isinstance(entry, dict) else None
            if name is None or "bbox" not in entry:
                raise UserError(f"{place}: needs bbox and image_id or file_name")
            if entry.get("category_id", PERSON) == PERSON:
                box = entry["bbox"]
                scored = [*box, entry["score"]] if "score" in entry and isinstance(box, list) else box
                entries.append((str(name), scored, place))
    else:
        raise UserError(f"{path}: expected COCO detections or a mapping of file names to boxes")
    for name, box, place in entries:
        length = len(box) if isinstance(box, list) and len(box) in (4, 5) else 4
        row = numbers(box, length, place)
        if row[2] <= 0 or row[3] <= 0:
            raise UserError(f"{place}: a box is x, y, width, height with a size above 0, not {box}")
        boxes.setdefault(name, []).append(row if length == 5 else [*row, 1.0])
    return boxes


def predict_pictures(
    ensemble: Ensemble,
    pictures: list[Path],
    root: Path,
    boxes: dict[str, list[list[float]]] | None,
    out: Path,
    batch: int = 32,
) -> Predicted:
    """Predict by the paper's protocol; write ``out/predictions.json`` and ``out/overlays/``.

    Without boxes the whole picture is one person. A picture that cannot be read is skipped and named among
    the problems, as are boxes of pictures that are not there; a picture without a box is not.
    """
    names = [str(path.relative_to(root)) if path != root else path.name for path in pictures]
    ids = _image_ids(pictures)
    results: list[dict[str, Any]] = []
    problems: list[str] = []
    used: set[str] = set()
    for path, name, image_id in zip(pictures, names, ids, strict=True):
        try:
            image = read_upright(path)
        except UserError as error:
            problems.append(str(error))
            used.update(_keys(path, name))
            continue
        rows = [[0.0, 0.0, float(image.shape[1]), float(image.shape[0]), 1.0]]
        if boxes is not None:
            keys = [key for key in _keys(path, name) if key in boxes]
            used.update(keys)
            rows = [row for key in keys for row in boxes[key]]
        joints = predict_image(ensemble, image, np.array(rows).reshape(-1, 5), batch)
        for person, row in zip(joints, rows, strict=True):
            results.append(_result(image_id, name, person, row))
            draw.draw_skeleton(image, person, ensemble.skeleton, minimum=DRAWN_FROM)
        target = out / "overlays" / f"{name}.jpg"
        with atomic(target) as temporary:
            temporary.write_bytes(draw.encode_jpeg(image, 92))
    problems += [f"{name}: boxes, but no such picture" for name in sorted(set(boxes or ()) - used)]
    write_json(out / "predictions.json", results)
    return Predicted(results, problems)


def predict_image(ensemble: Ensemble, image: np.ndarray, boxes: np.ndarray, batch: int = 32) -> np.ndarray:
    """(P, K, 3) joints x, y in pixels and scores, of the persons in boxes (P, 4 or more) of a picture.

    Boxes are enlarged as detections are, for MPII's joints too: its own squares come from annotations.
    """
    size = ensemble.input_size
    matrices = crop_matrices(test_crops(boxes[:, :4], size), size)
    paper = protocol("paper")
    kernel = filter_kernel(ensemble.skeleton.name)
    parts = [np.zeros((0, len(ensemble.skeleton.joints), 3))]
    for chunk in _chunks(matrices, batch):
        crops = np.stack([cv2.warpAffine(image, matrix, size[::-1]) for matrix in chunk])
        maps, mirrored = heat_maps(ensemble, torch.from_numpy(crops))
        merged = merge(maps, mirrored, ensemble.skeleton.mirrored, paper.shift)
        joints = decode(merged, kernel, paper.offset)
        parts.append(to_picture(joints, torch.from_numpy(chunk).to(joints.device)).cpu().numpy())
    return np.concatenate(parts)


def read_upright(path: Path) -> np.ndarray:
    """The picture (H, W, 3) uint8 BGR as people see it: turned as its orientation tag says.

    Unlike the data sets' reader, whose annotations are in the stored orientation. UserError where the file
    is no picture, or only part of one.
    """
    read_picture(Picture(path, *picture_size(path)))  # refuses a truncated file, which OpenCV fills with grey
    image = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise UserError(f"{path}: not a picture that OpenCV {cv2.__version__} can read")
    return np.asarray(image)


def _chunks(rows: np.ndarray, size: int) -> Iterator[np.ndarray]:
    for first in range(0, len(rows), size):
        yield rows[first : first + size]


def _keys(path: Path, name: str) -> list[str]:
    """What a boxes file may call a picture; each once."""
    keys = [name, path.name, path.stem]
    if path.stem.isdigit():
        keys.append(str(int(path.stem)))
    return list(dict.fromkeys(keys))


def _image_ids(pictures: list[Path]) -> list[int]:
    """The numbers that COCO's file names are; 1, 2, 3, ... where a name is not one, or two are the same."""
    if all(path.stem.isdigit() for path in pictures):
        ids = [int(path.stem) for path in pictures]
        if len(set(ids)) == len(ids):
            return ids
    return list(range(1, len(pictures) + 1))


def _result(image_id: int, name: str, joints: np.ndarray, box: list[float]) -> dict[str, Any]:
    return {
        "image_id": image_id,
        "file_name": name,
        "category_id": PERSON,
        "bbox": box[:4],
        "keypoints": np.round(joints, 3).ravel().tolist(),
        "score": round(float(joints[:, 2].mean()) * box[4], 9),
    }
