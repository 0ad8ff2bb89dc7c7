"""LSP Extended in COCO's layout: what is written and counted, and what is refused before a file appears."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from scipy.io import savemat

from mspn.commands.cli import main
from mspn.data import lsp
from mspn.data.lsp import import_lsp, read_joints
from mspn.data.notes import Notes
from mspn.data.skeletons import LSP
from mspn.errors import UserError
from mspn.files import read_json
from tests.data_cases import write_picture

REAL = Path(os.environ.get("MSPN_LSPET") or Path(__file__).parents[2] / "shared/data/lsp")


@pytest.fixture
def small(monkeypatch):
    """Releases of four and of five persons: three for training, one for validation, one for testing."""
    monkeypatch.setattr(lsp, "SPLITS", {"train": range(1, 4), "val": range(4, 5), "test": range(5, 6)})


def joints_of(count):
    """(14, 3, count): all labelled, in a cross about the middle of pictures of 60 x 50."""
    joints = np.random.default_rng(0).uniform((10, 5), (50, 45), (count, 14, 2))
    return np.concatenate([joints, np.ones((count, 14, 1))], axis=2).transpose(1, 2, 0)


def write_release(root, joints, pictures=None):
    for number in range(1, (joints.shape[-1] if pictures is None else pictures) + 1):
        write_picture(root / "images" / f"im{number:05}.jpg", 60, 50, number)
    savemat(root / "joints.mat", {"joints": joints})
    return root


def annotations(out, split):
    return read_json(out / "annotations" / f"person_keypoints_{split}.json")


def test_what_is_written(tmp_path, small, capsys):
    joints = joints_of(5)
    joints[3, :, 0] = -53.3, 0, 0  # not labelled; its coordinates mean nothing
    joints[13, :, 0] = 30.0, -0.5, 1  # labelled, above the picture
    joints[:, 2, 1] = 0  # nobody
    source, out = write_release(tmp_path / "lspet", joints), tmp_path / "out"
    assert main(["import-lsp", str(source), "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "train: 3 pictures, 3 of them linked, 2 persons, 26 labelled joints" in said
    assert "test: 1 pictures" in said and "15 of 70 joints: not labelled" in said
    assert "person 1, head_top at (30.0, -0.5) of 60 x 50" in said
    assert "1 persons left out: no joints further apart than a pixel:\n  person 2" in said
    assert annotations(out, "test")["images"][0]["file_name"] == "im00005.jpg"
    train = annotations(out, "train")
    category = train["categories"][0]
    assert category["keypoints"] == list(LSP.joints)
    assert [LSP.joints[k - 1] for k in category["skeleton"][-1]] == ["neck", "head_top"]
    assert train["images"][2] == {"id": 3, "file_name": "im00003.jpg", "width": 60, "height": 50}
    first, third = train["annotations"]
    assert (first["id"], first["image_id"], first["num_keypoints"]) == (1, 1, 12)
    assert (third["id"], third["num_keypoints"]) == (3, 14)
    points = np.array(first["keypoints"]).reshape(14, 3)
    assert not points[3].any() and not points[13].any()
    np.testing.assert_allclose(points[5, :2], joints[5, :2, 0], atol=0.005)
    assert points[5, 2] == 2
    # The joints' box, by a tenth of its longer side more on every side; the picture does not cut it here.
    x, y = joints[:, :2, 2].T
    margin = 0.1 * max(np.ptp(x), np.ptp(y))
    expected = [x.min() - margin, y.min() - margin, np.ptp(x) + 2 * margin, np.ptp(y) + 2 * margin]
    np.testing.assert_allclose(third["bbox"], expected, atol=0.01)
    assert third["area"] == pytest.approx(0.53 * third["bbox"][2] * third["bbox"][3], abs=0.01)
    assert len(COCO(str(out / "annotations/person_keypoints_train.json")).anns) == 2


def test_pictures_are_linked_where_possible_and_copied_else(tmp_path, small, monkeypatch):
    source = write_release(tmp_path / "lspet", joints_of(4))
    picture, made = source / "images/im00004.jpg", tmp_path / "out/val/im00004.jpg"
    assert import_lsp(source, tmp_path / "out")["splits"]["val"]["linked"] == 1
    assert made.samefile(picture)

    def refuse(*_):
        raise OSError("another file system")

    monkeypatch.setattr(os, "link", refuse)
    report = import_lsp(source, tmp_path / "out")  # again, over what is there
    assert report["splits"]["val"] == {"pictures": 1, "linked": 0, "persons": 1, "joints": 14}
    assert not made.samefile(picture) and made.read_bytes() == picture.read_bytes()
    assert list(report["splits"]) == ["train", "val"]
    assert sorted(path.name for path in (tmp_path / "out/val").iterdir()) == ["im00004.jpg"]


@pytest.mark.parametrize(
    ("joints", "message"),
    [
        (joints_of(4)[:13], r"'joints' is \(13, 3, 4\), not \(14, 3, N\) or \(3, 14, N\)"),
        (joints_of(4)[..., 0], r"'joints' is \(14, 3\)"),
        (joints_of(3), "3 persons; a release has 4 or 5"),
        (np.array([["text"]], object), "'joints' is not an array of numbers"),
        (
            np.where(joints_of(4) == 1, np.nan, joints_of(4)),
            "number that is none in 56 joints, first person 1",
        ),
        (
            joints_of(4) + np.array([0, 0, 1])[:, None],
            "neither 0 nor 1 in 56 joints, first person 1, right_ankle",
        ),
    ],
)
def test_joints_of_another_kind_are_refused(tmp_path, small, joints, message):
    source = write_release(tmp_path / "lspet", joints, pictures=4)
    with pytest.raises(UserError, match=rf"joints\.mat: .*{message}"):
        import_lsp(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_pictures_that_do_not_fit_are_refused(tmp_path, small):
    source, out = write_release(tmp_path / "lspet", joints_of(4), pictures=5), tmp_path / "out"
    with pytest.raises(UserError, match=r"1 pictures without a person in joints.mat \(im00005.jpg\)"):
        import_lsp(source, out)
    for number in (2, 5):
        (source / f"images/im{number:05}.jpg").unlink()
    with pytest.raises(UserError, match=r"1 pictures missing \(im00002.jpg\); joints.mat has 4 persons"):
        import_lsp(source, out)
    (source / "images/im00002.jpg").write_text("no picture")
    with pytest.raises(UserError, match=r"im00002\.jpg: not a picture"):
        import_lsp(source, out)
    (source / "images").rename(source / "pictures")
    with pytest.raises(UserError, match="images: no such folder"):
        import_lsp(source, out)
    with pytest.raises(UserError, match=r"joints\.mat: no such file"):
        import_lsp(tmp_path / "nowhere", out)
    savemat(source / "joints.mat", {"other": 1})
    with pytest.raises(UserError, match="no variable 'joints'"):
        import_lsp(source, out)
    assert not out.exists()


def test_another_data_sets_annotations_stay(tmp_path, small):
    source, out = write_release(tmp_path / "lspet", joints_of(4)), tmp_path / "out"
    file = out / "annotations/person_keypoints_val.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"info": {"description": "mine"}}))
    with pytest.raises(UserError, match=r"val\.json: annotations of another data set"):
        import_lsp(source, out)
    assert "mine" in file.read_text() and not (out / "train").exists()


def test_the_transposed_form_is_read_as_well(tmp_path, small):
    joints = joints_of(5)
    savemat(tmp_path / "a.mat", {"joints": joints})
    savemat(tmp_path / "b.mat", {"joints": joints.transpose(1, 0, 2)})
    read = read_joints(tmp_path / "a.mat")
    assert read.shape == (5, 14, 3)
    assert read[4, 13].tolist() == joints[13, :, 4].tolist()
    np.testing.assert_array_equal(read, read_joints(tmp_path / "b.mat"))


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(-1e4, 1e4), st.floats(-1e4, 1e4), st.sampled_from([0, 1])),
        min_size=14,
        max_size=14,
    ),
    st.tuples(st.integers(1, 300), st.integers(1, 300)),
)
def test_every_joint_is_kept_dropped_or_named_and_boxes_hold_the_joints(joints, size):
    notes = Notes("test")
    row = lsp._person(7, np.array(joints, float), size, notes)
    inside = [flag and 0 <= x < size[0] and 0 <= y < size[1] for x, y, flag in joints]
    assert sum(map(len, notes.entries.values())) == sum(f for *_, f in joints) - sum(inside) + (row is None)
    if row is None:
        kept = [(x, y) for (x, y, _), there in zip(joints, inside, strict=True) if there]
        assert not kept or max(np.ptp(kept, axis=0)) < 1
        return
    found = np.array(row["keypoints"]).reshape(14, 3)
    assert (found[:, 2] == 2 * np.array(inside)).all() and row["num_keypoints"] == sum(inside)
    left, top, width, height = row["bbox"]
    assert width > 0 and height > 0
    x, y = found[inside, :2].T
    assert ((x >= left - 0.02) & (x <= left + width + 0.02)).all()
    assert ((y >= top - 0.02) & (y <= top + height + 0.02)).all()
    assert left >= 0 and top >= 0 and left + width <= size[0] + 0.01 and top + height <= size[1] + 0.01


@pytest.mark.slow
@pytest.mark.skipif(not REAL.is_dir(), reason=f"no LSP Extended at {REAL}: set MSPN_LSPET")
def test_the_published_files(tmp_path):
    splits = import_lsp(REAL, tmp_path)["splits"]
    assert [splits[split]["persons"] for split in ("train", "val")] == [8000, 1000]
