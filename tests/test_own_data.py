"""A data set of one's own, with joints of its own: from the scale's file to pictures, and what is refused."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from mspn.cluster import preflight
from mspn.commands.cli import main
from mspn.errors import UserError
from mspn.experiment.config import CONFIG
from mspn.experiment.load import left_out, load_experiment
from mspn.files import read_json
from tests.data_cases import write_picture

REPOSITORY = Path(__file__).resolve().parent.parent
JOINTS = ["neck", "left_ear", "right_ear", "left_paw", "right_paw", "tail"]
OWN = {
    "joints": JOINTS,
    "limbs": [["neck", "left_paw"], ["neck", "right_paw"], ["neck", "tail"]],
    "sigmas": dict.fromkeys(JOINTS, 0.08),
    "pck": {"PCK@0.2": {"ends": ["neck", "tail"], "share": 0.2}},
}
SCALE = """
description: dogs
datasets:
  dogs: {kind: coco, root: data/dogs, train: train, val: val, joints: dog.yaml}
detectors: {gt: {kind: truth}}
width: 0.0625
inputs: {256x256: 32x32}
recipes:
  dog: {batch: 4, iterations: 3, lr: 1.0e-2, warmup_iterations: 1}
seeds: [0]
bootstrap: 10
"""
ROW = "dog-1\tmspn-2\t256x256\tctf\tdogs\tgt\t\n"


def write_dogs(root, split, first):
    random = np.random.default_rng(first)
    images, annotations = [], []
    for number in range(first, first + 5):
        write_picture(root / split / f"{number}.png", 60, 50, number)
        images.append({"id": number, "file_name": f"{number}.png", "width": 60, "height": 50})
        joints = np.column_stack([random.uniform((10, 8), (50, 42), (6, 2)).round(1), np.full(6, 2)])
        if number == first:
            joints[5] = 0  # one without a tail to measure by
        row: dict[str, Any] = {
            "id": number,
            "image_id": number,
            "category_id": 1,
            "iscrowd": 0,
            "area": 700.0,
        }
        count = int((joints[:, 2] > 0).sum())
        row |= {"bbox": [6, 4, 48, 42], "num_keypoints": count, "keypoints": joints.ravel().tolist()}
        annotations.append(row)
    category = {"id": 1, "name": "dog", "keypoints": JOINTS, "skeleton": [[1, 4], [1, 5], [1, 6]]}
    value = {"images": images, "annotations": annotations, "categories": [category]}
    path = root / "annotations" / f"person_keypoints_{split}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(value))


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with the grid and one row more, a scale, and dogs."""
    shutil.copytree(REPOSITORY / CONFIG, tmp_path / CONFIG)
    with (tmp_path / CONFIG / "grid.tsv").open("a") as file:
        file.write(ROW)
    (tmp_path / "dog.yaml").write_text(yaml.safe_dump(OWN))
    (tmp_path / "dogs.yaml").write_text(SCALE)
    for split, first in (("train", 1), ("val", 21)):
        write_dogs(tmp_path / "data/dogs", split, first)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_training_evaluation_and_prediction_follow(place, capsys):
    options = ["--scale", "dogs.yaml"]
    run = ["--run", "dog-1", "--device", "cpu"]
    assert main(["crops", *options, "--dataset", "dogs", "--input", "32x32"]) == 0
    assert main(["train", *options, *run]) == 0
    assert main(["detect", *options, "--dataset", "dogs", "--detector", "gt"]) == 0
    capsys.readouterr()
    assert main(["evaluate", *options, *run, "--threads", "1"]) == 0
    said = capsys.readouterr().out
    assert "PCK@0.2 ear" in said and "PCK@0.2: 1 of 5 persons lack the length" in said
    experiment = load_experiment("dogs.yaml")
    folder = experiment.evaluation_folder(experiment.run("dog-1"), 0, "gt")
    metrics = read_json(folder / "metrics.json")
    names = [row["metric"] for row in metrics["rows"] if row["protocol"] == "paper"]
    assert names[0] == "AP" and names[10:] == [
        f"PCK@0.2{kind}" for kind in (" neck", " ear", " paw", " tail", "", " AUC")
    ]
    assert len(read_json(folder / "predictions.json")[0]["keypoints"]) == 18
    # The weights alone say which joints they predict.
    (weights,) = place.glob("results/dogs/trainings/*/weights.safetensors")
    shutil.copy(weights, place / "dog.safetensors")
    (place / "dog.yaml").unlink()
    out = ["--images", "data/dogs/val", "--out", "found"]
    assert main(["predict", "--checkpoint", "dog.safetensors", "--device", "cpu", *out]) == 0
    assert len(list((place / "found/overlays").iterdir())) == 5
    arguments = ["--checkpoint", "dog.safetensors", "--image-info", "x", "--boxes", "x", *out]
    assert main(["submit", "coco-test-dev", *arguments]) == 2
    assert "predicts dog joints, coco-test-dev wants coco" in capsys.readouterr().err


