"""Submission files: the servers' names and forms, and nothing written that they would refuse."""

import json
import zipfile
from typing import Any

import cv2
import numpy as np
import pytest
from scipy.io import loadmat, savemat

from mspn.commands.cli import main
from mspn.errors import UserError
from mspn.evaluation import submission
from mspn.evaluation.metrics import coco
from mspn.experiment.networks import network_spec
from mspn.networks.build import build_network
from mspn.networks.weights import save_weights


def coco_results(count=3):
    joints = np.random.default_rng(0).uniform(0, 100, (count, 17, 3))
    return coco.results(np.arange(1, count + 1), joints, np.full(count, 0.5))


@pytest.mark.parametrize(
    ("server", "name"),
    [
        ("coco-test-dev", "person_keypoints_test-dev2017_MSPN-4_results"),
        ("coco-test-challenge", "person_keypoints_test-challenge2017_MSPN-4_results"),
    ],
)
def test_coco_zip_has_the_servers_name_and_one_json_of_that_name(tmp_path, server, name):
    results = coco_results()
    path = submission.write_coco(tmp_path, server, "MSPN-4", results, {1, 2, 3, 4})
    assert path.name == f"{name}.zip"
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == [f"{name}.json"]
        assert json.loads(archive.read(f"{name}.json")) == results
    first = path.read_bytes()
    assert submission.write_coco(tmp_path, server, "MSPN-4", results, {1, 2, 3}).read_bytes() == first


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_id": 9}, "image_id 9 is not among the images"),
        ({"image_id": "1"}, "image_id '1' is not among the images"),
        ({"category_id": 2}, "category_id 2 is not the person's"),
        ({"keypoints": [1.0] * 50}, "not 51 numbers"),
        ({"keypoints": [float("nan")] * 51}, "a keypoint is not a finite number"),
        ({"score": float("inf")}, "score inf is not a finite number"),
        ({"area": 1}, "unknown area"),
    ],
)
def test_what_coco_would_refuse_is_not_written(tmp_path, change, message):
    results = coco_results()
    results[1].update(change)
    with pytest.raises(UserError, match=f"1 faults\n  entry 1: .*{message}"):
        submission.write_coco(tmp_path, "coco-test-dev", "MSPN", results, {1, 2, 3})
    assert not list(tmp_path.iterdir())


def test_an_empty_submission_and_an_unfit_name_are_refused(tmp_path):
    with pytest.raises(UserError, match="no entry"):
        submission.write_coco(tmp_path, "coco-test-dev", "MSPN", [], {1})
    with pytest.raises(UserError, match="'my_alg'"):
        submission.write_coco(tmp_path, "coco-test-dev", "my_alg", coco_results(), {1, 2, 3})
    assert not list(tmp_path.iterdir())


def test_coco_pictures_from_the_list_of_test_images(tmp_path):
    info = tmp_path / "image_info_test-dev2017.json"
    info.write_text(json.dumps({"images": [{"id": 7, "file_name": "7.jpg", "width": 30, "height": 20}]}))
    persons = submission.coco_pictures(info, tmp_path)
    assert len(persons) == 0 and persons.pictures[7].path == tmp_path / "7.jpg"
    info.write_text("[]")
    with pytest.raises(UserError, match="not COCO's list"):
        submission.coco_pictures(info, tmp_path)


@pytest.fixture
def checkpoint(tmp_path):
    """Weights of a small untrained network, for a joint set and an input size."""

    def save(joint_set, size):
        constructor, keywords = network_spec("mspn-1")
        shape: dict[str, Any] = {"joints": {"coco": 17, "mpii": 16}[joint_set], "scales": 1, "width": 0.0625}
        header = {"constructor": constructor, "keywords": {**keywords, **shape}, "joint_set": joint_set}
        path = tmp_path / f"{joint_set}.safetensors"
        state = build_network("mspn-1", **shape).state_dict()
        save_weights(path, state, {**header, "input_size": size})
        return str(path)

    return save


def test_the_command_writes_cocos_zip(tmp_path, checkpoint, capsys):
    info, boxes = tmp_path / "image_info_test-dev2017.json", tmp_path / "boxes.json"
    info.write_text(json.dumps({"images": [{"id": 7, "file_name": "7.png", "width": 60, "height": 50}]}))
    boxes.write_text(json.dumps([{"image_id": 7, "category_id": 1, "bbox": [5, 5, 30, 40], "score": 0.5}]))
    cv2.imwrite(str(tmp_path / "7.png"), np.zeros((50, 60, 3), np.uint8))
    weights = checkpoint("coco", [64, 48])
    common = ["--checkpoint", weights, "--images", str(tmp_path), "--out", str(tmp_path / "out")]
    assert main(["submit", "coco-test-dev", *common]) == 2
    assert "needs --image-info, --boxes" in capsys.readouterr().err
    assert main(["submit", "coco-test-dev", *common, "--image-info", str(info), "--boxes", str(boxes)]) == 0
    with zipfile.ZipFile(tmp_path / "out/person_keypoints_test-dev2017_MSPN_results.zip") as archive:
        (result,) = json.loads(archive.read("person_keypoints_test-dev2017_MSPN_results.json"))
    assert result["image_id"] == 7
    assert main(["submit", "mpii-test", *common, "--annotations", str(info)]) == 2
    assert "predicts coco joints, mpii-test wants mpii" in capsys.readouterr().err


