"""Decoding against the literal per-joint rule in OpenCV, map by map."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mspn.commands.benchmarks.decode import reference
from mspn.data.skeletons import COCO
from mspn.evaluation.decode import decode, filter_taps, merge, to_picture

# Crop to picture: the largest boxes of COCO's pictures enlarge heat map pixels about threefold.
INPUT_PX_TO_PICTURE_PX = 640 / 192


def assert_agrees(maps: np.ndarray, kernel: int) -> None:
    got = decode(torch.from_numpy(maps), kernel).numpy()
    expected = reference(maps, kernel)
    np.testing.assert_allclose(
        got[..., :2] * INPUT_PX_TO_PICTURE_PX, expected[..., :2] * INPUT_PX_TO_PICTURE_PX, atol=1e-3, rtol=0
    )
    np.testing.assert_allclose(got[..., 2], expected[..., 2], atol=1e-5, rtol=0)


def blob(height: int, width: int, y: float, x: float, sigma: float = 1.5, peak: float = 255) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    return (peak * np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * sigma**2))).astype(np.float32)


@pytest.mark.parametrize("kernel", [0, 5, 9])
def test_agrees_with_the_literal_rule_on_random_maps(kernel):
    rng = np.random.default_rng(0)
    assert_agrees(rng.normal(20, 60, (40, 17, 24, 18)).astype(np.float32), kernel)
    assert_agrees((rng.random((8, 17, 64, 48)) * 255).astype(np.float32), kernel)


@pytest.mark.parametrize("kernel", [0, 5, 9])
@pytest.mark.parametrize("value", [0.0, 7.0, 100.3, -3.0])
def test_agrees_on_flat_maps(kernel, value):
    assert_agrees(np.full((2, 3, 16, 12), value, np.float32), kernel)


@pytest.mark.parametrize("kernel", [0, 5, 9])
def test_agrees_on_maps_with_several_peaks(kernel):
    rng = np.random.default_rng(1)
    maps = np.zeros((30, 5, 32, 24), np.float32)
    for person in maps:
        for joint in person:
            for _ in range(rng.integers(2, 5)):
                y, x = rng.uniform(0, 31), rng.uniform(0, 23)
                joint += blob(32, 24, y, x, rng.uniform(0.8, 2.5), rng.choice([100.0, 200.0, 255.0]))
    twins = np.stack([blob(32, 24, 8, 5) + blob(32, 24, 20, 17), blob(32, 24, 20, 5) + blob(32, 24, 8, 17)])
    assert_agrees(maps, kernel)
    assert_agrees(twins[None], kernel)


@pytest.mark.parametrize("kernel", [0, 5, 9])
def test_agrees_on_peaks_at_the_border(kernel):
    places = [(0, 0), (0, 23), (31, 0), (31, 23), (0, 11), (31, 12), (15, 0), (16, 23), (-1, 5), (33, 22)]
    maps = np.stack([blob(32, 24, y, x) for y, x in places])
    single = np.zeros((len(places), 32, 24), np.float32)
    for joint, (y, x) in zip(single, places, strict=True):
        joint[min(max(y, 0), 31), min(max(x, 0), 23)] = 255
    assert_agrees(np.stack([maps, single, maps - 40, -maps]), kernel)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0, 3, 5, 9]), st.integers(2, 9), st.integers(2, 9))
def test_agrees_on_maps_of_few_levels_full_of_ties(seed, kernel, height, width):
    rng = np.random.default_rng(seed)
    assert_agrees(rng.integers(-1, 3, (2, 2, height, width)).astype(np.float32), kernel)


@pytest.mark.parametrize("kernel", [0, 5, 9])
def test_agrees_on_equal_pixels_far_apart(kernel):
    rng = np.random.default_rng(2)
    maps = np.zeros((20, 5, 31, 22), np.float32)
    for joint in maps.reshape(-1, 31, 22):
        joint[rng.integers(0, 31, 3), rng.integers(0, 22, 3)] = 255
    assert_agrees(maps, kernel)


@pytest.mark.parametrize("kernel", [0, 5, 9])
def test_agrees_on_low_peaks_among_large_negative_values(kernel):
    rng = np.random.default_rng(3)
    maps = -rng.uniform(0, 1e6, (6, 5, 32, 24))
    maps[..., 8:20, 6:18] = rng.uniform(-1, 100, (6, 5, 12, 12))
    assert_agrees(maps.astype(np.float32), kernel)


def test_the_same_in_small_pieces(monkeypatch):
    rng = np.random.default_rng(4)
    maps = torch.from_numpy(rng.normal(20, 60, (3, 5, 25, 18)).astype(np.float32))
    whole = decode(maps, 5)
    monkeypatch.setattr("mspn.evaluation.decode._BLOCK", 4)
    assert torch.equal(decode(maps, 5), whole)


def test_takes_views_and_no_persons_and_survives_nan():
    maps = torch.from_numpy(np.random.default_rng(5).normal(20, 60, (2, 3, 24, 18)).astype(np.float32))
    assert torch.equal(decode(maps[..., 3:20, 2:15], 5), decode(maps[..., 3:20, 2:15].clone(), 5))
    assert decode(maps[:0], 5).shape == (0, 3, 3)
    expected = decode(maps, 5)
    maps[0, 0, 3, 3] = torch.nan
    assert torch.equal(decode(maps, 5).flatten(0, 1)[1:], expected.flatten(0, 1)[1:])


def test_values_by_hand():
    maps = torch.zeros(1, 1, 6, 6)
    maps[0, 0, 2, 3] = 255
    maps[0, 0, 2, 4] = 51
    # Peak (3, 2), a quarter towards (4, 2), times 4 plus 2; the score is the peak's own 255 / 255 + 0.5.
    assert decode(maps)[0, 0].tolist() == [15.0, 10.0, 1.5]
    # The gradient along x is positive; along y both neighbours are equal, so there is no move.
    assert decode(maps, offset="gradient")[0, 0].tolist() == [15.0, 10.0, 1.5]
    maps[0, 0, 3, 3] = 100
    # Now the second highest is below, and the gradient moves both ways.
    assert decode(maps)[0, 0].tolist() == [14.0, 11.0, 1.5]
    assert decode(maps, offset="gradient")[0, 0].tolist() == [15.0, 11.0, 1.5]


def test_gradient_offset_keeps_off_the_border_and_empty_maps():
    maps = torch.zeros(1, 3, 6, 6)
    maps[0, 0, 1, 3] = 255
    maps[0, 0, 2, 3] = 100  # would pull, but row 1 is at the border in HRNet's rule
    maps[0, 1, 5, 5] = 10
    maps[0, 2] = -1
    assert decode(maps, offset="gradient")[0, :, :2].tolist() == [[14, 6], [22, 22], [2, 2]]
    with pytest.raises(ValueError, match="unfiltered"):
        decode(maps, 5, "gradient")


def test_flip_merge_swaps_sides_and_shifts():
    maps = torch.zeros(1, 17, 2, 4)
    mirrored = torch.zeros(1, 17, 2, 4)
    mirrored[0, 5, 1, 0] = 8.0  # left shoulder in the mirror: the right shoulder at the last column
    merged = merge(maps, mirrored, COCO.mirrored)
    assert merged.nonzero().tolist() == [[0, 6, 1, 3]] and merged[0, 6, 1, 3] == 4
    mirrored[0, 5, 1] = torch.tensor([8.0, 6.0, 4.0, 2.0])  # mirrored back: 2 4 6 8; shifted: 2 2 4 6
    assert merge(maps, mirrored, COCO.mirrored, shift=1)[0, 6, 1].tolist() == [1, 1, 2, 3]
    assert merge(maps, None, COCO.mirrored) is maps


def test_way_back_inverts_the_crop():
    rng = np.random.default_rng(0)
    matrices = torch.from_numpy(rng.normal(size=(4, 2, 3)))
    points = torch.from_numpy(rng.uniform(0, 500, (4, 17, 3)))
    there = points[..., :2] @ matrices[:, :, :2].transpose(1, 2) + matrices[:, None, :, 2]
    joints = torch.cat([there, points[..., 2:]], dim=-1)
    torch.testing.assert_close(to_picture(joints, matrices), points)


def test_filter_taps_are_opencvs():
    assert filter_taps(5) == [1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16]
    for wrong in (4, -1, 13):
        with pytest.raises(ValueError, match="filter's size"):
            filter_taps(wrong)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_the_same_on_the_gpu():
    maps = torch.randn(16, 17, 64, 48) * 50
    torch.testing.assert_close(decode(maps.cuda(), 5).cpu(), decode(maps, 5), atol=1e-5, rtol=0)
