"""Anybody's pictures: files in folders, and a detector's boxes of the persons in them."""

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mspn.data.coco_form import PERSON, numbers
from mspn.data.notes import Notes
from mspn.errors import UserError
from mspn.files import read_json

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
LONGEST_NAME = 250  # bytes: file systems take 255, and results are called by the name and .jpg
MOST_BOX_PX = 1e6  # no picture is as large: such a number is no pixel

# What is left out, and why; the entries name it.
OTHER_FILES = f"files that are not read (only {' '.join(SUFFIXES)} are)"
NO_FILES = "files or folders that cannot be read"
OTHER_PICTURES = "boxes of other pictures"
CROWDS = "boxes of crowds"
OTHER_CATEGORIES = f"boxes of other categories than {PERSON}, person"


@dataclass(frozen=True)
class Photo:
    """A picture's file; its name below what was given, which names its results; and a number for COCO."""

    path: Path
    name: str
    image_id: int


def find_photos(given: Sequence[Path], out: Path, notes: Notes) -> list[Photo]:
    """The files given and, of folders given, the pictures in them and below, sorted by name.

    Left out and noted: files whose names do not end like a picture's (unless given one by one), or that are
    no files. Not looked at: names that begin with a dot, and ``out``, where results go. ``image_id`` is the
    number that the name is, as in COCO, where all names are different ones; else 1, 2, 3, ... UserError where
    something given is not there, or no picture is found.
    """
    files: list[Path] = []
    roots = []
    for path in given:
        if path.is_dir():
            roots.append(path.resolve())
            files += _files_below(roots[-1], out.resolve(), notes)
        elif path.is_file():
            roots.append(path.parent.resolve())
            files.append(roots[-1] / path.name)
        else:
            raise UserError(f"{path}: no such picture or folder, or neither a file nor a folder")
    if not files:
        left = "; ".join(f"{count} {rule}" for rule, count in notes.counts.items())
        raise UserError(f"{', '.join(map(str, given))}: no picture in it{': ' * bool(left)}{left}")
    root = os.path.commonpath(roots)
    named = sorted((path.relative_to(root).as_posix(), path) for path in set(files))
    ids = _image_ids([path.stem for _, path in named])
    return [Photo(path, name, number) for (name, path), number in zip(named, ids, strict=True)]


def _files_below(folder: Path, out: Path, notes: Notes) -> Iterator[Path]:
    def unreadable(error: OSError) -> None:
        notes.add(NO_FILES, f"{error.filename}: {error.strerror}")

    for parent, folders, names in os.walk(folder, onerror=unreadable):
        here = Path(parent)
        folders[:] = [name for name in folders if name[0] != "." and here / name != out]
        for name in sorted(name for name in names if name[0] != "."):
            path = here / name
            if not os.path.isfile(path):  # noqa: PTH113  # Path's raises where rights are missing
                notes.add(NO_FILES, f"{path}: no file, or a link to none")
            elif len(os.fsencode(name)) > LONGEST_NAME:
                notes.add(NO_FILES, f"{path}: its name is too long to write results by")
            elif path.suffix.lower() not in SUFFIXES:
                notes.add(OTHER_FILES, str(path))
            else:
                yield path


def _image_ids(stems: list[str]) -> list[int]:
    if all(stem.isdecimal() and len(stem) <= 18 for stem in stems):
        ids = [int(stem) for stem in stems]
        if len(set(ids)) == len(ids):
            return ids
    return list(range(1, len(stems) + 1))


