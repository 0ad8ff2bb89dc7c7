"""Write a synthetic data set in COCO's or MPII's layout: the same bytes for a seed, whatever the workers."""

import hashlib
import json
import multiprocessing
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from tqdm import tqdm

from mspn.data.hashes import hash_list, write_hashes
from mspn.data.skeletons import COCO
from mspn.data.synth.difficulty import DIFFICULTIES
from mspn.data.synth.scene import SPLITS, make_scene, stream
from mspn.data.synth.truth import Truth
from mspn.errors import UserError
from mspn.experiment.identity import REVISIONS
from mspn.files import read_json, sha256, write_json

LAYOUTS = ("coco", "mpii")
DESCRIPTION = "synthetic persons made by mspn synth"
_CHUNK = 40  # pictures that are made, and recorded as made, together
_MOST_IMAGES = 5_000_000  # per split; ids of the splits stay apart
_PICTURE_BYTES = 60_000  # upper estimate, for the check of free space


@dataclass(frozen=True)
class Task:
    """A chunk of one split: the pictures from ``start`` up to ``stop``."""

    root: Path
    layout: str
    difficulty: str
    seed: int
    split: str
    start: int
    stop: int

    @property
    def record(self) -> Path:
        """The file that says which pictures of the chunk are whole, until the annotations are written."""
        numbers = asdict(DIFFICULTIES[self.difficulty])
        revision = REVISIONS["synth"]
        key = json.dumps([self.layout, self.seed, self.start, self.stop, numbers, revision], sort_keys=True)
        name = f"{self.split}-{self.start:07d}-{hashlib.sha256(key.encode()).hexdigest()[:12]}.json"
        return self.root / ".parts" / name


def make_dataset(
    root: Path, *, layout: Literal["coco", "mpii"], difficulty: str, seed: int,
    train_images: int, val_images: int, workers: int = 1, progress: bool = True,
) -> None:  # fmt: skip
    """Make a data set under ``root``: pictures first, each split's annotation file last.

    Layout ``coco``: ``annotations/person_keypoints_{train,val}.json``, ``train/*.jpg``, ``val/*.jpg``;
    ``mpii``: ``annotations/{train,valid}.json`` (the JSON conversion, with ``headbox``), ``images/*.jpg``.
    Every picture comes from its own stream of random numbers, a function of seed, split and number, so that
    workers, interruptions and other pictures change nothing. An interrupted call goes on where it stopped.

    Raises UserError for values out of range, too little disk space, or a folder that holds other data.
    """
    root = Path(root)
    _check(root, layout, difficulty, seed, train_images, val_images, workers)
    # An older set's annotations must not stand beside new pictures, should this call be interrupted.
    former = [_annotation_file(root, layout, split) for split in SPLITS]
    former += [hash_list(root, name) for name in (*SPLITS, "valid")]
    for file in (root / "dataset.json", *former):
        file.unlink(missing_ok=True)
    for split, count in zip(SPLITS, (train_images, val_images), strict=True):
        tasks = [
            Task(root, layout, difficulty, seed, split, start, min(start + _CHUNK, count))
            for start in range(0, count, _CHUNK)
        ]
        bar = tqdm(total=count, desc=f"synth {layout} {split}", unit="image", disable=not progress)
        pictures: list[dict[str, Any]] = []
        for part in _run(tasks, workers):
            pictures += part
            bar.update(len(part))
        bar.close()
        os.sync()  # the annotations stand for the pictures: those go first, also through a power cut
        write_json(_annotation_file(root, layout, split), _annotations(layout, split, pictures), indent=None)
        _list_hashes(root, layout, split, pictures)
    shutil.rmtree(root / ".parts", ignore_errors=True)


def _list_hashes(root: Path, layout: str, split: str, pictures: list[dict[str, Any]]) -> None:
    annotations = _annotation_file(root, layout, split)
    name = annotations.stem.removeprefix("person_keypoints_")
    hashes = {annotations.relative_to(root).as_posix(): sha256(annotations)}
    hashes |= {picture["file"]: picture["sha256"] for picture in pictures}
    write_hashes(root, name, hashes)


def _check(
    root: Path, layout: str, difficulty: str, seed: int, train_images: int, val_images: int, workers: int
) -> None:
    if layout not in LAYOUTS:
        raise UserError(f"unknown layout {layout!r}; there are: {', '.join(LAYOUTS)}")
    if difficulty not in DIFFICULTIES:
        raise UserError(f"unknown difficulty {difficulty!r}; there are: {', '.join(DIFFICULTIES)}")
    for name, value, low, high in (
        ("seed", seed, 0, 2**63 - 1),
        ("train images", train_images, 0, _MOST_IMAGES),
        ("val images", val_images, 0, _MOST_IMAGES),
        ("workers", workers, 1, 1024),
    ):
        if not low <= value <= high:
            raise UserError(f"{name}: {value} is not between {low} and {high}")
    if not train_images + val_images:
        raise UserError("no pictures asked for: give a number of train images or val images above 0")
    if root.exists() and not root.is_dir():
        raise UserError(f"{root}: is a file; give a folder to write the data set to")
    for split in SPLITS:
        _check_own(_annotation_file(root, layout, split), layout)
    folder = next(path for path in (root, *root.absolute().parents) if path.exists())
    need, free = (train_images + val_images) * _PICTURE_BYTES, shutil.disk_usage(folder).free
    if need > free:
        raise UserError(
            f"{root}: the data set may take {need / 1e6:,.1f} MB and {free / 1e6:,.1f} MB are free; make room"
        )


