"""PCKh on cases worked out by hand, and against a plain loop over the official definition."""

import numpy as np
import pytest

from mspn.data.skeletons import MPII
from mspn.errors import UserError
from mspn.evaluation.metrics import mpii
from mspn.evaluation.metrics.distances import replicates


def persons(count=1):
    truth = np.zeros((count, 16, 3))
    truth[..., :2] = np.random.default_rng(0).uniform(50, 200, (count, 16, 2))
    truth[..., 2] = 2
    return truth


def scores(truth, joints, heads, images=None):
    images = np.arange(len(truth)) if images is None else images
    values = mpii.figures(mpii.pack(truth, heads, images, joints))
    return dict(zip(mpii.FIGURES, values.tolist(), strict=True))


def test_a_case_with_a_known_answer():
    truth = persons(2)
    joints = truth.copy()
    k = MPII.joints.index
    # Head size 20: right within 10 pixels, the border included.
    joints[0, k("right_wrist"), 0] += 10
    joints[0, k("left_wrist"), 0] += 10.01
    joints[1, k("right_wrist"), 1] -= 30
    joints[1, k("right_ankle"), 0] = np.nan
    joints[:, k("pelvis")] += 500
    truth[1, k("head_top"), 2] = 0
    got = scores(truth, joints, np.array([20.0, 20.0]))
    assert got["Head"] == 1 and got["Knee"] == 1  # one head top of one is right
    assert got["Wrist"] == pytest.approx((1 / 2 + 1 / 2) / 2)
    assert got["Ankle"] == pytest.approx((1 / 2 + 1) / 2)
    # 27 annotated joints without pelvis and thorax, 24 of them right.
    assert got["Mean"] == pytest.approx(24 / 27)


def test_head_is_the_mean_of_neck_and_head_top():
    truth = persons()
    joints = truth.copy()
    joints[0, MPII.joints.index("head_top")] += 100
    got = scores(truth, joints, np.array([20.0]))
    assert got["Head"] == 0.5 and got["Head top"] == 0


def test_the_area_under_the_curve():
    truth = persons()
    # Everything right from 0.25 head sizes on: 25 of 50 stretches at 1, and half of one between 0 and 1.
    joints = truth + np.array([5.0, 0, 0])
    got = scores(truth, joints, np.array([20.0]))
    assert got["Mean"] == 1 and got["AUC"] == pytest.approx((25 + 0.5) / 50)
    assert scores(truth, truth, np.array([20.0]))["AUC"] == 1


def test_agrees_with_a_loop_over_the_official_definition():
    rng = np.random.default_rng(3)
    truth, heads = persons(30), rng.uniform(10, 40, 30)
    truth[..., 2] = np.where(rng.random((30, 16)) < 0.8, 2, 0)
    joints = truth + rng.normal(0, 8, truth.shape)
    got = scores(truth, joints, heads)
    counted = [j for j in range(16) if MPII.joints[j] not in ("pelvis", "thorax")]
    distance = {
        (n, j): float(np.hypot(*(joints[n, j, :2] - truth[n, j, :2]))) / heads[n]
        for n in range(30)
        for j in range(16)
        if truth[n, j, 2]
    }

    def share(these, limit):
        near = [d <= limit for (_, j), d in distance.items() if j in these]
        return sum(near) / len(near)

    for group, names in mpii.GROUPS.items():
        expected = np.mean([share([MPII.joints.index(name)], 0.5) for name in names])
        assert got[group] == pytest.approx(expected), group
    curve = [share(counted, i / 100) for i in range(51)]
    assert got["Mean"] == pytest.approx(curve[-1])
    assert got["AUC"] == pytest.approx(np.trapezoid(curve, np.linspace(0, 1, 51)))


def test_a_replicate_is_the_figures_of_the_drawn_persons():
    rng = np.random.default_rng(4)
    truth = persons(20)
    joints = truth + rng.normal(0, 8, truth.shape)
    heads, images = rng.uniform(10, 40, 20), rng.integers(0, 8, 20) * 3
    distances = mpii.pack(truth, heads, images, joints)
    weights = rng.multinomial(8, np.full(8, 1 / 8))[: len(distances.image_ids)]
    rows = np.repeat(np.arange(20), weights[distances.image])
    expected = mpii.figures(mpii.pack(truth[rows], heads[rows], images[rows], joints[rows]))
    assert mpii.figures(distances, weights).tolist() == expected.tolist()
    assert replicates(mpii.PCKH, distances, 0, 30).shape == (30, len(mpii.FIGURES))


def test_the_truth_scores_100_and_missing_head_sizes_are_refused():
    truth = persons(5)
    mpii.check_truth_scores_one(truth, np.full(5, 20.0), np.arange(5), "data")
    with pytest.raises(UserError, match="head size for every person"):
        mpii.check_truth_scores_one(truth, np.array([20, 20, np.nan, 20, 20]), np.arange(5), "data")
    truth[0, 0, 0] = np.nan
    with pytest.raises(UserError, match=r"data: .* PCKh .* instead of 100"):
        mpii.check_truth_scores_one(truth, np.full(5, 20.0), np.arange(5), "data")
