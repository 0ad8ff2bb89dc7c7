"""The form of COCO's annotation files: the types of their entries, and what is wrong where one has another.

A file is decoded by its types, in a tenth of the time that a look at each entry takes. Only where that fails
is every entry looked at, to name the first that is wrong.
"""

import math
from pathlib import Path
from typing import Annotated, Any, Literal, Required, TypedDict

import msgspec

from mspn.errors import UserError, shown

PERSON = 1  # the category's id
MOST = 1e12  # of any number in pixels or square pixels: so far squares and 32 bits hold

Id = Annotated[int, msgspec.Meta(gt=-(2**63), le=2**63 - 1)]  # as an array holds it
Number = (
    Annotated[int, msgspec.Meta(ge=-int(MOST), le=int(MOST))]
    | Annotated[float, msgspec.Meta(ge=-MOST, le=MOST)]
)
Box = Annotated[list[Number], msgspec.Meta(min_length=4, max_length=4)]


class _Image(TypedDict, total=False):
    id: Required[Id]
    file_name: Any
    width: Any
    height: Any


class _Annotation(TypedDict, total=False):
    id: Required[Id]
    image_id: Required[Id]
    category_id: Required[Id]
    iscrowd: Literal[0, 1]
    num_keypoints: Id
    bbox: Box
    area: Number | None
    keypoints: list[Number]


class _File(TypedDict):
    images: list[_Image]
    annotations: list[_Annotation]
    categories: list[Any]


FORM = msgspec.json.Decoder(_File)  # files in which `check_form` finds nothing wrong


def check_form(value: Any, path: Path) -> None:
    """UserError for the first entry that is not in COCO's form, whatever the protocol makes of it."""
    for key in ("images", "annotations", "categories"):
        if not isinstance(value, dict) or not isinstance(value.get(key), list):
            raise UserError(f"{path}: no list {key!r}; expected COCO's keypoint annotations")
    for image in value["images"]:
        if not isinstance(image, dict) or not _is_id(image.get("id")):
            raise UserError(f"{path}: image {shown(repr(image))}: needs id, file_name, width and height")
    for annotation in value["annotations"]:
        _check_annotation(annotation, path)


def _is_id(value: Any) -> bool:
    """Whether it is a whole number that an array holds."""
    return type(value) is int and abs(value) < 2**63


def _check_annotation(annotation: Any, path: Path) -> None:
    """Refuse what neither reading nor scoring can take for an annotation."""
    keys = ("id", "image_id", "category_id")
    if not isinstance(annotation, dict) or not all(_is_id(annotation.get(key)) for key in keys):
        said = shown(repr(annotation))
        raise UserError(f"{path}: annotation {said}: needs id, image_id and category_id, all whole numbers")
    what = f"{path}: annotation {annotation['id']}"
    if annotation.get("iscrowd", 0) not in (0, 1):
        raise UserError(f"{what}: iscrowd: {shown(repr(annotation['iscrowd']))} is neither 0 nor 1")
    if "num_keypoints" in annotation and not _is_id(annotation["num_keypoints"]):
        raise UserError(f"{what}: num_keypoints: {shown(repr(annotation['num_keypoints']))} is no number")
    if "bbox" in annotation:
        numbers(annotation["bbox"], 4, f"{what}: bbox")
    if annotation.get("area") is not None:
        numbers([annotation["area"]], 1, f"{what}: area")
    if annotation["category_id"] == PERSON and isinstance(annotation.get("keypoints"), list):
        numbers(annotation["keypoints"], len(annotation["keypoints"]), f"{what}: keypoints")


def numbers(value: Any, length: int, what: str) -> list[float]:
    """``value``, a list of ``length`` numbers up to MOST; UserError where it is not."""
    of_length(value, length, what)
    try:
        if set(map(type, value)) <= {int, float} and math.fsum(map(abs, value)) <= MOST:
            return value  # the common case, quickly
    except (OverflowError, ValueError):  # an integer beyond any float; infinities of both signs
        pass
    for number in value:
        known = isinstance(number, int | float) and not isinstance(number, bool)
        if not known or not abs(number) <= MOST:
            raise UserError(f"{what}: {repr(number)[:40]} is not a finite number, or beyond {MOST:.0e}")
    return value


def of_length(value: Any, length: int, what: str) -> list[Any]:
    """``value``, a list of ``length``; UserError where it is not."""
    if not isinstance(value, list) or len(value) != length:
        found = len(value) if isinstance(value, list) else "none"
        raise UserError(f"{what}: expected {length} numbers, found {found}")
    return value
