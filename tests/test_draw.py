"""Skeletons on pictures: left and right differ, nothing is drawn of joints that are not there."""

import numpy as np
import pytest

from mspn.data.skeletons import COCO, MPII
from mspn.evaluation import draw


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
    np.testing.assert_allclose(both[50, 45], draw.COLOURS["left", "arm"], atol=8)


def test_joints_far_outside_or_not_finite_do_not_break_it():
    joints = np.full((17, 3), 1e9)
    joints[3] = np.nan
    draw.draw_skeleton(np.zeros((20, 20, 3), np.uint8), joints, COCO)


def test_tile_and_sheet():
    image = np.full((80, 60, 3), 90, np.uint8)
    joints = np.concatenate([np.random.default_rng(0).uniform(20, 50, (17, 2)), np.ones((17, 1))], axis=1)
    tile = draw.person_tile(
        image, np.array([10, 10, 40, 60]), joints, joints + np.array([2, 0, 0]), COCO, "best", 96
    )
    assert tile.shape == (96, 96, 3)
    page = draw.sheet([[tile, tile], [tile]], gap=2)
    assert page.shape == (2 * 98 + 2, 2 * 98 + 2, 3)
    assert np.array_equal(page[2:98, 2:98], tile) and (page[101:, 101:] == 200).all()
    assert draw.encode_jpeg(page)[:2] == b"\xff\xd8"