def structs(rows):
    array = np.empty((1, len(rows)), dtype=[(name, object) for name in rows[0]])
    for i, row in enumerate(rows):
        for name, value in row.items():
            array[name][0, i] = value
    return array


EMPTY = np.zeros((0, 0))


@pytest.fixture
def release(tmp_path):
    """A release of four images: one for training, then two persons (one single), one person, nobody."""

    def person(x, y, scale):
        return {"scale": scale, "objpos": structs([{"x": x, "y": y}])}

    nobody = {"scale": EMPTY, "objpos": EMPTY}
    annolist = [
        {"image": structs([{"name": "train.png"}]), "annorect": structs([person(1.0, 1.0, 1.0)])},
        {
            "image": structs([{"name": "a.png"}]),
            "annorect": structs([person(40.0, 30.0, 0.3), person(70.0, 40.0, 0.2), nobody]),
        },
        {"image": structs([{"name": "b.png"}]), "annorect": structs([person(50.0, 50.0, 0.4)])},
        {"image": structs([{"name": "c.png"}]), "annorect": EMPTY},
    ]
    single = np.empty((4, 1), object)
    single[:, 0] = [np.array([[1.0]]), np.array([[2.0]]), np.array([[1.0]]), EMPTY]
    content = {
        "annolist": structs(annolist),
        "img_train": np.array([[1.0, 0, 0, 0]]),
        "single_person": single,
    }
    path = tmp_path / "mpii_human_pose_v1_u12_1.mat"
    savemat(path, {"RELEASE": structs([content])})
    for name in ("a", "b"):
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.zeros((80, 100, 3), np.uint8))
    return submission.read_mpii_test(path, tmp_path)


def test_the_command_writes_mpiis_file(release, tmp_path, checkpoint):
    annotations = tmp_path / "mpii_human_pose_v1_u12_1.mat"
    options = ["--annotations", str(annotations), "--images", str(tmp_path), "--out", str(tmp_path / "out")]
    assert main(["submit", "mpii-test", "--checkpoint", checkpoint("mpii", [64, 64]), *options]) == 0
    pred = loadmat(tmp_path / "out/pred_keypoints_mpii.mat")["pred"]
    assert pred[0, 1]["annorect"][0, 0]["annopoints"][0, 0]["point"].shape == (1, 16)


def test_mpii_test_persons_are_the_single_ones_with_the_protocols_squares(release):
    assert release.names == ["a.png", "b.png", "c.png"]
    assert release.persons.ids.tolist() == [1, 1000]
    # Person 2 of a.png: centre (70, 40 + 15 x 0.2) from 1, a square of 1.25 x 200 x 0.2 = 50.
    np.testing.assert_allclose(release.persons.boxes[0], [69 - 25, 42 - 25, 50, 50], atol=1e-4)
    assert (release.persons.pictures[0].width, release.persons.pictures[0].height) == (100, 80)


def test_mpii_file_is_the_releases_list_with_the_points_filled_in(release, tmp_path):
    joints = {int(i): np.random.default_rng(i).uniform(0, 90, (16, 3)) for i in release.persons.ids}
    path = submission.write_mpii(tmp_path / "out", release, joints)
    assert path.name == "pred_keypoints_mpii.mat"
    pred = loadmat(path)["pred"]
    assert pred.shape == (1, 3)  # as many as test images, in the release's order
    assert [str(entry["image"][0, 0]["name"][0]) for entry in pred[0]] == ["a.png", "b.png", "c.png"]
    people = pred[0, 0]["annorect"]
    assert people.shape == (1, 3) and pred[0, 2]["annorect"].size == 0
    assert people[0, 0]["annopoints"].size == 0 and people[0, 0]["objpos"]["x"][0, 0][0, 0] == 40
    assert people[0, 2]["objpos"].size == 0
    points = people[0, 1]["annopoints"][0, 0]["point"]
    assert points.shape == (1, 16) and people[0, 1]["scale"][0, 0] == 0.2
    for k in range(16):
        point = points[0, k]
        assert point["id"][0, 0] == k
        # Matlab's coordinates count from 1.
        assert point["x"][0, 0] == joints[1][k, 0] + 1 and point["y"][0, 0] == joints[1][k, 1] + 1


def test_what_mpii_would_refuse_is_not_written(release, tmp_path):
    joints = {int(i): np.ones((16, 3)) for i in release.persons.ids}
    out = tmp_path / "out"
    with pytest.raises(UserError, match=r"a\.png, person 2: no prediction"):
        submission.write_mpii(out, release, {1000: joints[1000]})
    with pytest.raises(UserError, match="16 finite joints"):
        submission.write_mpii(out, release, joints | {1: np.full((16, 3), np.nan)})
    with pytest.raises(UserError, match="person 5: not asked for"):
        submission.write_mpii(out, release, joints | {5: np.ones((16, 3))})
    assert not out.exists() or not list(out.iterdir())
