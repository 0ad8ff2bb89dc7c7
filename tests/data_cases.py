"""Small data sets for the tests of mspn.data: pictures of smooth noise with persons in them."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mspn.data.persons import Persons, Picture
from mspn.data.skeletons import COCO, MPII, Skeleton


def write_picture(path: Path, width: int, height: int, seed: int) -> None:
    noise = np.random.default_rng(seed).integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC))


def make_persons(folder: Path, count: int = 6, skeleton: Skeleton = COCO, seed: int = 0) -> Persons:
    """Persons of all sizes, two in every picture, some reaching out of it, some with few joints."""
    random = np.random.default_rng(seed)
    pictures = {}
    for i in range((count + 1) // 2):
        width, height = 90 + 20 * (i % 3), 120 - 10 * (i % 2)
        write_picture(folder / f"{i}.png", width, height, seed + i)
        pictures[10 + i] = Picture(folder / f"{i}.png", width, height)
    image_ids = 10 + np.arange(count) // 2
    frames = np.array([[pictures[i].width, pictures[i].height] for i in image_ids.tolist()])
    sides = frames * random.uniform(0.1, 1.1, (count, 2))
    corners = random.uniform(-0.2, 0.6, (count, 2)) * frames
    if skeleton is MPII:
        sides[:, 1] = sides[:, 0]
    joints = np.zeros((count, len(skeleton.joints), 3))
    inside = corners[:, None] + random.uniform(0, 1, joints[..., :2].shape) * sides[:, None]
    joints[..., :2] = inside.clip(0, frames[:, None] - 1)
    joints[..., 2] = random.integers(0, 3, joints.shape[:2]) * (random.random((count, 1)) < 0.8)
    joints[:, 0, 2] = 2
    joints[count // 2, :, 2] = 2
    joints *= joints[..., 2:] > 0
    return Persons(
        name="made up",
        skeleton=skeleton,
        pictures=pictures,
        ids=np.arange(count) + 100,
        image_ids=image_ids,
        boxes=np.concatenate([corners, sides], 1).astype(np.float32),
        joints=joints.astype(np.float32),
        scores=np.ones(count, np.float32),
        areas=sides.prod(1).astype(np.float32),
        head_sizes=np.full(count, np.nan, np.float32),
    )


def coco_annotation(key: int, image: int, **changes: Any) -> dict[str, Any]:
    joints = [v for k in range(17) for v in (20 + k, 30 + k, 2 if k % 2 else 1)]
    return {
        "id": key,
        "image_id": image,
        "category_id": 1,
        "iscrowd": 0,
        "bbox": [15.0, 25.0, 30.0, 40.0],
        "area": 900.0,
        "num_keypoints": 17,
        "keypoints": joints,
    } | changes


def write_coco(
    root: Path,
    split: str,
    annotations: list[dict[str, Any]],
    images: list[int] | None = None,
    names: str = "{:012d}.png",
    folder: str | None = None,
) -> dict[str, Any]:
    """Write annotations and pictures of 80 x 100 in COCO's layout; images default to those annotated."""
    ids = sorted({a["image_id"] for a in annotations}) if images is None else images
    value = {
        "images": [{"id": i, "file_name": names.format(i), "width": 80, "height": 100} for i in ids],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "person"}],
    }
    for i in ids:
        write_picture(root / (folder or split) / names.format(i), 80, 100, i)
    path = root / "annotations" / f"person_keypoints_{split}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
    return value
