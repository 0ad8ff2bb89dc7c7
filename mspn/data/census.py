"""What the data sets on the disk hold, beside what the paper says they do (section 4.1)."""

from pathlib import Path
from typing import Any

from mspn.data.coco import has_split, read_annotations, read_coco
from mspn.data.mpii import read_mpii, release_file, release_images
from mspn.data.persons import Persons
from mspn.errors import UserError

TRAIN_2014 = "train2014+val2014-minival2014"
# The paper's counts in thousands: (images, persons); None where it gives none.
Count = tuple[float | None, float | None]
_PAPER: dict[str, Count] = {
    "train2017": (57, 150),
    TRAIN_2014: (57, 150),
    "val2017": (5, None),
    "minival2014": (5, None),
}
_PAPER_MPII: Count = (25, 40)


def compare(paper: Count | None, images: int, persons: int) -> str:
    """The paper's counts and whether ours agree, to the thousand (the paper says "around" and "over")."""
    if paper is None:
        return "-"
    words, agrees = [], True
    for expected, found, what in ((paper[0], images, "images"), (paper[1], persons, "persons")):
        if expected is not None:
            words.append(f"{expected:.0f}K {what}")
            agrees &= abs(found / 1000 - expected) < 1
    return f"{', '.join(words)}: {'agrees' if agrees else 'differs'}"


def coco_splits(root: Path) -> list[str]:
    """The splits of a COCO folder: the benchmark's of 2014 and 2017, then any other with annotations."""
    known = [split for split in _PAPER if has_split(root, split)]
    parts = {"train2014", "val2014", *known}
    files = sorted((root / "annotations").glob("person_keypoints_*.json"))
    names = [path.stem.removeprefix("person_keypoints_") for path in files]
    found = known + [name for name in names if name not in parts and "minusminival" not in name]
    if not found and not names:
        raise UserError(f"{root}/annotations: no person_keypoints_*.json; is this COCO's folder?")
    return found or names


def _row(split: str, images: int, with_persons: int, persons: int, paper: Count | None) -> dict[str, Any]:
    # The paper's training images are those with persons; its validation images are all.
    counted = images if paper is None or paper[1] is None else with_persons
    return {
        "split": split,
        "images": images,
        "images_with_persons": with_persons,
        "persons": persons,
        "paper": compare(paper, counted, persons),
    }


def _row_of(split: str, persons: Persons, paper: Count | None) -> dict[str, Any]:
    with_persons = len(set(persons.image_ids.tolist()))
    return _row(split, len(persons.pictures), with_persons, len(persons), paper)


def count_coco(root: Path, check_pictures: bool) -> list[dict[str, Any]]:
    """Counts of every COCO split that is there: images, images with labelled persons, labelled persons."""
    return [
        _row_of(split, read_coco(root, split, check_pictures), _PAPER.get(split))
        for split in coco_splits(root)
    ]


def check_coco_split(root: Path) -> list[dict[str, str]]:
    """Whether 2014 with minival and 2017 are the same images, by their ids, where both are there."""
    checks = []
    for new, old in (("train2017", TRAIN_2014), ("val2017", "minival2014")):
        name = f"{new} = {old.replace('+', ' + ').replace('-', ' - ')}, by image ids"
        missing = [split for split in (new, old) if not has_split(root, split)]
        if missing:
            checks.append({"check": name, "verdict": "not checked", "detail": f": no {', '.join(missing)}"})
            continue
        ids = [{image["id"] for image in read_annotations(root, split)["images"]} for split in (new, old)]
        apart = sorted(ids[0] ^ ids[1])
        detail = f": {len(ids[0])} images"
        if apart:
            detail = f": {len(apart)} ids in one only, such as {apart[0]}"
        checks.append({"check": name, "verdict": "FAILED" if apart else "holds", "detail": detail})
    return checks


def count_mpii(root: Path, check_pictures: bool) -> list[dict[str, Any]]:
    """Counts of MPII: each split, and where the official release is there all its images and persons."""
    rows = []
    splits = [s for s in ("train", "valid") if (root / "annotations" / f"{s}.json").exists()]
    official = release_file(root)
    if official is not None:
        images = list(release_images(official))
        persons = sum(len(people) for *_, people in images)
        with_persons = sum(bool(people) for *_, people in images)
        rows.append(_row("mpii, whole release", len(images), with_persons, persons, _PAPER_MPII))
        splits = splits or ["train"]
    if not splits:
        raise UserError(
            f"{root}: neither annotations/train.json nor mpii_human_pose_v1*.mat; is this MPII's folder?"
        )
    return rows + [
        _row_of(f"mpii, {split}", read_mpii(root, split, check_pictures), None) for split in splits
    ]
