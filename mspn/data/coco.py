"""Keypoint annotations in COCO's layout, its own of 2014 with minival and 2017 or others', as Persons.

A split is a name such as ``train2017``: ``annotations/person_keypoints_{name}.json`` and the pictures'
folder. Splits combine with + and -: COCO 2014's training split is ``train2014+val2014-minival2014``. A split
that has no annotation file of its own may be a list of image ids, one a line, in ``annotations/{name}.txt``:
those images of val2014 (minival2014 is distributed so).
"""

import os
import re
from pathlib import Path
from typing import Any

import numpy as np

from mspn.data.coco_form import FORM, PERSON, check_form, of_length
from mspn.data.notes import Notes
from mspn.data.persons import Persons, Picture
from mspn.data.skeletons import COCO, Skeleton
from mspn.errors import UserError, shown
from mspn.files import no_cycles, read_form

MOST_PX = 1_000_000  # of a picture's side
LONGEST_NAME = 250  # characters of a picture's name with its folders; file systems refuse longer ones
# The released code means to leave this image out (it compares a string to an int); the protocol does.
LEFT_OUT_IMAGES = {366379}
_IDS_FROM = "val2014"  # what a list of ids selects from


def read_annotations(root: Path, split: str) -> dict[str, Any]:
    """COCO's ``images``, ``annotations`` and ``categories`` of a split or a combination of splits.

    Raises UserError naming the file where it is missing or not in COCO's form, or an image is there twice.
    """
    root = Path(root)
    if _annotation_file(root, split).exists():
        return _read_one(root, split)
    first, *rest = re.split(r"([+-])", split)
    result = _read_one(root, first.strip())
    for sign, name in zip(rest[::2], rest[1::2], strict=True):
        if sign == "+":
            more = _read_one(root, name.strip())
            for key in ("images", "annotations"):
                result[key] = result[key] + more[key]
        else:
            result = _select(result, _image_ids(root, name.strip()), keep=False)
    return result


def has_split(root: Path, split: str) -> bool:
    """Whether the files of a split or a combination are there, without reading them."""
    if _annotation_file(root, split).exists():
        return True

    def there(name: str) -> bool:
        from_ids = _ids_file(root, name).exists() and _annotation_file(root, _IDS_FROM).exists()
        return from_ids or _annotation_file(root, name).exists()

    return all(there(name.strip()) for name in re.split(r"[+-]", split))


def _annotation_file(root: Path, name: str) -> Path:
    return root / "annotations" / f"person_keypoints_{name}.json"


def _ids_file(root: Path, name: str) -> Path:
    return root / "annotations" / f"{name}.txt"


def _read_one(root: Path, name: str) -> dict[str, Any]:
    path = _annotation_file(root, name)
    if not path.exists() and _ids_file(root, name).exists():
        return _select(_read_one(root, _IDS_FROM), _image_ids(root, name), keep=True)
    value, sound = read_form(path, FORM, "annotation file")
    if not sound:
        check_form(value, path)
    return {key: value[key] for key in ("images", "annotations", "categories")}


def _image_ids(root: Path, name: str) -> set[int]:
    path = _ids_file(root, name)
    if _annotation_file(root, name).exists():
        return {image["id"] for image in _read_one(root, name)["images"]}
    if not path.exists():
        raise UserError(f"{path}: no such list of image ids, nor {_annotation_file(root, name)}")
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    for number, line in enumerate(lines, start=1):
        if not line.isdigit():
            raise UserError(f"{path}, line {number}: {line!r} is not an image id")
    return {int(line) for line in lines}


def _select(value: dict[str, Any], ids: set[int], keep: bool) -> dict[str, Any]:
    return {
        "images": [image for image in value["images"] if (image["id"] in ids) == keep],
        "annotations": [a for a in value["annotations"] if (a["image_id"] in ids) == keep],
        "categories": value["categories"],
    }


@no_cycles()
def read_coco(root: Path, split: str, check_pictures: bool = True, skeleton: Skeleton = COCO) -> Persons:
    """The split's persons: category 1, not crowd, with at least one labelled joint (protocol "Data").

    Left out, with a count in the log: COCO's image 366379, and persons whose box has no area. UserError names
    the entry: a picture missing (unless ``check_pictures`` is False), an id twice, an unknown image, a list
    of the wrong length, a number that is none; or the joints, where the file's category has others.
    """
    root = Path(root)
    value = read_annotations(root, split)
    place = f"{root}, {split}"
    _check_category(value["categories"], skeleton, place)
    notes = Notes(place)
    left_out = LEFT_OUT_IMAGES if skeleton.name == "coco" else set()
    pictures = _read_pictures(root, split, value["images"], left_out, place, notes)
    if check_pictures:
        require_pictures(list(pictures.values()), place)
    _note_categories(value, notes)
    kept = _keep(value["annotations"], pictures, skeleton, left_out, place, notes)
    notes.log()
    if not kept:
        raise UserError(
            f"{place}: no person with a labelled joint among {len(value['annotations'])} annotations"
        )
    joints = np.array([a["keypoints"] for a in kept], np.float32).reshape(len(kept), -1, 3)
    joints *= joints[:, :, 2:] > 0
    return Persons(
        name=place,
        skeleton=skeleton,
        pictures=pictures,
        ids=np.array([a["id"] for a in kept], np.int64),
        image_ids=np.array([a["image_id"] for a in kept], np.int64),
        boxes=np.array([a["bbox"] for a in kept], np.float32),
        joints=joints,
        scores=np.ones(len(kept), np.float32),
        areas=np.array([a.get("area", np.nan) for a in kept], np.float32),
        head_sizes=np.full(len(kept), np.nan, np.float32),
    )


