"""MPII Human Pose as Persons: the JSON conversion that most repositories use, or the official ``.mat``.

Under the root lie ``images/`` and ``annotations/``. A split is ``annotations/{split}.json``; with
``annotations/gt_{split}.mat`` beside it (``gt_valid.mat``) joints and head boxes come from there, as the
official scoring has them. Without the JSON file the official ``mpii_human_pose_v1*.mat`` is read, in the root
or in ``annotations/``: its split "train" is every annotated image of ``img_train``; any other split needs a
list of image names, one a line, in ``annotations/{split}.txt`` (which also narrows "train" where it exists).

Boxes are the squares that the protocol crops: the centre moved down by 15 x scale, the side 1.25 x 200 x
scale. All coordinates are those of the files minus 1 (Matlab counts from 1).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mspn.data.coco import require_pictures
from mspn.data.coco_form import numbers
from mspn.data.mat import field, items, load_mat
from mspn.data.notes import Notes
from mspn.data.persons import Persons, Picture
from mspn.data.skeletons import MPII
from mspn.errors import UserError
from mspn.files import read_json

SCALE_PX = 200  # MPII's scale is a person's height in units of this
CROP_FACTOR = 1.25
CENTRE_SHIFT = 15  # times the scale, downwards
HEAD_FACTOR = 0.6  # PCKh's head size, of the head box's diagonal
_JOINTS = len(MPII.joints)
_MOST = 1e9  # pixels; what is above is no coordinate


@dataclass
class Annotated:
    """A person as annotated, in Matlab's coordinates. ``head`` is x1, y1, x2, y2 or None."""

    id: int
    image: str
    image_id: int
    centre: list[float]
    scale: float
    joints: np.ndarray  # (16, 3) x, y, v
    head: list[float] | None


def read_mpii(root: Path, split: str, check_pictures: bool = True) -> Persons:
    """The split's persons; ids are rows of the JSON file, or 1000 x image + person (from 0) of the ``.mat``.

    Left out, with a count in the log: persons without a scale above 0, and (``.mat``) without a labelled
    joint or a centre. Where only "labelled" is known (the JSON file, or an ``is_visible`` that is empty), a
    joint counts as visible. Pictures' sizes are read from their files' heads; ``check_pictures`` first names
    every one that is missing. UserError names the entry that is wrong.
    """
    root = Path(root)
    path = root / "annotations" / f"{split}.json"
    notes = Notes(f"{root}, {split}")
    if path.exists():
        persons = _read_json(path, notes)
    else:
        persons = _read_mat(_official(root, path), _image_list(root, split), notes)
    kept = []
    for person in persons:
        if person.scale > 0:
            kept.append(person)
        else:
            notes.add("persons left out: no scale above 0", f"{person.image}, person {person.id}")
    notes.log()
    if not kept:
        raise UserError(f"{root}, {split}: no annotated person")
    return _assemble(root, split, kept, check_pictures)


def _assemble(root: Path, split: str, persons: list[Annotated], check_pictures: bool) -> Persons:
    paths = {person.image_id: root / "images" / person.image for person in persons}
    if check_pictures:
        require_pictures([Picture(path, 0, 0) for path in paths.values()], f"{root}, {split}")
    sizes = {key: picture_size(path) for key, path in paths.items()}  # mirroring needs the width
    scales = np.array([person.scale for person in persons])
    centres = np.array([person.centre for person in persons]) - 1
    centres[:, 1] += CENTRE_SHIFT * scales
    sides = (CROP_FACTOR * SCALE_PX * scales)[:, None]
    joints = np.array([person.joints for person in persons], np.float32)
    joints[:, :, :2] -= 1
    joints *= joints[:, :, 2:] > 0
    heads = np.array([person.head or [np.nan] * 4 for person in persons])
    count = len(persons)
    return Persons(
        name=f"{root}, {split}",
        skeleton=MPII,
        pictures={key: Picture(path, *sizes[key]) for key, path in paths.items()},
        ids=np.array([person.id for person in persons], np.int64),
        image_ids=np.array([person.image_id for person in persons], np.int64),
        boxes=np.concatenate([centres - sides / 2, sides, sides], axis=1).astype(np.float32),
        joints=joints,
        scores=np.ones(count, np.float32),
        areas=np.full(count, np.nan, np.float32),
        head_sizes=(HEAD_FACTOR * np.hypot(*(heads[:, 2:] - heads[:, :2]).T)).astype(np.float32),
    )


