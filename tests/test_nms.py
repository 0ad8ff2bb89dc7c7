"""OKS-NMS against its definition, and that only near copies in the same image go."""

import numpy as np

from mspn.data.skeletons import COCO
from mspn.evaluation.nms import oks_nms

SIGMAS = np.array(COCO.sigmas)


def test_a_copy_goes_and_the_better_one_stays():
    rng = np.random.default_rng(0)
    pose = rng.uniform(0, 100, (17, 2))
    joints = np.stack([pose + 1, pose, pose + 60, pose])
    images = np.array([1, 1, 1, 2])
    keep = oks_nms(images, joints, np.array([0.5, 0.9, 0.3, 0.1]), np.full(4, 100.0**2), SIGMAS)
    assert keep.tolist() == [False, True, True, True]


def test_a_suppressed_person_suppresses_nobody():
    pose = np.zeros((17, 2))
    step = 3.0  # neighbours are alike at 0.9, the ends are not
    joints = np.stack([pose, pose + step, pose + 2 * step])
    area = np.full(3, 110.0**2)
    similar = np.exp(-(2 * step**2) / (2 * SIGMAS) ** 2 / (area[0] + np.spacing(1)) / 2).mean()
    far = np.exp(-(8 * step**2) / (2 * SIGMAS) ** 2 / (area[0] + np.spacing(1)) / 2).mean()
    threshold = (similar + far) / 2
    keep = oks_nms(np.ones(3), joints, np.array([0.9, 0.8, 0.7]), area, SIGMAS, threshold)
    assert keep.tolist() == [True, False, True]


def test_equal_scores_keep_the_first_and_nobody_is_fine():
    pose = np.ones((2, 17, 2))
    assert oks_nms(np.ones(2), pose, np.ones(2), np.full(2, 50.0), SIGMAS).tolist() == [True, False]
    assert oks_nms(np.zeros(0), np.zeros((0, 17, 2)), np.zeros(0), np.zeros(0), SIGMAS).tolist() == []
