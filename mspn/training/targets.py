"""The heat maps that a network is trained towards, made from joints in batch on the device that trains."""

from collections.abc import Sequence
from functools import cache

import cv2
import numpy as np
import torch

PEAK = 255.0
STRIDE = 4  # input pixels per heat map pixel


@cache
def _blurred_impulses(kernel: int, length: int) -> np.ndarray:
    """(length, length): row p is a one at pixel p of a line, blurred by OpenCV's kernel and scaled to peak 1.

    The kernel is the pinned OpenCV's own for sigma 0: a fixed table for small sizes (5, 7 and, since it
    grew, 9: there it differs by 1.3 % of the peak from sigma = 0.3 ((k - 1)/2 - 1) + 0.8, which older
    releases used), that sigma's Gaussian above. Borders are reflected without repeating the edge
    (BORDER_REFLECT_101).
    """
    weights = cv2.getGaussianKernel(kernel, 0, cv2.CV_64F).ravel()
    position = np.arange(length)[:, None] + np.arange(kernel) - kernel // 2
    period = max(2 * (length - 1), 1)
    position = np.abs(position) % period
    position = np.minimum(position, period - position) if length > 1 else position * 0
    blur = np.zeros((length, length))  # [x, p]: how much of pixel p reaches pixel x
    np.add.at(blur, (np.arange(length)[:, None], position), weights)
    return (blur / blur.max(axis=0)).T


@cache
def _tables(kernels: tuple[int, ...], length: int, device: torch.device) -> torch.Tensor:
    """(L, length, length) float32 on the device: each kernel's blurred impulses."""
    tables = np.stack([_blurred_impulses(kernel, length) for kernel in kernels])
    return torch.from_numpy(tables.astype(np.float32)).to(device)


def blur_tables(
    kernels: Sequence[Sequence[int]], size: tuple[int, int], device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """What ``target_lines`` looks lines up in, on the device: (S, L, H/4, H/4) and (S, L, W/4, W/4) float32.

    For an input of ``size`` (H, W); ``kernels`` are S rows of L kernel sizes. ValueError for a kernel that is
    even or not positive.
    """
    flat = tuple(kernel for row in kernels for kernel in row)
    if any(kernel < 1 or kernel % 2 == 0 for kernel in flat):
        raise ValueError(f"kernel sizes are odd and positive, not {flat}")
    shape = (len(kernels), len(kernels[0]))
    height, width = size[0] // STRIDE, size[1] // STRIDE
    return _tables(flat, height, device).unflatten(0, shape), _tables(flat, width, device).unflatten(0, shape)


def target_lines(
    joints: torch.Tensor, tables: tuple[torch.Tensor, torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Lines whose outer product is a target: (N, S, L, K, H/4) down, of peak 255, (N, S, L, K, W/4) across.

    float32 on the joints' device, a pair for each kernel of ``tables`` (see ``blur_tables``). ``joints``
    (N, K, 3) holds x, y in pixels of the input, and v. The target of a labelled joint (v > 0) is a one at
    heat map pixel (floor(x/4), floor(y/4)), blurred by OpenCV's ``GaussianBlur`` of that kernel with sigma 0
    and scaled so that the peak is 255 (released code): the blur is separable. A joint without a label, or
    outside the input, has zeros down.
    """
    height, width = (table.shape[-1] for table in tables)
    x = torch.floor(joints[..., 0] / STRIDE)
    y = torch.floor(joints[..., 1] / STRIDE)
    there = (joints[..., 2] > 0) & (x >= 0) & (x < width) & (y >= 0) & (y < height)
    columns = x.masked_fill(~there, 0).long()
    rows = y.masked_fill(~there, 0).long()
    down = tables[0][:, :, rows] * (PEAK * there)[..., None]  # (S, L, N, K, H/4)
    across = tables[1][:, :, columns]  # (S, L, N, K, W/4)
    return down.movedim(2, 0), across.movedim(2, 0)


def make_targets(joints: torch.Tensor, kernels: tuple[int, ...], size: tuple[int, int]) -> torch.Tensor:
    """Target heat maps (N, L, K, H/4, W/4) float32 of L kernels: the outer products of ``target_lines``."""
    down, across = target_lines(joints, blur_tables([kernels], size, joints.device))
    return (down[..., :, None] * across[..., None, :])[:, 0]
