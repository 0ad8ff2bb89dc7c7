"""A part of COCO: the same choice anywhere, entries as they were, nothing of the source touched."""

import json
import os
import random
from pathlib import Path

import pytest

from mspn.commands.cli import main
from mspn.data.coco import read_coco
from mspn.data.subset import ANNOTATIONS, SPLITS, choose, make_subset, read_ids
from mspn.errors import UserError

ROOT = Path(__file__).resolve().parents[1]
MINI = Path(os.environ.get("MSPN_COCO_MINI") or ROOT.parent / "shared/data/coco-mini")
IMAGES = 30


@pytest.fixture
def coco(tmp_path):
    """COCO's layout with a person on every third image, a crowd on another, and files for pictures."""
    root = tmp_path / "coco"
    for start, split in enumerate(SPLITS, start=1):
        ids = [1000 * start + k for k in random.Random(start).sample(range(1000), IMAGES)]
        (root / split).mkdir(parents=True)
        rows = []
        for k, key in enumerate(ids):
            (root / split / f"{key:012d}.jpg").write_bytes(f"picture {key}".encode())
            person = {"id": 7000 - k, "image_id": key, "category_id": 1, "bbox": [1, 2, 3, 4], "area": 9.5}
            joints = [5, 5, 2] * 17 if k % 3 == 0 else [0] * 51
            rows.append(
                {**person, "iscrowd": int(k % 3 == 1), "keypoints": joints, "num_keypoints": joints[2]}
            )
        images = [{"id": k, "file_name": f"{k:012d}.jpg", "width": 9, "height": 9, "license": 3} for k in ids]
        value = {"info": {"year": 2017}, "licenses": [{"id": 3}], "images": images, "annotations": rows}
        path = root / ANNOTATIONS.format(split)
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({**value, "categories": [{"id": 1, "name": "person"}]}))
    return root


def read(root, split):
    return json.loads((root / ANNOTATIONS.format(split)).read_text())


def test_both_splits_are_cut_and_nothing_else_changes(coco, tmp_path, capsys):
    out = tmp_path / "mini"
    assert main(["subset", "--coco", str(coco), "--images", "12", "--out", str(out)]) == 0
    printed = capsys.readouterr().out.splitlines()
    for line, split in zip(printed, SPLITS, strict=True):
        whole, part = read(coco, split), read(out, split)
        ids = {image["id"] for image in part["images"]}
        assert len(ids) == 12
        assert part["images"] == [image for image in whole["images"] if image["id"] in ids]
        assert part["annotations"] == [a for a in whole["annotations"] if a["image_id"] in ids]
        assert all(part[key] == whole[key] for key in ("info", "licenses", "categories"))
        names = {image["file_name"] for image in part["images"]}
        assert names == {path.name for path in (out / split).iterdir()}
        assert all((out / split / name).samefile(coco / split / name) for name in names)
        assert f"12 images, {len(read_coco(out, split))} persons with joints" in line


def test_the_choice_depends_on_the_ids_alone():
    ids = list(range(500))
    first = choose(ids, 20)
    assert choose(ids[::-1], 20) == first < choose(ids, 40)
    # SHA-256 of the texts begins with 8d27, a0d1, 3bcc, 68c6, 3dae (sha256sum).
    assert choose([139, 285, 632, 724, 776], 2) == {632, 776}


def test_where_no_link_can_be_pictures_are_copied(coco, tmp_path, monkeypatch):
    def across(source, target):
        raise OSError("another file system")

    monkeypatch.setattr(os, "link", across)
    told = make_subset(coco, tmp_path / "mini", 12)
    for split in SPLITS:
        assert told[split]["copied"] == 12
        for path in (tmp_path / "mini" / split).iterdir():
            assert path.read_bytes() == (coco / split / path.name).read_bytes()
            assert not path.samefile(coco / split / path.name)


def test_an_interrupted_call_goes_on_and_a_whole_set_is_not_touched(coco, tmp_path):
    out = tmp_path / "mini"
    wanted = {split: [image["id"] for image in read(coco, split)["images"][:4]] for split in SPLITS}
    (out / SPLITS[0]).mkdir(parents=True)
    (out / SPLITS[0] / f"{wanted[SPLITS[0]][0]:012d}.jpg").write_bytes(b"half")
    make_subset(coco, out, wanted)
    for split in SPLITS:
        for key in wanted[split]:
            assert (out / split / f"{key:012d}.jpg").read_bytes() == f"picture {key}".encode()
    for folder in (out, coco):
        with pytest.raises(UserError, match="is there already"):
            make_subset(coco, folder, 12)


def test_bad_input_is_refused_before_anything_is_written(coco, tmp_path):
    out = tmp_path / "mini"

    def refused(match, chosen=12):
        with pytest.raises(UserError, match=match):
            make_subset(coco, out, chosen)
        assert not out.exists()

    refused("31 images asked for, 30 are there", 31)
    refused("0 images asked for", 0)
    nobody = {split: [read(coco, split)["images"][1]["id"]] for split in SPLITS}
    refused("no person with a labelled joint on the 1 images", nobody)
    refused("1 of 1 images are not there, such as 5", {**nobody, SPLITS[0]: [5]})
    value = read(coco, SPLITS[1])
    chosen = {split: [read(coco, split)["images"][0]["id"]] for split in SPLITS}
    (coco / SPLITS[1] / value["images"][0]["file_name"]).unlink()
    refused(r"\.jpg: no such picture, and 0 more; unpack val2017.zip there", chosen)
    value["images"][0]["file_name"] = "../../evil.jpg"
    (coco / ANNOTATIONS.format(SPLITS[1])).write_text(json.dumps(value))
    refused("needs an id and the plain name of a file", chosen)
    (coco / ANNOTATIONS.format(SPLITS[1])).write_text("{}")
    refused("no lists 'images' and 'annotations'")


@pytest.mark.parametrize(
    "value", [[], {}, {SPLITS[0]: [1], SPLITS[1]: []}, {SPLITS[0]: [1], SPLITS[1]: ["2"]}]
)
def test_lists_of_ids_that_are_none(tmp_path, value):
    (tmp_path / "ids.json").write_text(json.dumps(value))
    with pytest.raises(UserError, match="expected"):
        read_ids(tmp_path / "ids.json")


@pytest.mark.skipif(not MINI.is_dir(), reason=f"no real pictures at {MINI}: set MSPN_COCO_MINI")
def test_the_committed_list_is_the_set_that_was_measured(tmp_path):
    told = make_subset(MINI, tmp_path / "mini", read_ids(ROOT / "workflow/config/coco-mini.json"))
    assert [(part["images"], part["persons"]) for part in told.values()] == [(80, 86), (79, 68)]
    assert all(read(tmp_path / "mini", split) == read(MINI, split) for split in SPLITS)
