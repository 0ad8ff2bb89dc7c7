"""Intervals of anybody's results files: pycocotools' figures, paired draws, errors that name the entry."""

import copy
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mspn.commands.ci import describe
from mspn.commands.cli import main
from mspn.errors import UserError
from mspn.evaluation import confidence
from mspn.evaluation.metrics import coco
from mspn.evaluation.metrics.bootstrap import COCO_FIGURES
from tests import coco_cases


@pytest.fixture
def files(tmp_path) -> tuple[Path, Path, Path]:
    """Annotations, and two results files of different quality."""
    rng = np.random.default_rng(3)
    data = coco_cases.dataset(rng, images=40)
    truth = coco_cases.write(tmp_path, data)
    paths = []
    for name, extra in (("a", 0.2), ("b", 1.0)):
        paths.append(tmp_path / f"{name}.json")
        paths[-1].write_text(json.dumps(coco_cases.predictions(np.random.default_rng(7), data, extra=extra)))
    return truth, paths[0], paths[1]


def test_the_figures_are_pycocotools_and_the_difference_is_paired(files):
    truth, a, b = files
    found = confidence.compare(truth, [a, b], 300)
    index = coco.index(json.loads(truth.read_text()))
    for path, entry in zip((a, b), found["files"], strict=True):
        stats = 100 * coco.evaluate(index, json.loads(path.read_text())).stats
        assert [entry["figures"][name]["value"] for name in COCO_FIGURES] == stats.tolist()
        assert all(f["low"] < f["value"] < f["high"] for f in entry["figures"].values())
    one, other, gap = (part["AP"] for part in (found["files"][0]["figures"], found["files"][1]["figures"],
                                               found["difference"]))  # fmt: skip
    assert gap["value"] == one["value"] - other["value"]
    apart = math.hypot(one["high"] - one["low"], other["high"] - other["low"])
    assert gap["high"] - gap["low"] < 0.7 * apart  # the same drawn images for both
    same = confidence.compare(truth, [a, a], 300)["difference"]["AP"]
    assert same == {"value": 0.0, "low": 0.0, "high": 0.0}


def test_the_verb_prints_a_table_and_json(files, capsys):
    truth, a, b = files
    assert main(["ci", str(a), str(b), "--truth", str(truth), "--replicates", "100", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    text = describe(found)
    gap = found["difference"]["AP"]
    assert f"{gap['value']:+.2f} [{gap['low']:+.2f}, {gap['high']:+.2f}]" in text
    assert "the same images drawn for both" in text and "40 images" in text
    assert main(["ci", str(a), "--truth", str(truth), "--replicates", "100"]) == 0
    assert "A - B" not in capsys.readouterr().out
    assert main(["ci", str(a), str(a), str(a), "--truth", str(truth)]) == 2
    assert main(["ci", str(a), "--truth", str(truth), "--replicates", "5"]) == 2


def test_a_figure_without_persons_is_none(files):
    truth, a, _ = files
    data = json.loads(truth.read_text())
    for annotation in data["annotations"]:
        annotation["area"] = 100.0**2  # large, every one
    truth.write_text(json.dumps(data))
    figures = confidence.compare(truth, [a], 100)["files"][0]["figures"]
    assert figures["APM"] == {"value": None, "low": None, "high": None}
    assert figures["APL"]["value"] is not None


ENTRIES = [
    ("image_id", 999, "image_id 999 is not among the images"),
    ("image_id", "1", "image_id '1' is not among the images"),
    ("score", math.nan, "score nan is not a finite number"),
    ("score", math.inf, "score inf is not a finite number"),
    ("score", None, "score None is not a finite number"),
    ("category_id", 2, "category_id 2 is not the person's, 1"),
    ("keypoints", [1.0] * 42, "keypoints are 42 numbers, not 51 numbers"),
    ("keypoints", "none", "keypoints are 'none', not 51 numbers"),
    ("keypoints", [math.nan] * 51, "a keypoint is not a finite number"),
    ("bbox", [0, 0, 1, 1], "a bbox, though the first entry has none"),
]


@pytest.mark.parametrize(("key", "value", "message"), ENTRIES, ids=[m for _, _, m in ENTRIES])
def test_a_wrong_entry_is_refused_by_file_and_number(files, capsys, key, value, message):
    truth, a, b = files
    content: list[dict[str, Any]] = json.loads(a.read_text())
    content[4][key] = value
    b.write_text(json.dumps(content))
    assert main(["ci", str(a), str(b), "--truth", str(truth)]) == 2
    error = capsys.readouterr().err
    assert f"{b}: 1 of {len(content)} entries are wrong\n  entry 5: {message}" in error


def test_duplicates_missing_keys_and_their_number(files):
    truth, a, _ = files
    index = confidence.read_truth(truth)
    content = json.loads(a.read_text())
    del content[0]["score"]
    content[2] = 7
    content += copy.deepcopy(content[10:17])
    a.write_text(json.dumps(content))
    with pytest.raises(UserError) as caught:
        confidence.read_results(a, index)
    text = str(caught.value)
    assert "entry 1: lacks score" in text and "entry 3: not an object" in text
    assert f"entry {len(content) - 6}: the same image, keypoints and score as entry 11" in text
    assert "and 4 more" in text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "an empty file"),
        ("[]", "an empty list"),
        ("{}", "not a list of detections"),
        ("[{", "not a valid"),
    ],
)
def test_files_that_hold_no_results(files, text, message):
    truth, a, _ = files
    index = confidence.read_truth(truth)
    a.write_text(text)
    with pytest.raises(UserError, match=message):
        confidence.read_results(a, index)
    with pytest.raises(UserError, match="no such results file"):
        confidence.read_results(a.with_name("absent.json"), index)


def test_annotations_that_cannot_be_the_truth(files):
    truth, _, _ = files
    data = json.loads(truth.read_text())
    changed = copy.deepcopy(data)
    changed["annotations"][0]["keypoints"] = [0.0] * 42
    for content, message in (
        ([], "annotations, categories, images missing"),
        ({**data, "annotations": []}, "no annotated person"),
        (changed, "annotation 1: 42 numbers of keypoints, not 51"),
    ):
        truth.write_text(json.dumps(content))
        with pytest.raises(UserError, match=message):
            confidence.read_truth(truth)


def test_boxes_decide_the_area_as_pycocotools_has_it(files):
    truth, a, _ = files
    content = [{**entry, "bbox": [0, 0, 50, 50]} for entry in json.loads(a.read_text())]
    a.write_text(json.dumps(content))
    index = confidence.read_truth(truth)
    expected = coco.evaluate(index, content).stats
    found = confidence.compare(truth, [a], 100)["files"][0]["figures"]
    assert [found[name]["value"] for name in COCO_FIGURES] == (100 * expected).tolist()
