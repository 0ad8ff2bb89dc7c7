import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mspn.commands.cli import main
from mspn.data.census import compare
from mspn.data.coco import read_annotations, read_coco
from mspn.data.coco_form import FORM, check_form
from mspn.data.load import join, load_split
from mspn.errors import UserError
from mspn.experiment.config import CocoData, SynthData
from tests.data_cases import coco_annotation, write_coco

MINI = Path(os.environ.get("MSPN_COCO_MINI") or Path(__file__).parents[2] / "shared/data/coco-mini")


def test_who_is_kept(tmp_path):
    """Not crowd, a person, with a labelled joint (protocol); pictures stay, also without anybody."""
    write_coco(
        tmp_path,
        "train2017",
        [
            coco_annotation(1, 5),
            coco_annotation(2, 5, iscrowd=1),
            coco_annotation(3, 6, keypoints=[0] * 51),
            coco_annotation(4, 6, category_id=18),
            coco_annotation(5, 6, keypoints=[0] * 48 + [7, 8, 1], bbox=[1, 2, 3, 4]),
        ],
        images=[5, 6, 7],
    )
    persons = read_coco(tmp_path, "train2017")
    assert persons.ids.tolist() == [1, 5]
    assert persons.image_ids.tolist() == [5, 6]
    assert set(persons.pictures) == {5, 6, 7}
    assert persons.pictures[7].path == tmp_path / "train2017" / "000000000007.png"
    assert persons.joints.shape == (2, 17, 3)
    assert persons.joints[1, 16].tolist() == [7, 8, 1]
    assert persons.boxes[1].tolist() == [1, 2, 3, 4]
    assert persons.areas.tolist() == [900, 900]
    assert np.isnan(persons.head_sizes).all()


def test_what_is_left_out_is_counted(tmp_path, caplog):
    write_coco(
        tmp_path,
        "train",
        [
            coco_annotation(1, 5),
            coco_annotation(2, 5, bbox=[1, 2, 0, 4]),
            coco_annotation(3, 366379),
            coco_annotation(4, 5, bbox=[1, 2, 3, -4]),
            coco_annotation(5, 5, category_id=77),
            coco_annotation(6, 5, bbox=[5000, 2, 3, 4]),
        ],
    )
    persons = read_coco(tmp_path, "train")
    assert persons.ids.tolist() == [1, 6]
    assert "1 left out: of a category that the file does not list (annotation 5: 77)" in caplog.text
    assert "1 boxes outside their picture, used as they are (annotation 6: [5000, 2, 3, 4])" in caplog.text
    assert 366379 not in persons.pictures
    assert "2 persons left out: box without area (annotation 2" in caplog.text
    assert "1 images left out, as the released code means to (366379)" in caplog.text


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ([coco_annotation(1, 5), coco_annotation(1, 5)], "annotation id 1 is there twice"),
        ([coco_annotation(9, 5, keypoints=[1, 2, 2] * 16)], "annotation 9: keypoints: expected 51 numbers"),
        ([coco_annotation(9, 5, keypoints=[1, math.nan, 2] * 17)], "annotation 9: keypoints: nan is not"),
        ([coco_annotation(9, 5, keypoints=[1, 1, 3] * 17)], "annotation 9: keypoints: visibility"),
        ([coco_annotation(9, 5, keypoints=None)], "annotation 9: keypoints: expected 51 numbers, found none"),
        ([coco_annotation(9, 5, bbox=[1, 2, 3])], "annotation 9: bbox: expected 4"),
        ([coco_annotation(9, 5, bbox=[1, 2, math.inf, 3])], "annotation 9: bbox: inf is not"),
        ([coco_annotation(9, 5, bbox=[1, 2, "3", 3])], "annotation 9: bbox: '3' is not"),
        ([{"id": 3}], "needs id, image_id and category_id"),
        ([coco_annotation(9, 4)], "annotation 9: unknown image 4"),
        ([coco_annotation(9, 5, iscrowd=1)], "no person with a labelled joint"),
    ],
)
def test_broken_annotations_are_refused_by_entry(tmp_path, broken, message):
    write_coco(tmp_path, "train", broken, images=[5])
    with pytest.raises(UserError, match=message):
        read_coco(tmp_path, "train")


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ({"id": 5, "file_name": "a", "width": 9, "height": 9}, "image id 5 is there twice"),
        ({"id": 6, "file_name": "a", "width": 0, "height": 9}, "image 6: 0 x 9"),
        ({"id": 6, "width": 0, "height": 9}, "needs id, file_name"),
        ({"id": 6, "file_name": "gone.png", "width": 9, "height": 9}, r"1 of 2 pictures missing.*gone.png"),
    ],
)
def test_broken_images_are_refused_by_entry(tmp_path, image, message):
    value = write_coco(tmp_path, "train", [coco_annotation(1, 5)])
    value["images"].append(image)
    (tmp_path / "annotations/person_keypoints_train.json").write_text(json.dumps(value))
    with pytest.raises(UserError, match=message):
        read_coco(tmp_path, "train")


