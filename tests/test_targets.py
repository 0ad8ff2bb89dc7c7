import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mspn.training.targets import make_targets
from mspn.training.throughput import KERNELS as COMPARED
from mspn.training.throughput import literal_targets

KERNELS = (15, 11, 9, 7, 5)


def literal_target(x: float, y: float, kernel: int, size: tuple[int, int]) -> np.ndarray:
    """The released code's way: an impulse, OpenCV's blur, the peak scaled to 255."""
    target = np.zeros((size[0] // 4, size[1] // 4), np.float32)
    target[int(y // 4), int(x // 4)] = 1
    blurred = np.asarray(cv2.GaussianBlur(target, (kernel, kernel), 0))
    return blurred / blurred.max() * 255


@pytest.mark.parametrize("size", [(256, 192), (384, 288), (64, 48), (20, 16)])
def test_targets_are_opencvs_blur_everywhere_and_at_the_borders(size):
    height, width = size
    xs = [0, 2, 4, 9, 17, 30, width / 2 + 0.3, width - 9, width - 4.01, width - 1]
    ys = [0, 5, 8, 15, 31, height / 3, height - 11, height - 5, height - 0.01]
    points = [(x % width, y % height, 1 + i % 2) for i, x in enumerate(xs) for y in ys]
    joints = torch.tensor(points, dtype=torch.float32)[None]
    made = make_targets(joints, KERNELS, size)[0].numpy()
    for k, (x, y, _) in enumerate(joints[0].tolist()):
        for level, kernel in enumerate(KERNELS):
            assert np.abs(made[level, k] - literal_target(x, y, kernel, size)).max() < 255e-4


@settings(max_examples=30, deadline=None)
@given(st.floats(0, 191.9375, width=32), st.floats(0, 255.9375, width=32), st.sampled_from(KERNELS))
def test_target_of_any_joint(x, y, kernel):
    made = make_targets(torch.tensor([[[x, y, 2.0]]]), (kernel,), (256, 192))[0, 0, 0].numpy()
    assert np.abs(made - literal_target(x, y, kernel, (256, 192))).max() < 255e-4
    assert made.max() == 255


def test_no_label_and_no_place_give_zeros():
    joints = torch.tensor([[[10.0, 10, 0], [-0.5, 10, 2], [192, 10, 2], [10, 256, 1], [10, 10, 1]]])
    made = make_targets(joints, (7, 5), (256, 192))
    assert made.shape == (1, 2, 5, 64, 48)
    assert made.dtype == torch.float32
    assert (made[0, :, :4] == 0).all()
    assert (made[0, :, 4].amax((1, 2)) == 255).all()


def test_the_kernel_of_nine_is_the_pinned_opencvs_table():
    made = make_targets(torch.tensor([[[96.0, 128, 2]]]), (9,), (256, 192))[0, 0, 0]
    assert torch.allclose(made[32, 24:29] / 255, torch.tensor([60, 51, 30, 13, 4.0]) / 60, atol=1e-6)


def test_even_kernels_are_refused():
    with pytest.raises(ValueError, match="odd"):
        make_targets(torch.zeros(1, 1, 3), (4,), (64, 48))


def test_the_benchmarks_comparison_makes_the_same_targets():
    joints = torch.tensor([[40.0, 50, 2], [0, 0, 0], [191, 255, 1], [3, 128.5, 2]])
    literal = literal_targets(joints.numpy(), (256, 192))
    made = make_targets(joints[None], COMPARED, (256, 192))[0]
    assert np.abs(literal - made.numpy()).max() < 255e-4