def _check_own(path: Path, layout: str) -> None:
    """Refuse to write over annotations that this module did not write."""
    if not path.exists():
        return
    value = read_json(path, "annotation file")
    if layout == "coco":
        info = value.get("info") if isinstance(value, dict) else None
        own = isinstance(info, dict) and info.get("description") == DESCRIPTION
    else:
        own = isinstance(value, list) and all(str(row.get("image", "")).startswith("synth_") for row in value)
    if not own:
        raise UserError(f"{path}: annotations of another data set; give another folder")


def _run(tasks: list[Task], workers: int) -> Iterator[list[dict[str, Any]]]:
    """The chunks' records, in order."""
    if workers == 1 or len(tasks) < 2:
        threads = cv2.getNumThreads()
        cv2.setNumThreads(1)
        try:
            yield from map(make_chunk, tasks)
        finally:
            cv2.setNumThreads(threads)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        workers, mp_context=context, initializer=cv2.setNumThreads, initargs=(1,)
    ) as pool:
        try:
            yield from pool.map(make_chunk, tasks)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def make_chunk(task: Task) -> list[dict[str, Any]]:
    """Make a chunk's pictures, or find them whole; a record for each: file, size, hash and persons."""
    if task.record.exists():
        pictures: list[dict[str, Any]] = read_json(task.record, "record of pictures made")
        if all((path := task.root / p["file"]).is_file() and sha256(path) == p["sha256"] for p in pictures):
            return pictures
    pictures = [_make_picture(task, index) for index in range(task.start, task.stop)]
    write_json(task.record, pictures, indent=None)
    return pictures


def _make_picture(task: Task, index: int) -> dict[str, Any]:
    scene = make_scene(stream(task.seed, task.split, index), DIFFICULTIES[task.difficulty])
    done, encoded = cv2.imencode(".jpg", scene.picture, [cv2.IMWRITE_JPEG_QUALITY, scene.jpeg_quality])
    assert done
    data = encoded.tobytes()
    file, number = _picture_name(task.layout, task.split, index)
    _write_whole(task.root / file, data)
    height, width = scene.picture.shape[:2]
    if task.layout == "coco":
        rows = [_coco_row(person, number, k) for k, person in enumerate(scene.persons)]
    else:
        rows = [_mpii_row(person, Path(file).name) for person in scene.persons if person.labelled]
    digest = hashlib.sha256(data).hexdigest()
    return {"file": file, "id": number, "width": width, "height": height, "sha256": digest, "persons": rows}


def _picture_name(layout: str, split: str, index: int) -> tuple[str, int]:
    number = (SPLITS.index(split) + 1) * 10_000_000 + index
    return (f"{split}/{number:012d}.jpg" if layout == "coco" else f"images/synth_{number:012d}.jpg"), number


def _write_whole(path: Path, data: bytes) -> None:
    """Write a picture under a temporary name, then rename; ``make_dataset`` syncs all of them at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _annotation_file(root: Path, layout: str, split: str) -> Path:
    name = f"person_keypoints_{split}" if layout == "coco" else {"train": "train", "val": "valid"}[split]
    return root / "annotations" / f"{name}.json"


def _annotations(layout: str, split: str, pictures: list[dict[str, Any]]) -> Any:
    rows = [row for picture in pictures for row in picture["persons"]]
    if layout == "mpii":
        return rows
    images = [
        {
            "id": p["id"],
            "file_name": Path(p["file"]).name,
            "width": p["width"],
            "height": p["height"],
            "license": 1,
        }
        for p in pictures
    ]
    category = {
        "supercategory": "person",
        "id": 1,
        "name": "person",
        "keypoints": list(COCO.joints),
        "skeleton": [[a + 1, b + 1] for a, b in COCO.limbs],
    }
    info = {"description": DESCRIPTION, "version": "1", "split": split}
    licenses = [{"id": 1, "name": "made by this program; no rights of others", "url": ""}]
    return {
        "info": info,
        "licenses": licenses,
        "images": images,
        "annotations": rows,
        "categories": [category],
    }


def _coco_row(person: Truth, image: int, number: int) -> dict[str, Any]:
    """COCO's annotation of a person; one too small or too hidden has no labelled joints."""
    joints = person.joints if person.labelled else np.zeros_like(person.joints)
    return {
        "id": image * 100 + number,
        "image_id": image,
        "category_id": 1,
        "iscrowd": 0,
        "area": person.area,
        "bbox": list(person.box),
        "num_keypoints": int((joints[:, 2] > 0).sum()),
        "keypoints": joints.astype(int).reshape(-1).tolist(),
        "segmentation": person.outline,
    }


def _mpii_row(person: Truth, name: str) -> dict[str, Any]:
    """MPII's entry of a labelled person; coordinates have Matlab's origin (the first pixel is 1, 1).

    MPII's scale is the person's height over 200 px, and its rough centre lies above the middle of the body,
    which is what the protocol's shift by 15 px per scale makes up for.
    """
    seen = person.mpii[person.mpii[:, 2] > 0, :2]
    x, y, w, h = person.box
    low = np.minimum(seen.min(axis=0), (x, y))
    high = np.maximum(seen.max(axis=0), (x + w - 1, y + h - 1))
    scale = float(max(high - low)) / 200
    centre = (low + high) / 2 - (0.0, 15 * scale)
    joints = [
        [round(float(px) + 1, 1), round(float(py) + 1, 1)] if v else [-1.0, -1.0] for px, py, v in person.mpii
    ]
    x0, y0, x1, y1 = (round(value + 1, 1) for value in person.head)
    return {
        "image": name,
        "center": [round(float(v) + 1, 1) for v in centre],
        "scale": round(scale, 4),
        "joints": joints,
        "joints_vis": [int(v) for v in person.mpii[:, 2]],
        "headbox": [[x0, y0], [x1, y1]],
    }