def test_files_that_are_not_coco_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"person_keypoints_val.json: no such"):
        read_coco(tmp_path, "val")
    write_coco(tmp_path, "val", [coco_annotation(1, 5)])
    for text in ("[]", "{", '{"images": []}'):
        (tmp_path / "annotations/person_keypoints_val.json").write_text(text)
        with pytest.raises(UserError, match=r"person_keypoints_val.json"):
            read_coco(tmp_path, "val")


def make_2014(root):
    """Both layouts: 2017's training images 1 to 4, validation 8, 9; 2014 has 3, 4, 8, 9 as val2014."""
    people = {i: coco_annotation(i, i) for i in (1, 2, 3, 4, 8, 9)}
    write_coco(root, "train2017", [people[i] for i in (1, 2, 3, 4)])
    write_coco(root, "val2017", [people[i] for i in (8, 9)])
    for name, ids in (("train2014", (1, 2)), ("val2014", (3, 4, 8, 9))):
        write_coco(root, name, [people[i] for i in ids], names=f"COCO_{name}_{{:012d}}.png")
    (root / "annotations/minival2014.txt").write_text("8\n9\n")


def test_2014_with_minival_is_2017(tmp_path):
    make_2014(tmp_path)
    train = read_coco(tmp_path, "train2014+val2014-minival2014")
    assert train.ids.tolist() == read_coco(tmp_path, "train2017").ids.tolist()
    assert train.pictures[3].path == tmp_path / "val2014" / "COCO_val2014_000000000003.png"
    minival = read_coco(tmp_path, "minival2014")
    assert minival.ids.tolist() == [8, 9]
    assert minival.pictures[8].path == tmp_path / "val2014" / "COCO_val2014_000000000008.png"
    assert {i["id"] for i in read_annotations(tmp_path, "minival2014")["images"]} == {8, 9}


def test_minival_by_annotation_file(tmp_path):
    make_2014(tmp_path)
    (tmp_path / "annotations/minival2014.txt").unlink()
    write_coco(
        tmp_path, "minival2014", [coco_annotation(8, 8)], names="COCO_val2014_{:012d}.png", folder="val2014"
    )
    assert read_coco(tmp_path, "train2014+val2014-minival2014").ids.tolist() == [1, 2, 3, 4, 9]
    assert read_coco(tmp_path, "minival2014").ids.tolist() == [8]


def test_an_image_of_both_parts_is_refused(tmp_path):
    write_coco(tmp_path, "a", [coco_annotation(1, 5)])
    write_coco(tmp_path, "b", [coco_annotation(2, 5)])
    with pytest.raises(UserError, match="image id 5 is there twice"):
        read_coco(tmp_path, "a+b")


