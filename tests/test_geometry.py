import cv2
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mspn.data.geometry import (
    compose,
    crop_matrices,
    fit_aspect,
    invert,
    mirror_matrices,
    test_crops,
    transform,
)

SIZE = (256, 192)
coordinate = st.floats(-500, 3000)
side = st.floats(1, 2000)
angle = st.floats(-180, 180)
boxes = st.tuples(coordinate, coordinate, side, side)


def literal_test_crop(x: float, y: float, w: float, h: float) -> tuple[float, float, float, float]:
    """Protocol "Test", as written down: 1.09 and 1.135, then the smaller side to the aspect 192:256."""
    w, h = w * 1.09, h * 1.135
    cx, cy = x + w / 1.09 / 2, y + h / 1.135 / 2
    if w / h > 192 / 256:
        h = w * 256 / 192
    else:
        w = h * 192 / 256
    return cx, cy, w, h


def literal_matrix(crop: tuple[float, ...], degrees: float) -> np.ndarray:
    """The similarity through three points, as the released code builds it."""
    cx, cy, w, _ = crop
    turn = np.radians(degrees)
    source_direction = np.array([0.5 * w * np.sin(turn), -0.5 * w * np.cos(turn)])
    target_direction = np.array([0, -0.5 * 192])
    source, target = np.zeros((3, 2), np.float32), np.zeros((3, 2), np.float32)
    source[0], target[0] = (cx, cy), (96, 128)
    source[1], target[1] = source[0] + source_direction, target[0] + target_direction
    for points in (source, target):
        direct = points[0] - points[1]
        points[2] = points[1] + (-direct[1], direct[0])
    return cv2.getAffineTransform(source, target)


@given(boxes)
def test_crop_of_a_box(box):
    made = test_crops(np.array([box]), SIZE)[0]
    np.testing.assert_allclose(made, literal_test_crop(*box), rtol=1e-9, atol=1e-6)


def test_mpii_squares_are_not_enlarged():
    made = test_crops(np.array([[10.0, 20, 100, 100]]), (256, 256), enlarge=False)
    np.testing.assert_allclose(made, [[60, 70, 100, 100]])


@given(st.tuples(st.floats(0, 600), st.floats(0, 600), st.floats(20, 600)), st.floats(-60, 60))
def test_matrix_is_the_released_similarity(crop, degrees):
    full = (*crop, crop[2] * 4 / 3)
    made = crop_matrices(np.array([full]), SIZE, np.array([degrees]))[0]
    corners = np.array([[0, 0, 1], [640, 0, 1], [0, 480, 1.0]])
    literal = literal_matrix(full, degrees)
    # The literal form goes through float32 points: compare within what that costs at this magnification.
    np.testing.assert_allclose(corners @ made.T, corners @ literal.T, atol=0.05 * max(1, 192 / crop[2]))


def test_a_positive_angle_is_opencvs():
    made = crop_matrices(np.array([[50.0, 60, 192, 256]]), SIZE, np.array([30.0]))[0]
    literal = cv2.getRotationMatrix2D((50, 60), 30, 1.0)
    literal[:, 2] += (96 - 50, 128 - 60)
    np.testing.assert_allclose(made, literal, atol=1e-9)


@given(boxes, angle, st.lists(st.tuples(coordinate, coordinate), min_size=1, max_size=5))
def test_joints_come_back_through_the_crop(box, degrees, points):
    matrices = crop_matrices(test_crops(np.array([box]), SIZE), SIZE, np.array([degrees]))
    there = transform(np.array([points]), matrices)
    back = transform(there, invert(matrices))
    np.testing.assert_allclose(back, [points], atol=1e-6)
    np.testing.assert_allclose(compose(invert(matrices), matrices)[0], [[1, 0, 0], [0, 1, 0]], atol=1e-6)


@given(boxes)
def test_an_upright_crop_fills_the_input(box):
    crops = test_crops(np.array([box]), SIZE)
    cx, cy, w, h = crops[0]
    corners = np.array([[[cx - w / 2, cy - h / 2], [cx + w / 2, cy + h / 2]]])
    np.testing.assert_allclose(
        transform(corners, crop_matrices(crops, SIZE))[0], [[0, 0], [192, 256]], atol=1e-6
    )


@given(st.lists(st.tuples(side, side), min_size=1, max_size=4))
def test_fitting_only_enlarges_one_side(sizes):
    made = fit_aspect(np.array(sizes), SIZE)
    np.testing.assert_allclose(made[:, 0] / made[:, 1], 192 / 256)
    assert (made >= np.array(sizes) * (1 - 1e-12)).all()
    assert np.isclose(made, sizes).any(1).all()


def test_mirroring_a_picture():
    points = np.array([[[0.0, 5], [99, 7], [30, 0]]])
    np.testing.assert_allclose(
        transform(points, mirror_matrices(np.array([100]))), [[[99, 5], [0, 7], [69, 0]]]
    )