def read_boxes(path: Path, photos: Sequence[Photo], notes: Notes) -> dict[str, np.ndarray]:
    """The persons' boxes by the pictures' names: (P, 5) x, y, width, height in pixels, and score.

    From COCO detections, a list of ``{"image_id" or "file_name", "bbox", "category_id", "score"}`` (the last
    two may be left out: a person, and 1), a mapping of pictures to lists of 4 numbers or 5, or COCO
    annotations, of which the boxes of single persons are taken. A picture is
    called by its name, its file's name, that without the suffix, or the number that this is. Noted: boxes of
    other pictures and of other categories. UserError names a malformed entry, a file in which no box is a
    person's, and what fits several pictures.
    """
    value = read_json(path, "boxes file")
    if isinstance(value, dict) and {"images", "annotations"} <= value.keys():
        entries = list(_of_detections(_annotated(value, path), path, notes))
    elif isinstance(value, dict):
        entries = list(_of_mapping(value, path))
    elif isinstance(value, list):
        entries = list(_of_detections(value, path, notes))
    else:
        raise UserError(
            f"{path}: expected COCO detections, COCO annotations or a mapping of file names to boxes"
        )
    names = _callings(photos)
    boxes: dict[str, list[list[float]]] = defaultdict(list)
    for called, box, place in entries:
        row = numbers(box, len(box) if isinstance(box, list) and len(box) == 5 else 4, place)
        if min(row[2:4]) <= 0 or max(map(abs, row[:4])) > MOST_BOX_PX:
            raise UserError(f"{place}: a box is x, y, width, height in pixels with a size above 0, not {box}")
        found = next((names[key] for key in _levels(called) if key in names), [])
        if len(found) > 1:
            raise UserError(
                f"{place}: {called[:80]!r} fits {len(found)} pictures ({found[0]}, {found[1]}, ...); "
                "call each by its path below the folder"
            )
        if found:
            boxes[found[0]].append([*map(float, row), 1.0][:5])
        else:
            notes.add(OTHER_PICTURES, called[:80])
    return {name: np.array(rows) for name, rows in boxes.items()}


def _callings(photos: Sequence[Photo]) -> dict[tuple[str, str], list[str]]:
    """The names of the pictures that may be meant, by how exact a calling is and the calling."""
    names: dict[tuple[str, str], list[str]] = defaultdict(list)
    for photo in photos:
        stem = photo.path.stem
        names["name", photo.name].append(photo.name)
        names["file", photo.path.name].append(photo.name)
        names["stem", stem].append(photo.name)
        if stem.isdecimal():
            names["number", stem.lstrip("0") or "0"].append(photo.name)
    return names


def _levels(called: str) -> Iterator[tuple[str, str]]:
    """From the most exact reading of a calling to the least."""
    yield from (("name", called), ("file", called), ("stem", called))
    if called.isdecimal():
        yield "number", called.lstrip("0") or "0"


def _of_mapping(value: dict[str, Any], path: Path) -> Iterator[tuple[str, Any, str]]:
    for name, rows in value.items():
        if not isinstance(rows, list):
            raise UserError(f"{path}: {name[:80]!r}: expected a list of boxes")
        for i, box in enumerate(rows):
            yield name, box, f"{path}: {name[:80]!r}, box {i}"


def _annotated(value: dict[str, Any], path: Path) -> list[dict[str, Any]]:
    """COCO annotations in the form of detections: each with its picture's name."""
    images, annotations = value["images"], value["annotations"]
    if not isinstance(images, list) or not isinstance(annotations, list):
        raise UserError(f"{path}: images and annotations are lists in COCO annotations")
    names = {}
    for i, image in enumerate(images):
        if not isinstance(image, dict) or not {"id", "file_name"} <= image.keys():
            raise UserError(f"{path}: image {i}: needs id and file_name")
        names[str(image["id"])] = image["file_name"]
    for i, entry in enumerate(annotations):
        if not isinstance(entry, dict) or str(entry.get("image_id")) not in names:
            raise UserError(f"{path}: annotation {i}: needs an image_id that is among the images")
    return [{**entry, "file_name": names[str(entry["image_id"])]} for entry in annotations]


def _of_detections(value: list[Any], path: Path, notes: Notes) -> Iterator[tuple[str, Any, str]]:
    others: set[str] = set()
    persons = False
    for i, entry in enumerate(value):
        place = f"{path}: entry {i}"
        called = entry.get("file_name", entry.get("image_id")) if isinstance(entry, dict) else None
        if not isinstance(called, str | int) or "bbox" not in entry:
            raise UserError(f"{place}: needs bbox and image_id or file_name")
        if entry.get("iscrowd"):
            notes.add(CROWDS, f"entry {i}")
            continue
        category = entry.get("category_id", PERSON)
        if category != PERSON:
            others.add(str(category)[:20])
            notes.add(OTHER_CATEGORIES, f"entry {i}: {str(category)[:20]}")
            continue
        persons = True
        box = entry["bbox"]
        yield str(called), [*numbers(box, 4, place), entry["score"]] if "score" in entry else box, place
    if others and not persons:
        raise UserError(
            f"{path}: no box of a person, category {PERSON} in COCO; its categories: "
            f"{', '.join(sorted(others)[:5])}: number them as COCO does"
        )