def test_check_data_proves_the_split_by_ids(tmp_path, capsys):
    make_2014(tmp_path)
    assert main(["check-data", "--coco", str(tmp_path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [check["verdict"] for check in found["checks"]] == ["holds", "holds"]
    rows = {row["split"]: row for row in found["counts"]}
    assert rows["train2017"]["persons"] == rows["train2014+val2014-minival2014"]["persons"] == 4
    assert rows["val2017"]["images"] == 2
    assert rows["train2017"]["paper"] == "57K images, 150K persons: differs"
    assert compare((57, 150), 56_599, 149_813) == "57K images, 150K persons: agrees"
    assert compare((5, None), 5000, 1) == "5K images: agrees"
    (tmp_path / "annotations/minival2014.txt").write_text("8\n3\n")
    assert main(["check-data", "--coco", str(tmp_path)]) == 1
    assert "FAILED" in capsys.readouterr().out


def test_check_data_says_what_it_could_not_check(tmp_path, capsys):
    write_coco(tmp_path, "val2017", [coco_annotation(1, 5)])
    assert main(["check-data", "--coco", str(tmp_path)]) == 0
    assert "not checked" in capsys.readouterr().out
    assert main(["check-data"]) == 2
    assert main(["check-data", "--coco", str(tmp_path / "nowhere")]) == 2


def test_the_wrong_ids_file_is_refused(tmp_path):
    make_2014(tmp_path)
    (tmp_path / "annotations/minival2014.txt").write_text("8\nnine\n")
    with pytest.raises(UserError, match=r"minival2014.txt, line 2: 'nine'"):
        read_coco(tmp_path, "minival2014")


def test_load_split_by_configuration(tmp_path):
    write_coco(tmp_path, "train", [coco_annotation(1, 5)])
    write_coco(tmp_path, "mine", [coco_annotation(2, 6)])
    synth = SynthData(kind="synth", layout="coco", seed=0, train_images=1, val_images=0)
    assert load_split(synth, tmp_path, "train").ids.tolist() == [1]
    coco = CocoData(kind="coco", root=tmp_path, train="mine")
    assert load_split(coco, tmp_path, "train").ids.tolist() == [2]
    with pytest.raises(UserError, match="no val split"):
        load_split(coco, tmp_path, "val")


def test_joining_data_sets_keeps_pictures_apart(tmp_path):
    for name in ("a", "b"):
        write_coco(tmp_path / name, "train", [coco_annotation(1, 5), coco_annotation(2, 6)])
    parts = [read_coco(tmp_path / name, "train") for name in ("a", "b")]
    both = join(parts)
    assert both.ids.tolist() == [0, 1, 2, 3]
    paths = [both.pictures[i].path for i in both.image_ids.tolist()]
    assert paths == [part.pictures[i].path for part in parts for i in part.image_ids.tolist()]
    np.testing.assert_array_equal(both.joints[2:], parts[1].joints)


entries = st.fixed_dictionaries(
    {
        "bbox": st.lists(st.floats(-50, 700, width=32), min_size=4, max_size=4),
        "keypoints": st.lists(st.integers(-5, 700), min_size=34, max_size=34),
        "seen": st.lists(st.integers(0, 2), min_size=17, max_size=17),
        "iscrowd": st.integers(0, 1),
    }
)


@settings(max_examples=40, deadline=None)
@given(st.lists(entries, min_size=1, max_size=6))
def test_every_annotation_is_kept_or_accounted_for(tmp_path_factory, found):
    root = tmp_path_factory.mktemp("coco")
    annotations = [coco_annotation(1000, 5)]
    for key, entry in enumerate(found):
        triples = zip(entry["keypoints"][::2], entry["keypoints"][1::2], entry["seen"], strict=True)
        keypoints = [float(x) for triple in triples for x in triple]
        annotations.append(
            coco_annotation(key, 5, bbox=entry["bbox"], iscrowd=entry["iscrowd"], keypoints=keypoints)
        )
    write_coco(root, "train", annotations)
    persons = read_coco(root, "train")
    for a in annotations:
        labelled = any(a["keypoints"][2::3])
        expected = not a["iscrowd"] and labelled and a["bbox"][2] > 0 and a["bbox"][3] > 0
        rows = np.flatnonzero(persons.ids == a["id"])
        assert len(rows) == expected
        if expected:
            np.testing.assert_array_equal(persons.boxes[rows[0]], np.array(a["bbox"], np.float32))
            joints = np.array(a["keypoints"]).reshape(17, 3)
            np.testing.assert_array_equal(persons.joints[rows[0]], joints * (joints[:, 2:] > 0))


values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 2),
    st.integers(-(2**80), 2**80),
    st.floats(),
    st.text(max_size=2),
    st.lists(st.one_of(st.integers(), st.floats(), st.booleans(), st.none()), max_size=5),
)
FIELDS = ("id", "image_id", "category_id", "iscrowd", "num_keypoints", "bbox", "area", "keypoints", "more")


@settings(deadline=None)
@given(st.sampled_from(FIELDS), values, st.booleans())
def test_what_is_decoded_by_its_types_is_in_form(key, value, absent):
    """The quick way takes nothing that the slow one refuses, and has the same values."""
    annotation = coco_annotation(1, 5) | {key: value}
    if absent:
        del annotation[key]
    file = {
        "images": [{"id": 5, "more": 1}],
        "annotations": [annotation],
        "categories": [{"id": 1}],
        "info": 1,
    }
    text = json.dumps(file)
    try:
        decoded = FORM.decode(text)
    except ValueError:  # the slow way decides
        return
    check_form(json.loads(text), Path("file"))
    known = {name: annotation[name] for name in annotation.keys() - {"more"}}
    assert decoded == {"images": [{"id": 5}], "annotations": [known], "categories": [{"id": 1}]}
    assert {k: repr(v) for k, v in decoded["annotations"][0].items()} == {
        k: repr(v) for k, v in known.items()
    }


def test_a_file_in_form_is_decoded_by_its_types(tmp_path):
    more = {"segmentation": [[1.5, 2, 3]], "area": None}
    write_coco(tmp_path, "train", [coco_annotation(1, 5), coco_annotation(2, 5, **more)])
    FORM.decode((tmp_path / "annotations/person_keypoints_train.json").read_bytes())


@pytest.mark.skipif(not MINI.is_dir(), reason="no real COCO pictures here")
def test_real_coco():
    train, val = read_coco(MINI, "train2017"), read_coco(MINI, "val2017")
    assert (len(train), len(val)) == (86, 68)
    for path in MINI.glob("annotations/person_keypoints_*.json"):
        FORM.decode(path.read_bytes())
    assert (len(train.pictures), len(val.pictures)) == (80, 79)
