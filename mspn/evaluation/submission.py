"""Files for the servers that keep the test annotations: COCO's test-dev and test-challenge, MPII's test.

Names and forms are the servers' own: COCO takes ``person_keypoints_[test set]_[algorithm]_results.json``
alone in a zip of the same name; MPII takes ``pred_keypoints_mpii.mat`` whose ``pred`` is the release's list
of test images with ``annorect(i).annopoints.point(j)`` filled in (x, y, and the joint's id from 0). Nothing
here knows a test figure. Everything is checked before a file appears.
"""

import json
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mspn.data.mat import field, items, load_mat
from mspn.data.mpii import CENTRE_SHIFT, CROP_FACTOR, SCALE_PX, picture_size
from mspn.data.persons import Persons, Picture
from mspn.data.skeletons import COCO, MPII
from mspn.errors import UserError
from mspn.evaluation.metrics import coco
from mspn.files import atomic, read_json

# Server -> the test set's name in the file's name.
COCO_SERVERS = {"coco-test-dev": "test-dev2017", "coco-test-challenge": "test-challenge2017"}
MPII_SERVER = "mpii-test"
MPII_FILE = "pred_keypoints_mpii.mat"


def coco_pictures(info: Path, images: Path) -> Persons:
    """The pictures of a COCO test set as Persons with nobody in it, to put detections on."""
    value = read_json(info, "list of test images")
    try:
        entries = value["images"]
        pictures = {
            int(e["id"]): Picture(images / str(e["file_name"]), int(e["width"]), int(e["height"]))
            for e in entries
        }
    except (KeyError, TypeError, ValueError):
        raise UserError(f"{info}: not COCO's list of test images (image_info_test...json)") from None
    return _persons(str(info), COCO, pictures, [], [], np.zeros((0, 4)))


def _persons(
    name: str, skeleton: Any, pictures: dict[int, Picture], ids: Any, image_ids: Any, boxes: np.ndarray
) -> Persons:
    count = len(ids)
    return Persons(
        name=name,
        skeleton=skeleton,
        pictures=pictures,
        ids=np.array(ids, np.int64),
        image_ids=np.array(image_ids, np.int64),
        boxes=boxes.astype(np.float32).reshape(-1, 4),
        joints=np.zeros((count, len(skeleton.joints), 3), np.float32),
        scores=np.ones(count, np.float32),
        areas=np.full(count, np.nan, np.float32),
        head_sizes=np.full(count, np.nan, np.float32),
    )


def check_coco(results: list[dict[str, Any]], image_ids: set[int]) -> list[str]:
    """What COCO's server would refuse or count wrong: a line for each entry."""
    lines = []
    for i, result in enumerate(results):
        more = sorted(set(result) - set(coco.KEYS))
        if fault := coco.fault(result, image_ids) or (f"unknown {', '.join(more)}" if more else ""):
            lines.append(f"entry {i}: {fault}")
    return lines if results else ["no entry at all"]


