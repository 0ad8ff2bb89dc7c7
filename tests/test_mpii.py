import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import savemat

from mspn.commands.cli import main
from mspn.data import mat, mpii
from mspn.data.load import load_split
from mspn.data.mpii import read_mpii
from mspn.errors import UserError
from mspn.experiment.config import MpiiData, SynthData
from tests.data_cases import write_picture

EMPTY = np.zeros((0, 0))


def json_person(image="a.png", **changes):
    return {
        "image": image,
        "center": [41.0, 51.0],
        "scale": 0.4,
        "joints": [[11.0 + k, 21.0 + k] for k in range(16)],
        "joints_vis": [1] * 14 + [0, 0],
        "headbox": [[31.0, 21.0], [61.0, 61.0]],
    } | changes


def write_json_split(root, split, persons):
    for i, name in enumerate(sorted({str(p.get("image")) for p in persons})):
        write_picture(root / "images" / name, 120, 90, i)
    path = root / "annotations" / f"{split}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(persons))


def test_the_json_conversion(tmp_path):
    write_json_split(tmp_path, "valid", [json_person(), json_person("b.png"), json_person(headbox=None)])
    persons = read_mpii(tmp_path, "valid")
    assert persons.ids.tolist() == [0, 1, 2]
    assert persons.image_ids.tolist() == [0, 1, 0]
    assert persons.pictures[1].path == tmp_path / "images" / "b.png"
    assert (persons.pictures[0].width, persons.pictures[0].height) == (120, 90)
    # Centre (41, 51): down by 15 x 0.4, both minus 1; the side 0.4 x 200 x 1.25.
    np.testing.assert_allclose(persons.boxes[0], [40 - 50, 56 - 50, 100, 100])
    assert persons.joints[0, 0].tolist() == [10, 20, 2]
    assert persons.joints[0, 15].tolist() == [0, 0, 0]
    np.testing.assert_allclose(persons.head_sizes, [0.6 * 50, 0.6 * 50, np.nan])


def test_official_truth_beside_the_json(tmp_path, caplog):
    """gt_valid.mat as it is distributed: what it says of joints and head boxes counts."""
    people = [json_person(headbox=None), json_person("b.png", headbox=None)]
    write_json_split(tmp_path, "valid", people)
    points = np.array([p["joints"] for p in people]).transpose(1, 2, 0)
    missing = np.array([p["joints_vis"] for p in people]).T == 0
    missing[3, 1] = True
    heads = np.array([[[31.0, 21], [61, 61]], [[1, 1], [4, 5]]]).transpose(1, 2, 0)
    write = {"pos_gt_src": points, "jnt_missing": missing.astype(np.uint8), "headboxes_src": heads}
    savemat(tmp_path / "annotations/gt_valid.mat", write)
    persons = read_mpii(tmp_path, "valid")
    np.testing.assert_allclose(persons.head_sizes, [0.6 * 50, 0.6 * 5])
    assert persons.joints[0, 3].tolist() == [13, 23, 2]
    assert persons.joints[1, 3].tolist() == [0, 0, 0]
    assert "1 persons whose joints in valid.json differ" in caplog.text
    savemat(tmp_path / "annotations/gt_valid.mat", {k: v[..., :1] for k, v in write.items()})
    with pytest.raises(UserError, match=r"gt_valid.mat: 1 persons.*has 2"):
        read_mpii(tmp_path, "valid")
    savemat(tmp_path / "annotations/gt_valid.mat", {"x": 1})
    with pytest.raises(UserError, match=r"gt_valid.mat: not the ground truth"):
        read_mpii(tmp_path, "valid")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"center": [math.nan, 1]}, "person 1: center: nan"),
        ({"scale": None}, "person 1: scale: None"),
        ({"joints": [[1, 2]] * 15}, "person 1: joints: expected 16"),
        ({"joints": [[1, 2, 3]] * 16}, "person 1: joint 0: expected 2"),
        ({"joints_vis": [1] * 15}, "person 1: joints_vis: expected 16"),
        ({"joints_vis": [2] * 16}, "person 1: joints_vis: 0 or 1"),
        ({"headbox": [1, 2]}, "person 1: headbox"),
        ({"headbox": [[1, 2, 3, 4]]}, "person 1: headbox"),
    ],
)
def test_broken_persons_are_refused_by_entry(tmp_path, changes, message):
    write_json_split(tmp_path, "train", [json_person(), json_person(**changes)])
    with pytest.raises(UserError, match=message):
        read_mpii(tmp_path, "train")


