"""Bootstrap replicates against pycocotools' own accumulation, and the rules that combine them."""

import copy
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO

from mspn.errors import UserError
from mspn.evaluation.metrics import bootstrap, coco
from mspn.evaluation.metrics.distances import Distances
from mspn.evaluation.metrics.matches import load_matches, save_matches
from mspn.evaluation.metrics.resampling import interval, resamples
from tests.coco_cases import dataset, predictions


def coco_of(data):
    with coco.quiet():
        truth = COCO()
        truth.dataset = copy.deepcopy(data)
        truth.createIndex()
    return truth


def resampled(data, results, weights):
    """The data set and predictions with every image as often as drawn, each copy an image of its own."""
    new, new_results, next_image = {**data, "images": [], "annotations": []}, [], 1
    by_image: dict[int, list] = {}
    for annotation in data["annotations"]:
        by_image.setdefault(annotation["image_id"], []).append(annotation)
    results_by_image: dict[int, list] = {}
    for result in results:
        results_by_image.setdefault(result["image_id"], []).append(result)
    for image, times in zip(data["images"], weights, strict=True):
        for _ in range(times):
            new["images"].append({**image, "id": next_image})
            for annotation in by_image.get(image["id"], []):
                identity = {"id": len(new["annotations"]) + 1, "image_id": next_image}
                new["annotations"].append({**annotation, **identity})
            new_results += [{**r, "image_id": next_image} for r in results_by_image.get(image["id"], [])]
            next_image += 1
    return new, new_results


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0, 0, 3, 1]))
def test_a_replicate_is_accumulate_on_the_resampled_images_to_the_last_digit(seed, levels):
    rng = np.random.default_rng(seed)
    data = dataset(rng, images=8)
    results = predictions(rng, data, levels)
    matches = bootstrap.pack(coco.evaluate(coco_of(data), results))
    weights = rng.multinomial(8, np.full(8, 1 / 8))
    drawn, drawn_results = resampled(data, results, weights)
    expected = np.array(coco.evaluate(coco_of(drawn), drawn_results).stats)
    assert bootstrap.figures(matches, weights).tolist() == expected.tolist()


@pytest.mark.parametrize("levels", [0, 4])
def test_without_resampling_they_are_pycocotools_own_ten_figures(levels):
    rng = np.random.default_rng(levels)
    data = dataset(rng, images=40)
    evaluation = coco.evaluate(coco_of(data), predictions(rng, data, levels))
    assert bootstrap.figures(bootstrap.pack(evaluation)).tolist() == list(evaluation.stats)
    assert 0.05 < evaluation.stats[0] < 0.95  # neither trivial nor perfect


def test_replicates_are_the_figures_of_the_drawn_weights():
    rng = np.random.default_rng(5)
    data = dataset(rng, images=30)
    matches = bootstrap.pack(coco.evaluate(coco_of(data), predictions(rng, data)))
    weights = resamples(30, seed=7, count=20)
    assert (weights.sum(axis=1) == 30).all()
    expected = np.array([bootstrap.figures(matches, row) for row in weights])
    got = bootstrap.replicates(matches, seed=7, count=20)
    assert np.array_equal(got, np.where(expected < 0, np.nan, expected), equal_nan=True)
    assert not np.array_equal(got, bootstrap.replicates(matches, seed=8, count=20))


@pytest.mark.parametrize("levels", [0, 3])  # with 3 levels of scores detections of an image tie
def test_ap_alone_is_the_first_of_the_ten(levels, monkeypatch):
    monkeypatch.setattr(bootstrap, "_BLOCK", 300)  # several blocks
    rng = np.random.default_rng(6)
    data = dataset(rng, images=30)
    matches = bootstrap.pack(coco.evaluate(coco_of(data), predictions(rng, data, levels)))
    ten = bootstrap.replicates(matches, seed=7, count=20)
    assert np.array_equal(bootstrap.ap_replicates(matches, seed=7, count=20), ten[:, 0])
    assert len(bootstrap.ap_replicates(matches, seed=7, count=0)) == 0


def test_more_replicates_begin_with_the_same_ones():
    assert np.array_equal(resamples(9, 3, 50)[:20], resamples(9, 3, 20))


def test_no_detections_and_no_persons():
    data = dataset(np.random.default_rng(0), images=6)
    nothing = coco.evaluate(coco_of(data), [])
    assert bootstrap.figures(bootstrap.pack(nothing)).tolist() == list(nothing.stats)
    assert nothing.stats[0] == 0
    empty = {**data, "annotations": []}
    nobody = coco.evaluate(coco_of(empty), predictions(np.random.default_rng(0), empty, extra=1))
    assert bootstrap.figures(bootstrap.pack(nobody)).tolist() == list(nobody.stats) == [-1.0] * 10
    assert np.isnan(bootstrap.replicates(bootstrap.pack(nobody), 0, 5)).all()


def test_matches_survive_their_file(tmp_path):
    rng = np.random.default_rng(3)
    data = dataset(rng, images=10)
    matches = bootstrap.pack(coco.evaluate(coco_of(data), predictions(rng, data)))
    distances = Distances(np.arange(2), np.array([0, 1], np.int32), rng.random((2, 16)))
    save_matches(tmp_path / "m.npz", {"paper": matches, "shift-1": matches, "other": distances})
    loaded = load_matches(tmp_path / "m.npz")
    assert list(loaded) == ["paper", "shift-1", "other"]
    for key, value in vars(matches).items():
        assert np.array_equal(getattr(loaded["shift-1"], key), value), key
    assert np.array_equal(loaded["other"].distances, distances.distances)
    (tmp_path / "m.npz").write_bytes((tmp_path / "m.npz").read_bytes()[:200])
    with pytest.raises(UserError, match=r"m\.npz: damaged"):
        load_matches(tmp_path / "m.npz")
    with pytest.raises(UserError, match="no such file"):
        load_matches(tmp_path / "none.npz")


def test_interval_is_the_percentiles_without_nan():
    values = np.concatenate([np.arange(101.0), [np.nan]])
    assert interval(values) == pytest.approx((2.5, 97.5))
    assert np.isnan(interval(np.array([np.nan]))).all()


def test_the_report_can_use_it_without_torch_and_pycocotools():
    code = (
        "import sys; from mspn.evaluation.metrics import bootstrap, mpii, pck; "
        "from mspn.evaluation import protocols; "
        "assert not {'torch', 'pycocotools'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
