"""Skeletons on pictures: left and right differ, nothing is drawn of joints that are not there."""

import numpy as np
import pytest

from mspn.data import draw
from mspn.data.skeletons import COCO, MPII


@pytest.mark.parametrize("skeleton", [COCO, MPII])
def test_mirrored_limbs_have_another_colour_and_middle_ones_the_same(skeleton):
    k = skeleton.joints.index
    for first, second in (("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle")):
        left, right = (
            draw.limb_colour(skeleton, (k(f"{side}_{first}"), k(f"{side}_{second}")))
            for side in ("left", "right")
        )
        assert left != right
    across = (k("left_hip"), k("right_hip"))
    assert draw.limb_colour(skeleton, across) == draw.limb_colour(skeleton, across[::-1]) == draw.MIDDLE


def test_only_joints_above_the_minimum_are_drawn():
    joints = np.zeros((17, 3))
    joints[:, :2] = np.random.default_rng(0).uniform(10, 90, (17, 2))
    blank = np.zeros((100, 100, 3), np.uint8)
    assert not draw.draw_skeleton(blank.copy(), joints, COCO).any()
    joints[5] = 30, 30, 1
    joints[7] = 60, 70, 0.4
    one = draw.draw_skeleton(blank.copy(), joints, COCO, minimum=0.5)
    assert one[30, 30].any() and not one[70, 60].any() and not one[50, 45].any()
    both = draw.draw_skeleton(blank.copy(), joints, COCO)
    np.testing.assert_allclose(both[50, 45], draw.COLOURS["left"][0], atol=8)


def test_joints_below_the_threshold_are_drawn_thin():
    """A forearm each: the sure one is wider, and has a dark edge."""
    k = COCO.joints.index
    joints = np.zeros((17, 3))
    for side, x, score in (("left", 30, 0.9), ("right", 70, 0.4)):
        joints[k(f"{side}_elbow")], joints[k(f"{side}_wrist")] = (x, 10, score), (x, 90, score)
    blank = np.full((100, 100, 3), 120, np.uint8)
    drawn = draw.draw_skeleton(blank.copy(), joints, COCO, threshold=0.6)
    across = (drawn[50] != 120).any(axis=1)
    assert across[60:80].sum() <= 3 < 4 <= across[20:40].sum()
    assert drawn[50, 20:40].max(axis=1).min() < 90 < drawn[50, 60:80].max(axis=1).min()


def test_a_box_is_drawn_where_it_is():
    drawn = draw.draw_box(np.zeros((50, 60, 3), np.uint8), np.array([10, 5, 30, 20, 0.5]))
    rows, columns = np.nonzero((drawn == 255).all(axis=2))
    assert (columns.min(), columns.max(), rows.min(), rows.max()) == (10, 40, 5, 25)
    draw.draw_box(drawn, np.array([-1e6, 0, 1e6, 1e9]))


def test_joints_far_outside_or_not_finite_do_not_break_it():
    joints = np.full((17, 3), 1e9)
    joints[3] = np.nan
    draw.draw_skeleton(np.zeros((20, 20, 3), np.uint8), joints, COCO)