def test_what_else_is_refused_or_counted(tmp_path, caplog):
    write_json_split(tmp_path, "train", [json_person(), json_person(scale=0.0), json_person(scale=-1)])
    assert len(read_mpii(tmp_path, "train")) == 1
    assert "2 persons left out: no scale above 0" in caplog.text
    (tmp_path / "images/a.png").unlink()
    with pytest.raises(UserError, match=r"1 of 1 pictures missing, such as .*a.png"):
        read_mpii(tmp_path, "train")
    (tmp_path / "images/a.png").write_text("no picture")
    with pytest.raises(UserError, match=r"a.png: not a picture"):
        read_mpii(tmp_path, "train")
    write_json_split(tmp_path, "train", [{"image": "a.png"}])
    with pytest.raises(UserError, match="person 0: no 'joints'"):
        read_mpii(tmp_path, "train")
    with pytest.raises(UserError, match=r"valid.json: no such file, nor the official"):
        read_mpii(tmp_path, "valid")


def point(joint, x=11.0, y=21.0, **visible):
    return {"id": joint, "x": x, "y": y} | visible


def person(points, scale=0.4, objpos=True, head=True):
    """One ``annorect`` as MPII has it; fields of persons without annotations are empty."""
    value = {
        "annopoints": {"point": as_structs(points)} if points else EMPTY,
        "objpos": {"x": 41.0, "y": 51.0} if objpos else EMPTY,
        "scale": EMPTY if scale is None else scale,
    }
    return value | ({"x1": 31.0, "y1": 21.0, "x2": 61.0, "y2": 61.0} if head else {})


def as_structs(items):
    """A 1 x n struct array, as savemat writes it from an array of records."""
    if not items:
        return EMPTY
    names = list(dict.fromkeys(name for item in items for name in item))
    array = np.empty((1, len(items)), dtype=[(name, object) for name in names])
    for i, item in enumerate(items):
        for name in names:
            array[0, i][name] = item.get(name, EMPTY)
    return array


def write_release(root, images):
    """``images``: (name, in the training part, persons)."""
    for i, (name, _, _) in enumerate(images):
        write_picture(root / "images" / name, 120, 90, i)
    annolist = as_structs([{"image": {"name": name}, "annorect": as_structs(p)} for name, _, p in images])
    train = np.array([[int(flag) for _, flag, _ in images]])
    release = {"annolist": annolist, "img_train": train, "single_person": EMPTY}
    savemat(root / "mpii_human_pose_v1_u12_1.mat", {"RELEASE": release})


def test_the_official_release(tmp_path, caplog):
    """No, one and many persons; one and many joints; visibility as a number, as text, empty, or not there."""
    many = [point(0, 5, 6, is_visible=1), point(9, 7, 8, is_visible=0), point(3, 1, 2, is_visible="0")]
    many += [point(4, 3, 4, is_visible="1"), point(8, 9, 9, is_visible=EMPTY), point(15, 9, 9, is_visible="")]
    write_release(
        tmp_path,
        [
            ("none.png", True, []),
            ("one.png", True, [person([point(6, 30, 40)])]),
            ("two.png", True, [person(many, head=False), person([point(2)], scale=0.2)]),
            ("bad.png", True, [person([]), person([point(2)], objpos=False), person([point(2)], scale=None)]),
            ("test.png", False, [person([], head=False)]),
        ],
    )
    persons = read_mpii(tmp_path, "train")
    assert persons.ids.tolist() == [1000, 2000, 2001]
    assert [persons.pictures[i].path.name for i in persons.image_ids] == ["one.png", "two.png", "two.png"]
    assert persons.joints[0, 6].tolist() == [29, 39, 2]
    assert (persons.joints[0, :, 2] > 0).sum() == 1
    seen = {0: 2, 9: 1, 3: 1, 4: 2, 8: 2, 15: 2}
    assert persons.joints[1, :, 2].tolist() == [seen.get(k, 0) for k in range(16)]
    assert persons.joints[1, 0].tolist() == [4, 5, 2]
    np.testing.assert_allclose(persons.boxes[0], [-10, 6, 100, 100])
    np.testing.assert_allclose(persons.boxes[2, 2:], [50, 50])
    np.testing.assert_allclose(persons.head_sizes, [30, np.nan, 30])
    assert "2 persons left out: no labelled joint or no centre (bad.png, person 0" in caplog.text
    assert "1 persons left out: no scale above 0" in caplog.text


