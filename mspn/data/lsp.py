"""LSP Extended as it is published, written anew in COCO's layout with joints of its own.

Johnson and Everingham, "Learning Effective Human Pose Estimation from Inaccurate Annotation", CVPR 2011:
``images/im00001.jpg`` to ``im10000.jpg`` with one annotated person each, and ``joints.mat`` whose ``joints``
(14, 3, N) are x, y in pixels and a flag, 1 labelled, 0 not. Coordinates are taken as they stand. There are
no boxes, areas or official splits: what stands for them is said at the constants.
"""

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from mspn.data.coco_form import PERSON
from mspn.data.mat import load_mat
from mspn.data.mpii import picture_size
from mspn.data.notes import Notes
from mspn.data.skeletons import LSP
from mspn.errors import UserError
from mspn.files import read_json, sha256, write_json

# The persons of each split, by number from 1. A release ends with the second or the third.
SPLITS = {"train": range(1, 8001), "val": range(8001, 9001), "test": range(9001, 10001)}
# The labelled joints' bounding box, grown on every side by this share of its longer side and cut at the
# picture: a body reaches beyond its joints. COCO's boxes reach 6 to 14 % beyond, by side.
MARGIN = 0.1
# OKS and the size classes need the area of the person: this share of the box, as the Extended COCO API
# takes it for data without outlines.
AREA_SHARE = 0.53
DESCRIPTION = "LSP Extended, imported by mspn"
_SHOWN = 5


def read_joints(path: Path) -> np.ndarray:
    """(N, 14, 3) float64: x, y and the flag of each joint, from ``joints.mat``.

    UserError where ``joints`` is missing or not (14, 3, N) or (3, 14, N), N not that of a release, a number
    is none, or a flag neither 0 nor 1; the person and joint are named.
    """
    try:
        joints = np.array(load_mat(path)["joints"], float)
    except KeyError:
        raise UserError(f"{path}: no variable 'joints'; is this LSP Extended's?") from None
    except (TypeError, ValueError):
        raise UserError(f"{path}: 'joints' is not an array of numbers") from None
    shape = joints.shape
    if len(shape) == 3 and shape[:2] == (3, len(LSP.joints)):
        joints = joints.transpose(1, 0, 2)
    elif len(shape) != 3 or shape[:2] != (len(LSP.joints), 3):
        raise UserError(
            f"{path}: 'joints' is {shape}, not ({len(LSP.joints)}, 3, N) or (3, {len(LSP.joints)}, N)"
        )
    joints = joints.transpose(2, 0, 1)
    ends = [SPLITS["val"][-1], SPLITS["test"][-1]]
    if len(joints) not in ends:
        raise UserError(f"{path}: {len(joints)} persons; a release has {ends[0]} or {ends[1]}")
    for wrong, what in (
        (~np.isfinite(joints).all(axis=2), "a number that is none"),
        (~np.isin(joints[..., 2], (0, 1)), "a flag that is neither 0 nor 1"),
    ):
        if wrong.any():
            person, joint = np.argwhere(wrong)[0]
            raise UserError(
                f"{path}: {what} in {wrong.sum()} joints, first person {person + 1}, {LSP.joints[joint]}; "
                "fetch it anew"
            )
    return joints


def import_lsp(folder: Path, out: Path) -> dict[str, Any]:
    """Write the data set in ``folder`` to ``out`` in COCO's layout, and return what was done.

    ``out`` gets ``{train,val[,test]}/*.jpg`` (hard links where the file system allows them, else copies),
    ``annotations/person_keypoints_{split}.json``, ids of persons and pictures being LSP's numbers, and
    ``import.json``: what is returned. A joint that is not labelled has v = 0; one that lies outside its
    picture counts as not labelled, as no pixel shows it; every other has v = 2. Left out are persons
    without two joints further apart than a pixel, which give no box. UserError names what is missing, too
    much or broken before anything is written.
    """
    folder, out = Path(folder), Path(out)
    joints = read_joints(folder / "joints.mat")
    pictures = _pictures(folder / "images", len(joints))
    for split in SPLITS:
        _check_own(_annotation_file(out, split))
    sizes = [picture_size(path) for path in pictures]
    notes = Notes(str(folder))
    persons = [_person(n, *one, notes) for n, one in enumerate(zip(joints, sizes, strict=True), start=1)]
    for split in SPLITS:  # none must stand beside other pictures
        _annotation_file(out, split).unlink(missing_ok=True)
    counts = {}
    for split, numbers in SPLITS.items():
        chosen = [n for n in numbers if n <= len(joints)]
        if chosen:
            images = [_image(n, pictures[n - 1], sizes[n - 1]) for n in chosen]
            rows = [row for n in chosen if (row := persons[n - 1])]
            linked = sum(_place(pictures[n - 1], out / split / pictures[n - 1].name) for n in chosen)
            write_json(_annotation_file(out, split), _annotations(split, images, rows), indent=None)
            labelled = sum(row["num_keypoints"] for row in rows)
            counts[split] = {"pictures": len(images), "linked": linked}
            counts[split] |= {"persons": len(rows), "joints": labelled}
    report = {
        "source": {"joints.mat": sha256(folder / "joints.mat"), "persons": len(joints)},
        "splits": counts,
        "joints_not_labelled": int((joints[..., 2] == 0).sum()),
        "rules": {"box_margin": MARGIN, "area_of_box": AREA_SHARE},
        "notes": dict(notes.entries),
    }
    write_json(out / "import.json", report)
    return report


