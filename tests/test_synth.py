"""The synthetic data: the same bytes for a seed, valid labels, and sides told apart by facing alone."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO as CocoFile
from pycocotools.cocoeval import COCOeval

from mspn.commands.cli import main
from mspn.data.skeletons import COCO, MPII
from mspn.data.synth import make_dataset, write
from mspn.data.synth.body import draw_person
from mspn.data.synth.canvas import PARTS_PER_PERSON, Canvas
from mspn.data.synth.difficulty import DIFFICULTIES
from mspn.data.synth.head import head_outline
from mspn.data.synth.look import sample_look
from mspn.data.synth.pose import ACTIVITIES, ANGLES, LIMITS, Body, camera, pose_figure, sample_angles
from mspn.data.synth.scene import Scene, make_scene, stream
from mspn.data.synth.statistics import largest_overlap, statistics_of
from mspn.data.synth.things import THING
from mspn.data.synth.truth import Truth, truth_of
from mspn.errors import UserError

LEFT, RIGHT = COCO.joints.index("left_shoulder"), COCO.joints.index("right_shoulder")


def make(root: Path, **changes: Any) -> Path:
    settings: dict[str, Any] = {
        "layout": "coco",
        "difficulty": "plain",
        "seed": 5,
        "train_images": 4,
        "val_images": 2,
    }
    make_dataset(root, **(settings | {"progress": False} | changes))
    return root


def files_of(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@cache
def scenes(difficulty: str, count: int) -> list[Scene]:
    return [make_scene(stream(3, "train", k), DIFFICULTIES[difficulty]) for k in range(count)]


def neutral(yaw: float, x: float = 100, occluder: tuple[int, int, int, int] | None = None) -> Truth:
    truth = stand(yaw, x, occluder)
    assert truth
    return truth


def stand(yaw: float, x: float, occluder: tuple[int, int, int, int] | None = None) -> Truth | None:
    """A person who stands upright with the arms off the body, 200 px tall, in a picture of 200 x 240."""
    angles = dict.fromkeys(ANGLES, 0.0) | {"left_arm_out": 55.0, "right_arm_out": 55.0}
    figure = pose_figure(Body(), angles, camera(yaw, 0))
    canvas = Canvas(np.full((240, 200, 3), 128, np.uint8), who=1)
    rng = np.random.default_rng(0)
    drawing = draw_person(canvas, figure, sample_look(rng), (x, 120), 200, rng)
    if occluder:
        x0, y0, x1, y1 = occluder
        canvas.owner[y0:y1, x0:x1] = THING
    return truth_of(canvas, 1, figure, drawing.flat, head_outline(drawing))


def joint(truth: Truth, name: str) -> np.ndarray:
    return truth.joints[COCO.joints.index(name)]


def test_the_same_bytes_whatever_the_workers(tmp_path, monkeypatch):
    monkeypatch.setattr(write, "_CHUNK", 2)
    alone = files_of(make(tmp_path / "alone"))
    assert alone == files_of(make(tmp_path / "again"))
    assert alone == files_of(make(tmp_path / "two", workers=2))
    assert len(alone) == 10  # six pictures, two annotation files, two lists of hashes, nothing else


def test_a_picture_depends_on_seed_split_and_number_only(tmp_path):
    small, large = files_of(make(tmp_path / "s", train_images=2)), files_of(make(tmp_path / "l"))
    pictures = [name for name in small if name.endswith(".jpg")]
    assert all(small[name] == large[name] for name in pictures)
    assert len(set(large.values())) == len(large)  # no picture of one split is in the other
    other = files_of(make(tmp_path / "o", seed=6))
    assert all(large[name] != other[name] for name in large)


def test_a_lost_or_cut_picture_comes_back_the_same(tmp_path):
    root = make(tmp_path)
    before = files_of(root)
    first, second = sorted((root / "train").iterdir())[:2]
    first.unlink()
    second.write_bytes(second.read_bytes()[:1000])
    make(root)
    assert files_of(root) == before


def test_an_interrupted_call_goes_on_where_it_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(write, "_CHUNK", 2)
    whole = files_of(make(tmp_path / "whole", val_images=0))
    make(tmp_path / "cut", val_images=0, seed=6)  # an older set in the same place
    drawn: list[object] = []

    def stop_at_fourth(*arguments) -> Scene:
        drawn.append(arguments)
        if len(drawn) == 4:
            raise KeyboardInterrupt
        return make_scene(*arguments)

    monkeypatch.setattr(write, "make_scene", stop_at_fourth)
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "cut", val_images=0)
    assert not list((tmp_path / "cut").rglob("person_keypoints*"))
    assert not list((tmp_path / "cut").rglob("*.tmp"))
    first = sorted((tmp_path / "cut" / "train").iterdir())[0]
    stamp = first.stat().st_mtime_ns
    make(tmp_path / "cut", val_images=0)
    assert len(drawn) == 4 + 2  # the first chunk of two is not drawn again
    assert first.stat().st_mtime_ns == stamp
    assert files_of(tmp_path / "cut") == whole


def test_pycocotools_takes_it_and_finds_the_truth_perfect(tmp_path):
    root = make(tmp_path, train_images=12, difficulty="hard")
    truth = CocoFile(str(root / "annotations" / "person_keypoints_train.json"))
    persons = truth.loadAnns(truth.getAnnIds())
    (category,) = truth.loadCats(truth.getCatIds())
    assert category["keypoints"] == list(COCO.joints)
    assert category["skeleton"][:2] == [[16, 14], [14, 12]]
    keep = [p for p in persons if p["num_keypoints"]]
    found = [{key: p[key] for key in ("image_id", "category_id", "keypoints")} | {"score": 1.0} for p in keep]
    evaluation = COCOeval(truth, truth.loadRes(found), "keypoints")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert evaluation.stats[0] == pytest.approx(1.0)
    for image in truth.loadImgs(truth.getImgIds()):
        picture = cv2.imread(str(root / "train" / image["file_name"]))
        assert picture is not None and picture.shape[:2] == (image["height"], image["width"])
    for person in persons:
        if (
            person["area"] > 2000
        ):  # outlines run through the rim's pixels, which weighs on small and thin ones
            assert truth.annToMask(person).sum() == pytest.approx(person["area"], rel=0.2)


@pytest.mark.parametrize("difficulty", DIFFICULTIES)
def test_labels_are_within_their_bounds(difficulty):
    for scene in scenes(difficulty, 25):
        height, width = scene.picture.shape[:2]
        for person in scene.persons:
            x, y, w, h = person.box
            assert x >= 0 and y >= 0 and x + w <= width and y + h <= height
            assert 0 < person.area <= w * h
            for px, py, v in person.joints:
                assert v in (0, 1, 2)
                assert 0 <= px < width and 0 <= py < height
                assert v or (px == 0 and py == 0)
                if v == 2:
                    assert x <= px < x + w and y <= py < y + h


def test_facing_decides_where_left_is():
    front, back = neutral(0).joints, neutral(180).joints
    for name in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle"):
        left, right = COCO.joints.index(f"left_{name}"), COCO.joints.index(f"right_{name}")
        assert front[left, 0] > front[right, 0]
        assert back[left, 0] < back[right, 0]


def test_what_is_in_full_view_is_visible():
    assert (neutral(0).joints[:, 2] == 2).sum() >= 15  # hair may cover the ears
    back = neutral(180).joints
    assert (back[5:, 2] == 2).all()
    assert (back[:3, 2] == 0).all()  # the face looks away: not labelled, as in COCO


def test_a_thing_before_a_joint_hides_it():
    x, y, _ = joint(neutral(0), "left_wrist")
    covered = neutral(0, occluder=(int(x) - 6, int(y) - 6, int(x) + 7, int(y) + 7))
    assert joint(covered, "left_wrist").tolist() == [x, y, 1]
    assert joint(covered, "right_wrist")[2] == 2
    assert covered.area < neutral(0).area


def test_the_border_takes_the_label():
    cut = neutral(0, x=160)
    assert joint(cut, "left_wrist").tolist() == [0, 0, 0]
    assert joint(cut, "right_wrist")[2] == 2
    assert cut.box[0] + cut.box[2] == 200
    assert cut.mpii[MPII.joints.index("left_wrist"), 2] == 0


def test_who_is_not_seen_at_all_is_not_there():
    assert stand(0, x=-900) is None
    assert stand(0, x=100, occluder=(0, 0, 200, 240)) is None


def test_the_body_hides_its_far_side():
    left_side = neutral(-90)  # the person's left is towards the viewer
    assert joint(left_side, "left_shoulder")[2] == joint(left_side, "left_hip")[2] == 2
    assert joint(left_side, "right_shoulder")[2] == joint(left_side, "right_hip")[2] == 1
    assert joint(left_side, "right_ear")[2] == 0


def test_colours_do_not_tell_the_sides_apart():
    difference, left_is_right = [], []
    for scene in scenes("plain", 120):
        for person in scene.persons:
            joints = person.joints
            left_is_right.append(joints[LEFT, 0] > joints[RIGHT, 0])
            for left, right in COCO.mirror_pairs[2:]:
                if joints[left, 2] == joints[right, 2] == 2:
                    (lx, ly), (rx, ry) = joints[left, :2].astype(int), joints[right, :2].astype(int)
                    difference.append(scene.picture[ly, lx].astype(float) - scene.picture[ry, rx])
    values = np.array(difference)
    assert len(values) > 400
    error = values.std(axis=0) / len(values) ** 0.5
    assert (np.abs(values.mean(axis=0)) < 4 * error).all()
    assert 0.4 < np.mean(left_is_right) < 0.75  # more persons face the viewer than turn away


def test_mpii_has_the_same_persons_in_matlabs_origin(tmp_path):
    make(tmp_path / "coco", train_images=10)
    make(tmp_path / "mpii", train_images=10, layout="mpii")
    coco = json.loads((tmp_path / "coco/annotations/person_keypoints_train.json").read_text())
    mpii = json.loads((tmp_path / "mpii/annotations/train.json").read_text())
    labelled = [a for a in coco["annotations"] if a["num_keypoints"]]
    assert len(labelled) == len(mpii) > 10
    shared = [(k, COCO.joints.index(name)) for k, name in enumerate(MPII.joints) if name in COCO.joints]
    for a, b in zip(labelled, mpii, strict=True):
        keypoints = np.array(a["keypoints"]).reshape(-1, 3)
        assert set(b) == {"image", "center", "scale", "joints", "joints_vis", "headbox"}
        for k, other in shared:
            assert bool(b["joints_vis"][k]) == bool(keypoints[other, 2])
            if b["joints_vis"][k]:
                assert np.abs(np.array(b["joints"][k]) - 1 - keypoints[other, :2]).max() <= 0.56
        name = f"{a['image_id']:012d}.jpg"
        assert b["image"] == f"synth_{name}"
        theirs, ours = tmp_path / "coco/train" / name, tmp_path / "mpii/images" / b["image"]
        assert theirs.read_bytes() == ours.read_bytes()


def test_mpii_centre_and_scale_crop_the_whole_person(tmp_path):
    make(tmp_path, train_images=10, layout="mpii")
    for person in json.loads((tmp_path / "annotations/train.json").read_text()):
        # The protocol's crop: the centre 15 px per scale lower, a square of 1.25 x 200 px per scale.
        x, y, half = person["center"][0], person["center"][1] + 15 * person["scale"], 125 * person["scale"]
        for (px, py), v in zip(person["joints"], person["joints_vis"], strict=True):
            assert not v or (abs(px - x) < half and abs(py - y) < half)


def test_the_head_box_is_a_head():
    for yaw in (0, 90, 180, 250):
        truth = neutral(yaw)  # standing height 200 px
        x0, y0, x1, y1 = truth.head
        top = truth.mpii[MPII.joints.index("head_top")]
        neck = truth.mpii[MPII.joints.index("upper_neck")]
        assert x0 < top[0] < x1 and abs(y0 - top[1]) < 4 and y0 < neck[1] < y1 + 6
        assert 0.09 < (y1 - y0) / 200 < 0.16 and 0.07 < (x1 - x0) / 200 < 0.14


def test_distractors_carry_no_labels():
    hard = DIFFICULTIES["hard"]
    assert hard.distractors > 0 and DIFFICULTIES["plain"].distractors == 0
    assert all(len(scene.persons) <= hard.persons[1] for scene in scenes("hard", 25))


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    activity=st.sampled_from(sorted(ACTIVITIES)),
    spread=st.floats(0, 4),
    yaw=st.floats(-360, 360),
)
def test_poses_keep_bones_and_limits(seed, activity, spread, yaw):
    angles = sample_angles(np.random.default_rng(seed), activity, spread)
    for name, value in angles.items():
        low, high = LIMITS[name.removeprefix("left_").removeprefix("right_")]
        assert low <= value <= high
    body = Body()
    points = pose_figure(body, angles, camera(yaw, 10, 5)).points
    for side in ("left", "right"):
        for a, b, length in (
            ("shoulder", "elbow", body.upper_arm),
            ("elbow", "wrist", body.forearm),
            ("hip", "knee", body.thigh),
            ("knee", "ankle", body.shin),
        ):
            assert np.linalg.norm(points[f"{side}_{a}"] - points[f"{side}_{b}"]) == pytest.approx(length)


def test_the_standing_height_is_one():
    points = pose_figure(Body(), dict.fromkeys(ANGLES, 0.0), camera(0, 0)).points
    assert points["head_top"][1] - points["left_toe"][1] == pytest.approx(1.0, abs=0.04)


def test_owner_numbers_stay_apart():
    canvas = Canvas(np.zeros((50, 50, 3), np.uint8), who=3)
    canvas.polygon(np.array(((5.0, 5.0), (40.0, 5.0), (40.0, 40.0))), (1, 2, 3), part=4)
    assert set(np.unique(canvas.owner)) == {0, 3 * PARTS_PER_PERSON + 4}


def test_largest_overlap_by_hand():
    boxes = np.array(((0, 0, 10, 10), (5, 0, 10, 10), (0, 0, 10, 10), (50, 50, 5, 5)), float)
    found = largest_overlap(np.array((1, 1, 2, 1)), boxes)
    assert found.tolist() == pytest.approx([1 / 3, 1 / 3, 0, 0])


def test_statistics_of_both_layouts(tmp_path):
    coco = statistics_of(make(tmp_path / "a"))
    train = coco["splits"]["train"]
    assert train["images"] == 4 and coco["splits"]["val"]["images"] == 2
    shares = train["joint_visible"] + train["joint_hidden"] + train["joint_unlabelled"]
    assert shares == pytest.approx(1, abs=2e-4)
    assert set(coco["coco"]) <= set(train)
    mpii = statistics_of(make(tmp_path / "b", layout="mpii"))
    assert mpii["splits"]["train"]["persons_labelled"] == train["persons_labelled"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layout": "voc"}, "layout 'voc'; there are: coco, mpii"),
        ({"difficulty": "brutal"}, "difficulty 'brutal'; there are: calm, plain, bench, hard"),
        ({"train_images": -1}, "train images: -1"),
        ({"train_images": 0, "val_images": 0}, "no pictures"),
        ({"seed": -3}, "seed: -3"),
        ({"workers": 0}, "workers: 0"),
        ({"train_images": 5_000_000, "val_images": 5_000_000}, "600,000.0 MB and 1,000.0 MB"),
    ],
)
def test_bad_input_is_said_before_work_starts(tmp_path, monkeypatch, changes, message):
    monkeypatch.setattr(write.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 10**9}))
    with pytest.raises(UserError, match=message):
        make(tmp_path / "out", **changes)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "content", [{"info": {"description": "COCO 2017 Dataset"}, "images": []}, {"images": []}, []]
)
def test_other_data_is_not_written_over(tmp_path, content):
    path = tmp_path / "annotations" / "person_keypoints_val.json"
    path.parent.mkdir()
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match="another data set"):
        make(tmp_path)
    assert json.loads(path.read_text()) == content
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is a file"):
        make(tmp_path / "file")


def test_the_command_makes_describes_and_draws(tmp_path, capsys):
    out, sheet = tmp_path / "out", tmp_path / "sheet.png"
    arguments = ["synth", "--out", str(out), "--train-images", "2", "--val-images", "1", "--quiet"]
    assert main([*arguments, "--json", "--sheet", str(sheet)]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["splits"]["train"]["images"] == 2
    assert json.loads((out / "dataset.json").read_text()) == printed
    drawn = cv2.imread(str(sheet))
    assert drawn is not None and drawn.shape == (400, 1600, 3)
    assert main(["synth", "--statistics", str(out)]) == 0
    assert "labelled persons per such image" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--scale", "coco-mini"], "datasets.coco: not synthetic"),
        (["--scale", "demo", "--seed", "1"], "--seed: the scale decides that"),
        (["--out", "x", "--dataset", "mpii"], "--dataset: belongs to --scale"),
        (["--statistics", "nowhere"], "no person_keypoints"),
    ],
)
def test_the_command_says_what_is_wrong(arguments, message, capsys):
    assert main(["synth", *arguments]) == 2
    assert message in capsys.readouterr().err