def test_the_doctor_measures_by_what_the_scale_states(place):
    check = preflight.check_data(load_experiment("dogs.yaml"))
    assert check.findings == [] and "dogs train: 5 pictures, 5 persons" in check.facts
    assert preflight.check_truth(load_experiment("dogs.yaml")).facts == ["dogs: 1.0"]
    (place / "dogs.yaml").write_text(SCALE.replace("val: val,", "val: val, counts: {val: [6, 5]},"))
    (finding,) = preflight.check_data(load_experiment("dogs.yaml")).findings
    assert "dogs val: 5 pictures, not 6" in finding.problem and "data/dogs" in finding.remedy


def test_a_scale_runs_the_rows_on_its_data_sets(place):
    assert list(load_experiment("dogs.yaml").grid) == ["dog-1"]
    every = load_experiment("smoke-all")
    assert "dog-1" not in every.grid and [run.run for run in left_out(every)] == ["dog-1"]
    with pytest.raises(UserError, match="run 'dog-1': no data set 'dogs'; did you mean dog"):
        (place / "near.yaml").write_text(SCALE.replace("  dogs:", "  dogs2:"))
        load_experiment("near.yaml")


def test_a_data_set_stands_in_for_the_grids(place):
    text = SCALE.replace(
        "inputs: {256x256", "stand_in_data: {coco: dogs}\nevaluate_on: [gt]\nruns: [mspn-1]\ninputs: {256x192"
    )
    (place / "dogs.yaml").write_text(text)
    experiment = load_experiment("dogs.yaml")
    run = experiment.run("mspn-1")
    assert (run.data, run.joint_set) == ("dogs", "dog.yaml")
    assert experiment.identity(run, 0)["joints"]["joints"] == JOINTS
    before, scored = experiment.training_id(run, 0), experiment.evaluation_identity(run, 0, "gt")
    (place / "dog.yaml").write_text(yaml.safe_dump(OWN | {"sigmas": dict.fromkeys(JOINTS, 0.1)}))
    assert load_experiment("dogs.yaml").training_id(run, 0) == before
    assert load_experiment("dogs.yaml").evaluation_identity(run, 0, "gt") != scored
    (place / "dog.yaml").write_text(yaml.safe_dump(OWN | {"upper_body": ["neck"]}))
    assert load_experiment("dogs.yaml").training_id(run, 0) != before


BOTH = "datasets:\n  coco: {kind: coco, root: x, train: a}\n"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"joints: dog.yaml": "joints: cat.yaml"}, "datasets.dogs: joints: cat.yaml: no such joint set"),
        ({"joints: dog.yaml": "joints: dogg"}, "datasets.dogs: joints: unknown joint set 'dogg'"),
        (
            {"joints: dog.yaml": "joints: mpii"},
            "datasets.dogs: joints: mpii has no sigmas: none for right_ankle",
        ),
        ({"joints: dog.yaml": "joints: bare.yaml"}, "bare.yaml has no sigmas: none for neck, left_ear"),
        ({"  dogs:": "  Dogs:"}, "datasets.Dogs"),
        ({"  dog:": "  dogg:"}, "recipes: dogg: no data set has such joints"),
        ({"width:": "stand_in_data: {coco: cats}\nwidth:"}, "stand_in_data: coco: cats"),
        (
            {"seeds:": "runs: [both]\nseeds:", "datasets:\n": BOTH},
            "its data sets have different joints. dogs: neck,",
        ),
        ({"seeds:": "runs: [mspn-1]\nseeds:"}, "run 'mspn-1' needs datasets coco; there are: dogs"),
        (
            {"datasets:\n": "datasets:\n  cats: {kind: coco, root: x, joints: other/dog.yaml}\n"},
            "dog.yaml and other/dog.yaml have one name",
        ),
    ],
)
def test_what_is_refused_before_any_work(place, changes, message):
    text = SCALE
    for old, new in changes.items():
        text = text.replace(old, new)
    (place / "dogs.yaml").write_text(text)
    (place / "bare.yaml").write_text(yaml.safe_dump({k: v for k, v in OWN.items() if k != "sigmas"}))
    (place / "other").mkdir()
    shutil.copy(place / "dog.yaml", place / "other/dog.yaml")
    with (place / CONFIG / "grid.tsv").open("a") as file:
        file.write(ROW.replace("dog-1", "both").replace("\tdogs\t", "\tdogs+coco\t"))
    with pytest.raises(UserError) as error:
        load_experiment("dogs.yaml")
    assert message in str(error.value)


def test_annotations_of_other_joints_are_refused(place):
    path = place / "data/dogs/annotations/person_keypoints_train.json"
    value = read_json(path)
    value["categories"][0]["keypoints"] = [*JOINTS[1:], "neck"]
    path.write_text(json.dumps(value))
    (finding,) = preflight.check_data(load_experiment("dogs.yaml")).findings
    assert (
        "its keypoints are left_ear, right_ear, left_paw, right_paw, tail, neck; joint set dog"
        in finding.problem
    )
    value["categories"][0]["id"] = 7
    path.write_text(json.dumps(value))
    (finding,) = preflight.check_data(load_experiment("dogs.yaml")).findings
    assert "no category of id 1" in finding.problem