def _annotation_file(out: Path, split: str) -> Path:
    return out / "annotations" / f"person_keypoints_{split}.json"


def _pictures(folder: Path, count: int) -> list[Path]:
    """The pictures of persons 1 to ``count``, in order; UserError where they are not just those."""
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; give the folder that holds images/ and joints.mat")
    expected = [folder / f"im{number:05}.jpg" for number in range(1, count + 1)]
    there = {path for path in folder.iterdir() if path.suffix.lower() in (".jpg", ".jpeg", ".png")}
    for names, what in (
        (sorted(set(expected) - there), "missing"),
        (sorted(there - set(expected)), "without a person in joints.mat"),
    ):
        if names:
            shown = ", ".join(path.name for path in names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
            raise UserError(
                f"{folder}: {len(names)} pictures {what} ({shown}); joints.mat has {count} persons, "
                f"{expected[0].name} to {expected[-1].name}: take both from one release"
            )
    return expected


def _check_own(file: Path) -> None:
    """Refuse to write over annotations that this module did not write."""
    if file.exists():
        value = read_json(file, "annotation file")
        info = value.get("info") if isinstance(value, dict) else None
        if not isinstance(info, dict) or info.get("description") != DESCRIPTION:
            raise UserError(f"{file}: annotations of another data set; give another folder as --out")


def _person(number: int, joints: np.ndarray, size: tuple[int, int], notes: Notes) -> dict[str, Any] | None:
    """COCO's annotation of a person's joints (14, 3); None where they give no box."""
    points, labelled = joints[:, :2], joints[:, 2] == 1
    inside = ((points >= 0) & (points < size)).all(axis=1)
    for k in np.flatnonzero(labelled & ~inside):
        x, y = points[k].round(1)
        notes.add(
            "joints outside their picture, taken as not labelled",
            f"person {number}, {LSP.joints[k]} at ({x}, {y}) of {size[0]} x {size[1]}",
        )
    labelled &= inside
    low, high = (
        points.min(axis=0, where=labelled[:, None], initial=np.inf),
        points.max(axis=0, where=labelled[:, None], initial=-np.inf),
    )
    side = (high - low).max()
    if not side >= 1:
        notes.add("persons left out: no joints further apart than a pixel", f"person {number}")
        return None
    low, high = np.maximum(low - MARGIN * side, 0), np.minimum(high + MARGIN * side, size)
    x, y, width, height = (round(float(v), 2) for v in (*low, *(high - low)))
    keypoints = np.where(labelled[:, None], np.column_stack([points.round(2), np.full(len(points), 2)]), 0)
    return {
        "id": number,
        "image_id": number,
        "category_id": PERSON,
        "iscrowd": 0,
        "area": round(AREA_SHARE * width * height, 2),
        "bbox": [x, y, width, height],
        "num_keypoints": int(labelled.sum()),
        "keypoints": keypoints.ravel().tolist(),
    }


def _place(source: Path, target: Path) -> bool:
    """Give ``source`` the name ``target`` as well, or copy it there; whether it is a link."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        try:
            os.link(source.resolve(), temporary)
            linked = True
        except OSError:  # another file system, or not allowed
            shutil.copyfile(source, temporary)
            linked = False
        temporary.replace(target)
    except OSError as error:
        raise UserError(f"{target}: cannot be written ({error.strerror})") from None
    finally:
        temporary.unlink(missing_ok=True)
    return linked


def _image(number: int, path: Path, size: tuple[int, int]) -> dict[str, Any]:
    return {"id": number, "file_name": path.name, "width": size[0], "height": size[1]}


def _annotations(split: str, images: list[dict[str, Any]], rows: list[dict[str, Any]]) -> dict[str, Any]:
    category = {
        "supercategory": "person",
        "id": PERSON,
        "name": "person",
        "keypoints": list(LSP.joints),
        "skeleton": [[a + 1, b + 1] for a, b in LSP.limbs],
    }
    info = {"description": DESCRIPTION, "split": split}
    return {"info": info, "images": images, "annotations": rows, "categories": [category]}