def write_coco(
    folder: Path, server: str, algorithm: str, results: list[dict[str, Any]], image_ids: set[int]
) -> Path:
    """Write the zip that a COCO server takes, and return its path; UserError lists what is wrong instead."""
    if not re.fullmatch(r"[A-Za-z0-9.-]+", algorithm):
        raise UserError(
            f"algorithm {algorithm!r}: letters, digits, '.' and '-' only; the server parts the name at '_'"
        )
    problems = check_coco(results, image_ids)
    if problems:
        raise _refused(server, problems)
    name = f"person_keypoints_{COCO_SERVERS[server]}_{algorithm}_results"
    path = folder / f"{name}.zip"
    # A fixed date: the same predictions give the same bytes. No folder: the server looks into none.
    entry = zipfile.ZipInfo(f"{name}.json", (1980, 1, 1, 0, 0, 0))
    entry.compress_type = zipfile.ZIP_DEFLATED
    with atomic(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        archive.writestr(entry, json.dumps(results, allow_nan=False))
    return path


def _refused(server: str, faults: list[str]) -> UserError:
    shown = "\n".join(f"  {line}" for line in faults[:10])
    return UserError(f"not a submission to {server}: {len(faults)} faults\n{shown}")


@dataclass(frozen=True)
class MpiiTest:
    """MPII's test images in the release's order, and the persons that the single-person task asks for."""

    names: list[str]  # of the images' files
    people: list[list[dict[str, Any]]]  # of each image: scale and objpos (x, y), None where not given
    persons: Persons  # ids: 1000 x image + person, both from 0


def read_mpii_test(path: Path, images: Path) -> MpiiTest:
    """The test part of the official ``.mat``; UserError where it has none or a picture is missing."""
    release = load_mat(path).get("RELEASE")
    columns = [items(field(release, key)) for key in ("annolist", "img_train", "single_person")]
    if not columns[0] or len({len(column) for column in columns}) != 1:
        raise UserError(f"{path}: no RELEASE with annolist, img_train and single_person of one length")
    names: list[str] = []
    people: list[list[dict[str, Any]]] = []
    asked = []
    for index, (image, is_train, numbers) in enumerate(zip(*columns, strict=True)):
        if is_train:
            continue
        place, name = f"{path}: image {index}", field(image, "image", "name")
        if not isinstance(name, str) or Path(name).name != name:
            raise UserError(f"{place}: no file name")
        rects = [_given(rect, place) for rect in items(field(image, "annorect"))]
        for number in items(numbers):
            if number not in range(1, len(rects) + 1):  # Matlab counts from 1
                raise UserError(f"{place}: single_person {number!r}: it has {len(rects)} persons")
            rect = rects[int(number) - 1]
            if rect["scale"] is not None and rect["objpos"] is not None:
                asked.append((len(names), int(number) - 1, rect))
        names.append(name)
        people.append(rects)
    if not asked:
        raise UserError(f"{path}: no test image with a single person; fetch the official release anew")
    pictures = {i: Picture(images / names[i], *picture_size(images / names[i])) for i, _, _ in asked}
    centres = np.array([rect["objpos"] for *_, rect in asked]) - 1
    scales = np.array([rect["scale"] for *_, rect in asked])
    centres[:, 1] += CENTRE_SHIFT * scales
    sides = (CROP_FACTOR * SCALE_PX * scales)[:, None]
    boxes = np.concatenate([centres - sides / 2, sides, sides], axis=1)
    ids = [1000 * image + person for image, person, _ in asked]
    persons = _persons(f"{path}, test", MPII, pictures, ids, [image for image, *_ in asked], boxes)
    return MpiiTest(names, people, persons)


def _given(rect: Any, place: str) -> dict[str, Any]:
    read = field(rect, "scale"), field(rect, "objpos", "x"), field(rect, "objpos", "y")
    scale, x, y = (None if value == [] else value for value in read)
    for value in (scale, x, y):
        if value is not None and not (isinstance(value, int | float) and np.isfinite(value)):
            raise UserError(f"{place}: scale or objpos: {value!r} is not a number")
    return {"scale": scale, "objpos": None if x is None or y is None else (x, y)}


def check_mpii(test: MpiiTest, joints: Mapping[int, np.ndarray]) -> list[str]:
    """What MPII's evaluation would refuse: a line for each person without 16 finite joints, or unknown."""
    lines = []
    for person in test.persons.ids.tolist():
        found = joints.get(person)
        place = f"{test.names[person // 1000]}, person {person % 1000 + 1}"
        if found is None:
            lines.append(f"{place}: no prediction")
        elif found.shape[0] != len(MPII.joints) or not np.isfinite(found[:, :2]).all():
            lines.append(f"{place}: not {len(MPII.joints)} finite joints")
    unknown = set(joints) - set(test.persons.ids.tolist())
    return lines + [f"person {person}: not asked for" for person in sorted(unknown)]


def write_mpii(folder: Path, test: MpiiTest, joints: Mapping[int, np.ndarray]) -> Path:
    """Write the ``.mat`` that MPII's evaluation takes, and return its path; UserError lists what is wrong.

    ``joints`` maps the persons' ids to (16, 2 or more) x, y in pixels from 0; the file has Matlab's, from 1.
    """
    from scipy.io import savemat

    problems = check_mpii(test, joints)
    if problems:
        raise _refused(MPII_SERVER, problems)
    pred = _structs(
        [
            {
                "image": _structs([{"name": name}]),
                "annorect": _structs(
                    [_rect(rect, joints.get(1000 * i + j)) for j, rect in enumerate(rects)],
                    tuple(_rect({}, None)),
                ),
            }
            for i, (name, rects) in enumerate(zip(test.names, test.people, strict=True))
        ]
    )
    path = folder / MPII_FILE
    with atomic(path) as temporary:
        with temporary.open("wb") as file:
            savemat(file, {"pred": pred}, do_compression=True)
        _read_back(temporary, test, joints)
    return path


def _rect(given: Mapping[str, Any], joints: np.ndarray | None) -> dict[str, Any]:
    """One person as the release has it, with the predicted points; empty where there is nothing."""
    empty = np.zeros((0, 0))
    place, scale = given.get("objpos"), given.get("scale")
    points: Any = empty
    if joints is not None:
        rows = [
            {"x": float(x) + 1, "y": float(y) + 1, "id": float(k)} for k, (x, y) in enumerate(joints[:, :2])
        ]
        points = _structs([{"point": _structs(rows)}])
    return {
        "scale": empty if scale is None else scale,
        "objpos": empty if place is None else _structs([{"x": place[0], "y": place[1]}]),
        "annopoints": points,
    }


def _structs(rows: list[dict[str, Any]], fields: tuple[str, ...] = ()) -> np.ndarray:
    """Rows of one form as a Matlab struct array, 1 x N."""
    names = tuple(rows[0]) if rows else fields
    array = np.empty((1, len(rows)), dtype=[(name, object) for name in names])
    for i, row in enumerate(rows):
        for name in names:
            array[name][0, i] = row[name]
    return array


def _read_back(path: Path, test: MpiiTest, joints: Mapping[int, np.ndarray]) -> None:
    pred = items(load_mat(path)["pred"])
    if [field(entry, "image", "name") for entry in pred] != test.names:
        raise UserError(f"{MPII_FILE}: reads back with other images than the release; nothing was written")
    for person, expected in joints.items():
        rect = items(pred[person // 1000]["annorect"])[person % 1000]
        read = np.array([[point["x"] - 1, point["y"] - 1] for point in rect["annopoints"]["point"]])
        if not np.allclose(read, expected[:, :2], atol=1e-9, rtol=0):
            raise UserError(f"{MPII_FILE}: person {person} reads back changed; nothing was written")