def test_a_split_of_the_release_by_names(tmp_path):
    one = [person([point(6)])]
    write_release(tmp_path, [("a.png", True, one), ("b.png", True, one)])
    with pytest.raises(UserError, match=r"valid.txt: no such list"):
        read_mpii(tmp_path, "valid")
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations/valid.txt").write_text("b.png\n")
    assert read_mpii(tmp_path, "valid").ids.tolist() == [1000]


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ([point(1), point(1)], r"a.png, person 0: joint id 1"),
        ([point(16)], r"joint id 16"),
        ([point(1, math.nan)], r"joint 1: 'nan' is not a number"),
        ([point(1, is_visible="maybe")], r"joint 1: is_visible: 'maybe'"),
    ],
)
def test_broken_points_are_refused_by_entry(tmp_path, points, message):
    write_release(tmp_path, [("a.png", True, [person(points)])])
    with pytest.raises(UserError, match=message):
        read_mpii(tmp_path, "train")


def test_a_damaged_mat_is_refused(tmp_path):
    path = tmp_path / "mpii_human_pose_v1_u12_1.mat"
    write_release(tmp_path, [("a.png", True, [person([point(6)])])])
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(UserError, match="not a readable Matlab"):
        read_mpii(tmp_path, "train")
    savemat(path, {"other": 1})
    with pytest.raises(UserError, match=r"no RELEASE.annolist"):
        read_mpii(tmp_path, "train")


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.dictionaries(
            st.integers(0, 15),
            st.tuples(
                st.floats(1, 500), st.floats(1, 500), st.sampled_from([0, 1, "0", "1", "", EMPTY, None])
            ),
            min_size=1,
        ),
        min_size=1,
        max_size=4,
    )
)
def test_every_point_of_the_release_comes_back(tmp_path_factory, people):
    root = tmp_path_factory.mktemp("mpii")
    written = []
    for joints in people:
        points = [
            point(k, x, y, **({} if v is None else {"is_visible": v})) for k, (x, y, v) in joints.items()
        ]
        written.append(person(points))
    write_release(root, [("a.png", True, written)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mpii, "load_mat", mat.read_here)  # a process for each example would take long
        found = read_mpii(root, "train").joints
    assert len(found) == len(people)
    for row, joints in zip(found, people, strict=True):
        for k in range(16):
            if k not in joints:
                assert not row[k].any()
                continue
            x, y, v = joints[k]
            np.testing.assert_allclose(row[k, :2], [x - 1, y - 1], rtol=1e-6, atol=1e-4)
            assert row[k, 2] == (1 if str(v) == "0" else 2)


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    """A release's folder and what its file holds."""
    root = tmp_path_factory.mktemp("release")
    write_release(root, [("a.png", True, [person([point(6, is_visible=1), point(7)]), person([point(1)])])])
    return root, mat.read_here(root / "mpii_human_pose_v1_u12_1.mat")


def places(value, path=()):
    """Every key and index on the way to every value of a tree."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in inside:
        yield (*path, key)
        yield from places(inner, (*path, key))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_release_that_lacks_fields_is_read_or_refused(release, data):
    root, whole = release
    changed = json.loads(json.dumps(whole))
    for _ in range(data.draw(st.integers(1, 3))):
        *way, last = data.draw(st.sampled_from(sorted(places(changed), key=str)))
        inner = changed
        for key in way:
            inner = inner[key]
        other = data.draw(st.sampled_from([None, [], "", "../x", -1, 1e300, math.nan, {}, [[]], {"x": [1]}]))
        if other is None:
            del inner[last]
        else:
            inner[last] = other
        if not changed:
            break
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mpii, "load_mat", lambda path: changed)
        try:
            persons = read_mpii(root, "train")
        except UserError:
            return
    assert np.isfinite(persons.boxes).all() and np.isfinite(persons.joints).all()


def test_load_split_and_counts(tmp_path, capsys):
    write_release(tmp_path, [("a.png", True, [person([point(6)])]), ("b.png", False, [])])
    write_json_split(tmp_path, "train", [json_person(), json_person()])
    write_json_split(tmp_path, "valid", [json_person("b.png")])
    data = MpiiData(kind="mpii", root=tmp_path)
    assert len(load_split(data, tmp_path, "train")) == 2
    synth = SynthData(kind="synth", layout="mpii", seed=0, train_images=1, val_images=0)
    assert len(load_split(synth, tmp_path, "val")) == 1
    assert len(load_split(data, tmp_path, "train", check_pictures=False)) == 2
    assert main(["check-data", "--mpii", str(tmp_path), "--json"]) == 0
    rows = {row["split"]: row for row in json.loads(capsys.readouterr().out)["counts"]}
    assert rows["mpii, whole release"]["images"] == 2
    assert rows["mpii, train"]["persons"] == 2
    assert rows["mpii, whole release"]["paper"] == "25K images, 40K persons: differs"
