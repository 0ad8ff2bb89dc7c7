"""A contact sheet: pictures of a data set with joints drawn; hidden ones as rings."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mspn.data.draw import draw_skeleton
from mspn.data.skeletons import COCO, MPII, Skeleton
from mspn.errors import UserError
from mspn.files import atomic, read_json


def write_sheet(root: Path, file: Path, count: int = 24, columns: int = 4, tile: int = 400) -> None:
    """Draw the first ``count`` pictures, the training split's first, to ``file``."""
    pictures = _pictures(Path(root))[:count]
    if not pictures:
        raise UserError(f"{root}: no pictures to draw")
    tiles = []
    for path, persons, skeleton in pictures:
        picture = cv2.imread(str(path))
        if picture is None:
            raise UserError(f"{path}: cannot be read as a picture; make the data set again")
        for joints in persons:
            draw_skeleton(picture, joints, skeleton, threshold=1)  # v is 1: hidden
        ratio = min(tile / picture.shape[0], tile / picture.shape[1], 1.0)
        picture = cv2.resize(picture, None, fx=ratio, fy=ratio, interpolation=cv2.INTER_AREA)
        page = np.full((tile, tile, 3), 32, np.uint8)
        page[: picture.shape[0], : picture.shape[1]] = picture
        tiles.append(page)
    tiles += [np.full((tile, tile, 3), 32, np.uint8)] * (-len(tiles) % columns)
    rows = [np.hstack(tiles[k : k + columns]) for k in range(0, len(tiles), columns)]
    done, data = cv2.imencode(file.suffix or ".png", np.vstack(rows))
    assert done
    with atomic(file) as temporary:
        temporary.write_bytes(data.tobytes())


def _pictures(root: Path) -> list[tuple[Path, list[np.ndarray], Skeleton]]:
    """Picture files with their persons' (K, 3) joints."""
    found: list[tuple[Path, list[np.ndarray], Skeleton]] = []
    for path in sorted((root / "annotations").glob("person_keypoints_*.json")):
        data, split = read_json(path), path.stem.removeprefix("person_keypoints_")
        persons: dict[int, list[np.ndarray]] = {image["id"]: [] for image in data["images"]}
        for row in data["annotations"]:
            persons[row["image_id"]].append(np.array(row["keypoints"], float).reshape(-1, 3))
        found += [(root / split / image["file_name"], persons[image["id"]], COCO) for image in data["images"]]
    for path in (root / "annotations" / "train.json", root / "annotations" / "valid.json"):
        if path.is_file() and not list((root / "annotations").glob("person_keypoints_*.json")):
            by_image: dict[str, list[Any]] = {}
            for row in read_json(path):
                joints = np.column_stack(
                    (np.array(row["joints"], float) - 1, 2 * np.array(row["joints_vis"]))
                )
                by_image.setdefault(row["image"], []).append(joints)
            found += [(root / "images" / name, rows, MPII) for name, rows in by_image.items()]
    return found