def picture_size(path: Path) -> tuple[int, int]:
    """(width, height) in pixels from a picture file's header, which MPII's annotations do not give."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            return image.size
    except (OSError, UnidentifiedImageError):
        raise UserError(f"{path}: not a picture; fetch it anew") from None


def _read_json(path: Path, notes: Notes) -> list[Annotated]:
    value = read_json(path, "annotation file")
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        raise UserError(f"{path}: expected a list of persons (MPII's JSON conversion)")
    image_ids: dict[str, int] = {}
    persons = []
    for row, entry in enumerate(value):
        place = f"{path}, person {row}"
        try:
            image, joints, vis = str(entry["image"]), entry["joints"], entry["joints_vis"]
            centre, scale = entry["center"], entry["scale"]
        except KeyError as error:
            raise UserError(f"{place}: no {error}") from None
        numbers([scale], 1, f"{place}: scale")
        numbers(centre, 2, f"{place}: center")
        numbers(vis, _JOINTS, f"{place}: joints_vis")
        if not isinstance(joints, list) or len(joints) != _JOINTS:
            raise UserError(f"{place}: joints: expected {_JOINTS} pairs of numbers")
        points = [numbers(joint, 2, f"{place}: joint {k}") for k, joint in enumerate(joints)]
        if any(v not in (0, 1) for v in vis):
            raise UserError(f"{place}: joints_vis: 0 or 1")
        placed = np.concatenate([np.array(points, float), 2.0 * np.array(vis, float)[:, None]], axis=1)
        head = entry.get("headbox")
        if head is not None:
            if not isinstance(head, list) or len(head) != 2:
                raise UserError(f"{place}: headbox: expected [[x1, y1], [x2, y2]]")
            head = [x for corner in head for x in numbers(corner, 2, f"{place}: headbox")]
        image_id = image_ids.setdefault(image, len(image_ids))
        persons.append(Annotated(row, image, image_id, centre, scale, placed, head))
    truth = path.with_name(f"gt_{path.stem}.mat")
    if truth.exists():
        _add_official_truth(persons, truth, path, notes)
    return persons


def _add_official_truth(persons: list[Annotated], truth: Path, path: Path, notes: Notes) -> None:
    """Joints and head boxes as ``gt_valid.mat`` has them: what the official PCKh is scored against."""
    value = load_mat(truth)
    try:
        missing = np.asarray(value["jnt_missing"], float).reshape(_JOINTS, -1)
        points = np.asarray(value["pos_gt_src"], float).reshape(_JOINTS, 2, -1)
        heads = np.asarray(value["headboxes_src"], float).reshape(2, 2, -1)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{truth}: not the ground truth of MPII's validation split: {error}") from None
    if not len(persons) == missing.shape[1] == points.shape[2] == heads.shape[2]:
        raise UserError(
            f"{truth}: {missing.shape[1]} persons, {path} has {len(persons)}; take both from one release"
        )
    for row, person in enumerate(persons):
        labelled = missing[:, row] == 0
        there = points[:, :, row]
        if not np.isfinite(there[labelled]).all() or not np.isfinite(heads[:, :, row]).all():
            raise UserError(f"{truth}: person {row}: a number that is none")
        both = labelled & (person.joints[:, 2] > 0)
        if (labelled != (person.joints[:, 2] > 0)).any() or np.abs(there - person.joints[:, :2])[both].max(
            initial=0
        ) > 1:
            notes.add(f"persons whose joints in {path.name} differ: {truth.name} counts", f"person {row}")
        person.joints = np.concatenate(
            [np.where(labelled[:, None], there, 0), 2.0 * labelled[:, None]], axis=1
        )
        person.head = heads[:, :, row].ravel().tolist()


def release_file(root: Path) -> Path | None:
    """The official release's file under a root, if it is there."""
    paths = (
        path for folder in (root / "annotations", root) for path in folder.glob("mpii_human_pose_v1*.mat")
    )
    return min(paths, default=None)