def _check_category(categories: list[Any], skeleton: Skeleton, place: str) -> None:
    """Refuse a file whose persons have other joints; one that does not say which has those expected."""
    persons = [one for one in categories if isinstance(one, dict) and one.get("id") == PERSON]
    if not persons:
        raise UserError(f"{place}: no category of id {PERSON}, which the persons must have")
    named = persons[0].get("keypoints")
    if named is not None and named != list(skeleton.joints):
        said = ", ".join(map(str, named)) if isinstance(named, list) else repr(named)
        raise UserError(
            f"{place}: categories: its keypoints are {said}; joint set {skeleton.name} has "
            f"{', '.join(skeleton.joints)}: name the right one as the data set's joints"
        )


def _read_pictures(
    root: Path, split: str, images: list[dict[str, Any]], left_out: set[int], place: str, notes: Notes
) -> dict[int, Picture]:
    pictures: dict[int, Picture] = {}
    folders: dict[str, Path] = {}
    for image in images:
        try:
            key, name = int(image["id"]), str(image["file_name"])
            width, height = int(image["width"]), int(image["height"])
        except (KeyError, TypeError, ValueError, OverflowError):
            raise UserError(
                f"{place}: image {shown(repr(image))}: needs id, file_name, width and height"
            ) from None
        if key in pictures:
            raise UserError(f"{place}: image id {key} is there twice; ids must be unique")
        if not (0 < width <= MOST_PX and 0 < height <= MOST_PX):
            size = shown(f"{width} x {height}") if max(abs(width), abs(height)) < 1e30 else "far too many"
            raise UserError(f"{place}: image {key}: {size} pixels; sides are 1 to {MOST_PX:,}")
        outside = name.startswith("/") or ".." in name.split("/")
        if not name.isprintable() or outside or len(name) > LONGEST_NAME:
            raise UserError(f"{place}: image {key}: {shown(name)}: no name of a file below the data set")
        if key in left_out:
            notes.add("images left out, as the released code means to", key)
            continue
        year = re.match(r"COCO_(\w+?)_\d", name)  # 2014's names tell the folder, whatever the split's name
        folder = year[1] if year else split
        pictures[key] = Picture(folders.setdefault(folder, root / folder) / name, width, height)
    return pictures


def require_pictures(pictures: list[Picture], place: str) -> None:
    """UserError that counts and names pictures whose files are missing."""
    listed: dict[Path, set[str]] = {}
    missing = []
    for path in (picture.path for picture in pictures):
        folder = path.parent
        if folder not in listed:
            listed[folder] = _listed(folder)
        if path.name not in listed[folder] and not path.is_file():
            missing.append(str(path))
    if missing:
        raise UserError(
            f"{place}: {len(missing)} of {len(pictures)} pictures missing, such as {missing[0]}; "
            "unpack the data set's pictures there"
        )


def _listed(folder: Path) -> set[str]:
    """The plain files of a folder: asked at once, where each by itself takes minutes on a cluster's disk."""
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries if entry.is_file(follow_symlinks=False)}
    except OSError:
        return set()


def _note_categories(value: dict[str, Any], notes: Notes) -> None:
    """Things of categories that the file lists are left out by intent; of others, it may be by mistake."""
    listed = [one.get("id") for one in value["categories"] if isinstance(one, dict)]
    for annotation in value["annotations"]:
        category = annotation.get("category_id") if isinstance(annotation, dict) else None
        if category is not None and category not in listed:
            what = f"annotation {annotation.get('id')}: {shown(repr(category))}"
            notes.add("left out: of a category that the file does not list", what)


def _keep(
    annotations: list[dict[str, Any]],
    pictures: dict[int, Picture],
    skeleton: Skeleton,
    left_out: set[int],
    place: str,
    notes: Notes,
) -> list[dict[str, Any]]:
    """The annotations of persons to train and test on, each checked."""
    kept, seen = [], set()
    for annotation in annotations:
        try:
            key, image, category = annotation["id"], annotation["image_id"], annotation["category_id"]
        except (KeyError, TypeError):
            raise UserError(
                f"{place}: annotation {str(annotation)[:80]}: needs id, image_id and category_id"
            ) from None
        if key in seen:
            raise UserError(f"{place}: annotation id {key} is there twice; ids must be unique")
        seen.add(key)
        if image in left_out or category != PERSON:
            continue
        if annotation.get("iscrowd", 0):
            notes.add("crowds not used, as the protocol has it", f"annotation {key}")
            continue
        if image not in pictures:
            raise UserError(f"{place}: annotation {key}: unknown image {image}")
        what = f"{place}: annotation {key}"
        # That they are numbers is a matter of the file's form.
        joints = of_length(annotation.get("keypoints"), 3 * len(skeleton.joints), f"{what}: keypoints")
        box = of_length(annotation.get("bbox"), 4, f"{what}: bbox")
        if not {0, 1, 2}.issuperset(joints[2::3]):
            raise UserError(f"{place}: annotation {key}: keypoints: visibility is 0, 1 or 2")
        if not any(joints[2::3]):
            notes.add(
                "persons without a labelled joint not used, as the protocol has it", f"annotation {key}"
            )
            continue
        if box[2] <= 0 or box[3] <= 0:
            notes.add("persons left out: box without area", f"annotation {key}: {box}")
            continue
        picture = pictures[image]
        if min(box[0] + box[2], box[1] + box[3]) <= 0 or box[0] >= picture.width or box[1] >= picture.height:
            notes.add("boxes outside their picture, used as they are", f"annotation {key}: {box}")
        kept.append(annotation)
    return kept
