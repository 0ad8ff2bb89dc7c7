"""COCO's figures are pycocotools' own, from the file as written, and the truth scores 1."""

import json

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mspn.errors import UserError
from mspn.evaluation.metrics import coco
from mspn.evaluation.metrics.bootstrap import COCO_FIGURES
from tests.coco_cases import dataset, predictions, write


def test_the_ten_figures_are_pycocotools_from_files(tmp_path, capsys):
    rng = np.random.default_rng(0)
    data = dataset(rng, images=30)
    results = predictions(rng, data)
    results_file = tmp_path / "results.json"
    results_file.write_text(json.dumps(results))
    truth = COCO(str(write(tmp_path, data)))
    own = COCOeval(truth, truth.loadRes(str(results_file)), "keypoints")
    own.evaluate()
    own.accumulate()
    own.summarize()
    capsys.readouterr()
    stats = coco.evaluate(coco.index(data), results).stats
    assert list(stats) == list(own.stats) and len(stats) == len(COCO_FIGURES)
    assert not capsys.readouterr().out


def test_index_leaves_its_input_alone_and_evaluation_the_predictions():
    rng = np.random.default_rng(1)
    data = dataset(rng)
    results = predictions(rng, data)
    before = json.dumps([data, results])
    coco.evaluate(coco.index(data), results)
    assert json.dumps([data, results]) == before


def test_results_are_rounded_persons_in_cocos_form():
    joints = np.arange(51, dtype=np.float32).reshape(1, 17, 3) / 7
    (result,) = coco.results(np.array([9]), joints, np.array([0.123456789123]))
    assert set(result) == {"image_id", "category_id", "keypoints", "score"}
    assert result["keypoints"][1] == 0.143 and result["score"] == 0.123456789
    json.dumps(result)


def labelled(data):
    kept = [a for a in data["annotations"] if a["num_keypoints"] and not a["iscrowd"]]
    joints = np.array([a["keypoints"] for a in kept], np.float32).reshape(-1, 17, 3)
    return np.array([a["image_id"] for a in kept]), joints


def test_the_truth_scores_one_and_a_shifted_truth_is_refused():
    data = dataset(np.random.default_rng(2), images=20)
    image_ids, joints = labelled(data)
    coco.check_truth_scores_one(coco.index(data), image_ids, joints, "data")
    shifted = joints + np.array([3, 0, 0], np.float32)
    with pytest.raises(UserError, match=r"data: .* score AP .* instead of 100"):
        coco.check_truth_scores_one(coco.index(data), image_ids, shifted, "data")
    with pytest.raises(UserError, match="instead of 100"):
        coco.check_truth_scores_one(coco.index(data), image_ids[3:], joints[3:], "data")


def test_the_truth_check_allows_for_more_persons_than_coco_counts():
    rng = np.random.default_rng(3)
    data = dataset(rng, images=4)
    for i in range(30):
        joints = np.concatenate([rng.uniform(0, 300, (17, 2)), np.full((17, 1), 2)], axis=1).round(2)
        data["annotations"].append(
            {
                "id": 1000 + i,
                "image_id": 1,
                "category_id": 1,
                "bbox": [0, 0, 300, 300],
                "area": 9000,
                "iscrowd": 0,
                "keypoints": joints.ravel().tolist(),
                "num_keypoints": 17,
            }
        )
    image_ids, joints = labelled(data)
    coco.check_truth_scores_one(coco.index(data), image_ids, joints, "data")


def test_annotations_without_keypoints_are_refused():
    data = dataset(np.random.default_rng(0))
    del data["annotations"][1]["keypoints"]
    with pytest.raises(UserError, match="annotation 2: no keypoints"):
        coco.index(data)
