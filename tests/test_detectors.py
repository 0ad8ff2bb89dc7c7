import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mspn.commands.cli import main
from mspn.data import detectors
from mspn.data.coco import read_annotations, read_coco
from mspn.data.detectors import box_ap, calibrate, detect, read_detections, simulate
from mspn.data.load import load_detections
from mspn.errors import UserError
from mspn.experiment.config import DetectionFile, SimulatedDetector, TrueBoxes
from tests.data_cases import coco_annotation, write_coco


def made_up(images=40, most=8, seed=0):
    """COCO annotations of many persons, crowds and unlabelled ones among them."""
    random = np.random.default_rng(seed)
    annotations: list[dict[str, Any]] = []
    for image in range(images):
        for _ in range(random.integers(1, most + 1)):
            x, y, w, h = (*random.uniform(0, 400, 2), *random.uniform(20, 200, 2))
            changes = {"bbox": [x, y, w, h], "area": w * h, "iscrowd": int(random.random() < 0.05)}
            if random.random() < 0.3:
                changes["keypoints"] = [0] * 51
            annotations.append(coco_annotation(len(annotations) + 1, image, **changes))
    frames = [{"id": i, "file_name": f"{i}.png", "width": 640, "height": 480} for i in range(images)]
    return {
        "images": frames,
        "annotations": annotations,
        "categories": [{"id": 1, "name": "person"}],
    }


@pytest.fixture
def persons(tmp_path):
    write_coco(tmp_path, "val", [coco_annotation(1, 5), coco_annotation(2, 6)], images=[5, 6, 7])
    return read_coco(tmp_path, "val")


def write(path, entries):
    path.write_text(json.dumps(entries))
    return path


def detection(image=5, box=(1, 2, 3, 4), score=0.5, category=1):
    return {"image_id": image, "category_id": category, "bbox": list(box), "score": score}


def test_detections_take_the_form_of_persons(tmp_path, persons):
    entries = [detection(6, (1, 2, 3, 4), 0.25), detection(5, (5, 6, 7, 8), 0.75)]
    found = load_detections(write(tmp_path / "d.json", entries), persons)
    assert found.ids.tolist() == [0, 1]
    assert found.image_ids.tolist() == [6, 5]
    assert found.boxes.tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]]
    assert found.scores.tolist() == [0.25, 0.75]
    assert found.joints.shape == (2, 17, 3)
    assert not found.joints.any()
    assert found.pictures is persons.pictures


def test_the_best_hundred_over_all_categories_then_persons(tmp_path, persons):
    """98 chairs, then persons: two of three get into the best hundred, of equal scores the earlier."""
    entries = [detection(5, score=0.9, category=62)] * 98
    entries += [detection(5, (k, 2, 3, 4), score=s) for k, s in ((1, 0.5), (2, 0.8), (3, 0.5))]
    found = read_detections(write(tmp_path / "d.json", entries), persons)
    assert found.boxes[:, 0].tolist() == [1, 2]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(5, 7), st.integers(0, 3), st.integers(1, 2)), min_size=1, max_size=60))
def test_the_best_of_each_image_are_the_literal_ones(entries):
    found = [
        detection(image, (k, 0, 1, 1), score, category) for k, (image, score, category) in enumerate(entries)
    ]
    expected = []
    for image in (5, 6, 7):
        here = [i for i, entry in enumerate(found) if entry["image_id"] == image]
        best = sorted(here, key=lambda i: (-found[i]["score"], i))[:5]
        expected += [i for i in best if found[i]["category_id"] == 1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(detectors, "BEST", 5)
        assert detectors._best_persons(found) == sorted(expected)


def test_what_is_left_out_is_counted(tmp_path, persons, caplog):
    entries = [detection(5), detection(99), detection(6, (1, 2, 0, 4))]
    found = read_detections(write(tmp_path / "d.json", entries), persons)
    assert len(found) == 1
    assert "1 detections left out: unknown image (99)" in caplog.text
    assert "1 detections left out: box without area (entry 2" in caplog.text


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([], "holds no detection"),
        ({}, "expected a list"),
        ([detection(98), detection(99)], "none of its 2 detections is on an image"),
        ([detection(), {"image_id": 5}], "entry 1: needs image_id, category_id, bbox and score"),
        ([detection(score=math.nan)], "entry 0: score: nan"),
        ([detection(box=(1, 2, math.nan, 4))], "entry 0: bbox: nan"),
        ([detection(box=(1, 2, 3))], "entry 0: bbox: expected 4"),
        ([detection(category=2)], "no person"),
    ],
)
def test_broken_detections_are_refused_by_entry(tmp_path, persons, entries, message):
    with pytest.raises(UserError, match=message):
        read_detections(write(tmp_path / "d.json", entries), persons)


