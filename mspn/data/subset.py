"""A part of COCO 2017 as a data set of its own: some images of both splits, with all of their annotations."""

import hashlib
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mspn.data.coco_form import PERSON
from mspn.errors import UserError
from mspn.files import atomic, read_json, write_json

SPLITS = ("train2017", "val2017")
ANNOTATIONS = "annotations/person_keypoints_{}.json"


def make_subset(coco: Path, out: Path, chosen: int | Mapping[str, list[int]]) -> dict[str, dict[str, int]]:
    """Write to ``out`` the images ``chosen``, in COCO's layout: so many of each split, or their ids by split.

    Pictures are hard links where the file system allows it, else copies; annotations come last and stand for
    a whole subset, so that an interrupted call goes on. Entries stay as they are and in their order. Returns
    for each split how many ``images``, ``persons`` with a labelled joint, and ``copied`` pictures there are.
    UserError where an annotation file or a picture is missing, an id is unknown, no person is among the
    images, or ``out`` holds annotations already.
    """
    for split in SPLITS:
        if (out / ANNOTATIONS.format(split)).exists():
            raise UserError(
                f"{out / ANNOTATIONS.format(split)}: is there already; give a folder without a data set"
            )
    parts = {split: _cut(coco, split, chosen) for split in SPLITS}
    told = {}
    for split, part in parts.items():
        names = [image["file_name"] for image in part["images"]]
        copied = sum(_place(coco / split / name, out / split / name) for name in names)
        told[split] = {"images": len(names), "persons": _persons(part), "copied": copied}
    for split, part in parts.items():
        write_json(out / ANNOTATIONS.format(split), part, indent=None)
    return told


def choose(ids: list[int], count: int) -> set[int]:
    """Of ``ids`` the ``count`` whose SHA-256, as decimal text, come first.

    An even choice that does not depend on their order and is part of any larger one.
    """
    return set(sorted(ids, key=lambda key: hashlib.sha256(str(key).encode()).digest())[:count])


def _cut(coco: Path, split: str, chosen: int | Mapping[str, list[int]]) -> dict[str, Any]:
    """The split's annotation file with the chosen images alone, each picture there."""
    path = coco / ANNOTATIONS.format(split)
    whole = read_json(path, "annotation file")
    if not isinstance(whole, dict) or not all(
        isinstance(whole.get(k), list) for k in ("images", "annotations")
    ):
        raise UserError(f"{path}: no lists 'images' and 'annotations'; expected COCO's keypoint annotations")
    by_id = {}
    for image in whole["images"]:
        key, name = (image.get("id"), image.get("file_name")) if isinstance(image, dict) else (None, None)
        if not isinstance(key, int) or not isinstance(name, str) or Path(name).name != name:
            raise UserError(f"{path}: image {str(image)[:80]}: needs an id and the plain name of a file")
        by_id[key] = image
    if isinstance(chosen, int):
        if not 1 <= chosen <= len(by_id):
            raise UserError(f"{path}: {chosen} images asked for, {len(by_id)} are there")
        ids = choose(list(by_id), chosen)
    else:
        ids = set(chosen[split])
        if unknown := sorted(ids - set(by_id)):
            raise UserError(
                f"{path}: {len(unknown)} of {len(ids)} images are not there, such as {unknown[0]}"
            )
    images = [image for image in whole["images"] if image["id"] in ids]
    missing = [p for image in images if not (p := coco / split / image["file_name"]).is_file()]
    if missing:
        raise UserError(
            f"{missing[0]}: no such picture, and {len(missing) - 1} more; unpack {split}.zip there"
        )
    annotations = [a for a in whole["annotations"] if isinstance(a, dict) and a.get("image_id") in ids]
    part = {**whole, "images": images, "annotations": annotations}
    if not _persons(part):
        raise UserError(f"{path}: no person with a labelled joint on the {len(images)} images; choose more")
    return part


def _persons(part: dict[str, Any]) -> int:
    """How many persons can be trained on: not crowds, with a labelled joint."""
    rows = part["annotations"]
    return sum(
        a.get("category_id") == PERSON and not a.get("iscrowd") and bool(a.get("num_keypoints")) for a in rows
    )


def _place(source: Path, target: Path) -> bool:
    """Put the picture there as a hard link, or as a copy where that cannot be; whether it is a copy."""
    if target.exists() and target.samefile(source):
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)  # of an interrupted call, perhaps of another choice
    try:
        os.link(source.resolve(), target)
    except OSError:
        with atomic(target) as temporary:
            shutil.copyfile(source, temporary)
        return True
    return False


def read_ids(path: Path) -> dict[str, list[int]]:
    """Image ids by split, of both splits, from a JSON file; UserError where it is another."""
    value = read_json(path, "list of images")
    if not isinstance(value, dict) or set(value) != set(SPLITS):
        raise UserError(f"{path}: expected lists of image ids, called {' and '.join(SPLITS)}")
    for split, ids in value.items():
        if not isinstance(ids, list) or not ids or not all(type(key) is int for key in ids):
            raise UserError(f"{path}: {split}: expected a list of image ids")
    return value