def _official(root: Path, json_path: Path) -> Path:
    path = release_file(root)
    if path is None:
        raise UserError(f"{json_path}: no such file, nor the official mpii_human_pose_v1*.mat in {root}")
    return path


def _image_list(root: Path, split: str) -> set[str] | None:
    path = root / "annotations" / f"{split}.txt"
    if path.exists():
        return {line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()}
    if split == "train":
        return None
    raise UserError(
        f"{path}: no such list of image names; the official release has no split {split!r}: "
        f"give the list, or {split}.json of the JSON conversion"
    )


def release_images(path: Path) -> Iterator[tuple[int, str, bool, list[Any]]]:
    """(index, file name, whether of the training part, structs of persons) for each image of the ``.mat``."""
    release = load_mat(path).get("RELEASE")
    images, train = items(field(release, "annolist")), items(field(release, "img_train"))
    if not images or len(images) != len(train):
        raise UserError(f"{path}: no RELEASE.annolist and img_train of one length; fetch it anew")
    for index, (image, flag) in enumerate(zip(images, train, strict=True)):
        name = field(image, "image", "name")
        if not isinstance(name, str) or Path(name).name != name or flag not in (0, 1):
            raise UserError(f"{path}: image {index}: no file name, or an img_train other than 0 and 1")
        yield index, name, bool(flag), items(field(image, "annorect"))


def _read_mat(path: Path, names: set[str] | None, notes: Notes) -> list[Annotated]:
    persons = []
    for index, name, train, people in release_images(path):
        if not train or (names is not None and name not in names):
            continue
        for number, person in enumerate(people):
            place = f"{path}: {name}, person {number}"
            points = items(field(person, "annopoints", "point"))
            centre = items(field(person, "objpos"))
            if not points or not centre:
                notes.add("persons left out: no labelled joint or no centre", f"{name}, person {number}")
                continue
            head = [
                _number(field(person, key), np.nan, f"{place}: {key}") for key in ("x1", "y1", "x2", "y2")
            ]
            persons.append(
                Annotated(
                    id=1000 * index + number,
                    image=name,
                    image_id=index,
                    centre=[_number(field(centre[0], key), None, f"{place}: objpos") for key in ("x", "y")],
                    scale=_number(field(person, "scale"), 0.0, f"{place}: scale"),
                    joints=_joints(points, place),
                    head=None if np.isnan(head).any() else head,
                )
            )
    return persons


def _joints(points: list[Any], place: str) -> np.ndarray:
    joints = np.zeros((_JOINTS, 3))
    for point in points:
        joint = int(_number(field(point, "id"), None, f"{place}: joint id"))
        if not 0 <= joint < _JOINTS or joints[joint, 2]:
            raise UserError(f"{place}: joint id {joint}: not of 0 to {_JOINTS - 1}, or there twice")
        x, y = (_number(field(point, key), None, f"{place}: joint {joint}") for key in ("x", "y"))
        visible = _number(field(point, "is_visible"), 1.0, f"{place}: joint {joint}: is_visible")
        joints[joint] = x, y, 2 if visible else 1
    return joints


def _number(value: Any, empty: float | None, what: str) -> float:
    """A number that may be stored as one, as text, or as nothing (then ``empty``; None refuses)."""
    text = "" if value is None or value == [] else str(value).strip()
    try:
        number = float(text) if text else empty
    except ValueError:
        number = None
    if number is None or (text and not abs(number) < _MOST):
        raise UserError(f"{what}: {text!r} is not a number, or one beyond {_MOST:.0e}")
    return number