def test_box_ap_is_pycocotools_own(tmp_path):
    annotations = made_up()
    found = simulate(annotations, 0.3, 1)
    truth, results = tmp_path / "truth.json", tmp_path / "results.json"
    truth.write_text(json.dumps(annotations))
    results.write_text(json.dumps(found))
    coco = COCO(str(truth))
    evaluation = COCOeval(coco, coco.loadRes(str(results)), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert box_ap(annotations, found) == 100 * evaluation.stats[0]


@pytest.mark.parametrize("target", [49.4, 41.1])
def test_a_simulated_detector_measures_what_is_asked(target):
    annotations = made_up()
    found, ap, _ = calibrate(annotations, target, seed=1)
    assert abs(ap - target) <= 0.3
    assert box_ap(annotations, found) == ap
    assert calibrate(annotations, target, seed=1)[0] == found
    assert calibrate(annotations, target, seed=2)[0] != found


def test_what_a_simulated_detector_does():
    annotations = made_up()
    people = [a for a in annotations["annotations"] if not a["iscrowd"]]
    perfect = simulate(annotations, 0.0, 0)
    assert len(perfect) == len(people)
    assert box_ap(annotations, perfect) > 99
    worse = simulate(annotations, 2.0, 0)
    assert all(0 < entry["score"] <= 1 and min(entry["bbox"][2:]) > 0 for entry in worse)
    assert {entry["image_id"] for entry in worse} <= {image["id"] for image in annotations["images"]}
    # Misses 0.2, duplicates 0.4 of those found, a false positive on every image.
    expected = len(people) * 0.8 * 1.4 + len(annotations["images"])
    assert abs(len(worse) - expected) < 0.1 * expected
    assert simulate({**annotations, "annotations": []}, 1.0, 0) == []


def test_a_target_out_of_reach_is_refused_unless_there_are_few(caplog, monkeypatch):
    few = made_up(images=2, most=2)
    _, ap, _ = calibrate(few, 49.4, seed=0)
    assert abs(ap - 49.4) <= 0.3 or "fewer than 100 boxes: the nearest is taken" in caplog.text
    monkeypatch.setattr(detectors, "FEW", 1)
    monkeypatch.setattr(detectors, "TOLERANCE", 1e-9)
    with pytest.raises(UserError, match=r"box AP .*, wanted 49.4 within"):
        calibrate(few, 49.4, seed=0)


def test_every_kind_reports_its_box_ap(tmp_path, caplog):
    annotations = made_up()
    write_coco(tmp_path, "val", annotations["annotations"], images=list(range(40)))
    persons = read_coco(tmp_path, "val", check_pictures=False)
    annotations = read_annotations(tmp_path, "val")
    boxes, truth = detect(TrueBoxes(kind="truth"), persons, annotations)
    assert len(boxes) == len(persons)
    assert truth["box_ap"] == box_ap(annotations, boxes) > 50
    path = write(tmp_path / "d.json", simulate(annotations, 0.2, 3))
    _, file = detect(DetectionFile(kind="file", path=path, box_ap=99), persons, annotations)
    assert file["box_ap"] == box_ap(annotations, simulate(annotations, 0.2, 3))
    assert "99.0 expected" in caplog.text
    simulated = SimulatedDetector(kind="simulated", box_ap=49.4, seed=1)
    assert abs(detect(simulated, persons, annotations)[1]["box_ap"] - 49.4) <= 0.3
    _, mpii = detect(TrueBoxes(kind="truth"), persons, None)
    assert mpii["box_ap"] is None
    with pytest.raises(UserError, match="true boxes only"):
        detect(simulated, persons, None)


def test_detect_writes_boxes_and_their_measure(tmp_path, monkeypatch, capsys):
    root = tmp_path / "coco"
    write_coco(root, "val", [coco_annotation(1, 5), coco_annotation(2, 6)], images=[5, 6, 7])
    scale = tmp_path / "tiny.yaml"
    scale.write_text(
        "extends: demo\nname: tiny\nruns: [mspn-1]\ndatasets:\n"
        f"  coco: {{kind: coco, root: {root}, train: train, val: val}}\n"
    )
    monkeypatch.setattr("mspn.experiment.experiment.ROOT", tmp_path)
    assert main(["detect", "--scale", str(scale), "--detector", "gt"]) == 0
    folder = tmp_path / "results/tiny/boxes/coco"
    metrics = json.loads((folder / "gt.metrics.json").read_text())
    assert metrics["box_ap"] == pytest.approx(100)
    assert metrics["detections"] == 2
    assert [d["image_id"] for d in json.loads((folder / "gt.json").read_text())] == [5, 6]
    assert main(["detect", "--scale", str(scale), "--detector", "nobody"]) == 2
    assert main(["detect", "--scale", str(scale), "--dataset", "external", "--detector", "gt"]) == 2
