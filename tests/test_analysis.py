"""Kinds of error on poses made for each kind."""

from pathlib import Path

import numpy as np
import pytest

from mspn.data.persons import Persons, Picture
from mspn.data.skeletons import COCO, MPII
from mspn.evaluation.metrics import analysis

K = COCO.joints.index
KIND = analysis.KINDS.index


def truth_of(joints, image_ids, skeleton=COCO, areas=100.0**2, heads=np.nan):
    count = len(joints)
    low, high = joints[..., :2].min(axis=1), joints[..., :2].max(axis=1)
    return Persons(
        name="made up",
        skeleton=skeleton,
        pictures={int(i): Picture(Path("none"), 640, 480) for i in image_ids},
        ids=np.arange(count),
        image_ids=np.asarray(image_ids),
        boxes=np.concatenate([low, high - low], axis=1).astype(np.float32),
        joints=joints.astype(np.float32),
        scores=np.ones(count, np.float32),
        areas=np.broadcast_to(np.float32(areas), count).copy(),
        head_sizes=np.broadcast_to(np.float32(heads), count).copy(),
    )


def pose(x=0.0, joints=17):
    """Joints far apart from each other, in a grid."""
    grid = np.stack([x + 60.0 * (np.arange(joints) % 4), 60.0 * (np.arange(joints) // 4)], axis=1)
    return np.concatenate([grid, np.full((joints, 1), 2.0)], axis=1)


def test_each_kind():
    joints = np.stack([pose(), pose(1000)])
    truth = truth_of(joints, [1, 1])
    predicted = joints[:1].copy()
    predicted[0, K("left_wrist"), :2] = joints[0, K("right_wrist"), :2]
    predicted[0, K("left_knee"), :2] = joints[1, K("left_knee"), :2]
    predicted[0, K("left_elbow"), :2] = joints[1, K("right_elbow"), :2]
    predicted[0, K("nose"), :2] += 200
    # Similarity exp(-d^2 / (2 area (2 sigma)^2)) of 0.7 for an ankle.
    predicted[0, K("left_ankle"), 0] += 2 * 0.089 * 100 * np.sqrt(-2 * np.log(0.7))
    verdicts = analysis.judge(truth, np.array([1]), predicted, np.ones(1))
    assert verdicts.detection.tolist() == [0, -1]
    kinds = {name: analysis.KINDS[verdicts.kind[0, K(name)]] for name in COCO.joints}
    assert kinds.pop("left_wrist") == "swap_sides"
    assert kinds.pop("left_knee") == kinds.pop("left_elbow") == "swap_person"
    assert kinds.pop("nose") == "miss"
    assert kinds.pop("left_ankle") == "jitter"
    assert set(kinds.values()) == {"good"}
    assert set(verdicts.kind[1]) == {KIND("not_found")}


def test_oks_is_cocos_and_the_better_detection_takes_the_person():
    joints = np.stack([pose()])
    truth = truth_of(joints, [7])
    close, exact = joints[0].copy(), joints[0].copy()
    close[:, 0] += 4
    verdicts = analysis.judge(truth, np.array([7, 7]), np.stack([exact, close]), np.array([0.1, 0.9]))
    expected = np.exp(-16 / (2 * 100.0**2 * (2 * np.array(COCO.sigmas)) ** 2)).mean()
    assert verdicts.detection[0] == 1  # by score, not by similarity
    assert verdicts.similarity[0] == pytest.approx(expected, rel=1e-5)


def test_joints_without_a_label_do_not_count():
    joints = np.stack([pose()])
    joints[0, 3:, 2] = 0
    verdicts = analysis.judge(truth_of(joints, [1]), np.array([1]), joints, np.ones(1))
    assert (verdicts.kind[0] >= 0).tolist() == [True] * 3 + [False] * 14


def test_mpii_judges_in_head_sizes_row_by_row():
    joints = np.stack([pose(0, 16), pose(1000, 16)])
    truth = truth_of(joints, [1, 1], MPII, areas=np.nan, heads=20)
    predicted = joints.copy()
    predicted[0, 0, 0] += 9.9  # just within half a head
    predicted[0, 1, 0] += 12  # near
    predicted[1, 2, 0] += 25  # off
    verdicts = analysis.judge(truth, np.array([1, 1]), predicted, np.array([0.1, 0.9]))
    assert verdicts.detection.tolist() == [0, 1]
    assert verdicts.kind[0, :2].tolist() == [KIND("good"), KIND("jitter")]
    assert verdicts.kind[1, 2] == KIND("miss")


def test_summary_shares_sum_to_one_and_levels_are_there():
    joints = np.stack([pose(), pose(10), pose(2000), pose()])
    truth = truth_of(joints, [1, 1, 1, 2], areas=np.array([20.0**2, 50.0**2, 200.0**2, 200.0**2]))
    assert analysis.overlapping(truth).tolist() == [1, 1, 0, 0]
    verdicts = analysis.judge(truth, np.array([1, 2]), joints[[0, 3]], np.ones(2))
    result = analysis.summary(truth, verdicts, 2)
    assert result["persons"] == {"annotated": 4, "found": 2, "detections": 2}
    for row in result["rows"]:
        assert sum(row[kind] for kind in analysis.KINDS) == pytest.approx(1), row
    levels = {(row["by"], row["level"]): row["persons"] for row in result["rows"] if row["by"] != "joint"}
    assert levels == {
        ("all", "all"): 4,
        ("size", "small"): 1,
        ("size", "medium"): 1,
        ("size", "large"): 2,
        ("crowding", "alone"): 2,
        ("crowding", "1-2 overlapping"): 2,
    }
