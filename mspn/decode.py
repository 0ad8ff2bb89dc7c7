"""Heat maps to joints: flip test, Gaussian filter, peak, quarter offset, and the way back to the picture.

Batched on tensors, on whatever device the heat maps lie; no loop over persons or joints. Constants and rules
are those of the authors' released test code, which the paper's text does not contradict.
"""

from typing import Literal

import cv2
import numpy as np
import torch

STRIDE = 4  # input pixels per heat map pixel
PEAK = 255.0  # of the targets; brings scores to about 0.5 to 1.5
QUARTER = 0.25  # of a heat map pixel
# The released code pads each map by this many zeros before the filter. Their one visible effect: where
# nothing exceeds zero the peak (or the second highest) is the padding's first pixel.
BORDER = 10

# Rounding error allowed to the single-precision search, as a share of a map's largest magnitude. It only
# decides how many pixels are looked at again in double precision.
_SLACK = 1e-5


def merge(
    maps: torch.Tensor, mirrored: torch.Tensor | None, mirror_order: np.ndarray, shift: int = 0
) -> torch.Tensor:
    """Average the heat maps of a crop with those of its mirror image.

    Args:
        maps: (N, K, h, w), of the crops.
        mirrored: (N, K, h, w), of the mirrored crops, as the network gave them; None for no flip test.
        mirror_order: (K,) each joint's mirror image (`Skeleton.mirrored`).
        shift: 0, or 1 to move the mirrored maps a pixel to the right once mirrored back (the first column
            stays), as Simple Baseline and HRNet do.
    """
    if mirrored is None:
        return maps
    back = mirrored.flip(-1)[:, torch.as_tensor(mirror_order, device=maps.device)]
    if shift:
        back = torch.cat([back[..., :1], back[..., :-1]], dim=-1)
    return (maps + back) / 2


def decode(
    maps: torch.Tensor, kernel: int = 0, offset: Literal["second", "gradient"] = "second"
) -> torch.Tensor:
    """Joints from heat maps.

    Args:
        maps: (N, K, h, w) float32.
        kernel: side of the Gaussian filter, odd; 0 for none.
        offset: where the quarter pixel goes, see `mspn.protocols.Protocol`.

    Returns:
        (N, K, 3) float64: x and y in input pixels, and the score: the unfiltered map / 255 + 0.5, read at
        the rounded refined position.
    """
    n, k, height, width = maps.shape
    flat = maps.detach().float().reshape(n * k, height, width)
    if offset == "second":
        position = _towards_second(flat, kernel)
    elif kernel:
        raise ValueError("the offset by the gradient's sign is defined on unfiltered maps")
    else:
        position = _by_gradient(flat)
    largest = torch.tensor([width - 1, height - 1], dtype=position.dtype, device=maps.device)
    position = torch.minimum(position.clamp(min=0), largest)
    x, y = position.round().long().unbind(-1)
    score = flat[torch.arange(n * k, device=maps.device), y, x].double() / PEAK + 0.5
    joints = torch.cat([STRIDE * position + STRIDE / 2, score[:, None]], dim=-1)
    return joints.reshape(n, k, 3)


def to_picture(joints: torch.Tensor, matrices: torch.Tensor) -> torch.Tensor:
    """Joints (N, K, 3) in input pixels to picture pixels, given the (N, 2, 3) matrices picture -> input."""
    matrices = matrices.to(joints)
    inverse = torch.linalg.inv(matrices[:, :, :2])
    points = (joints[..., :2] - matrices[:, None, :, 2]) @ inverse.transpose(1, 2)
    return torch.cat([points, joints[..., 2:]], dim=-1)


def person_scores(joints: torch.Tensor, box_scores: torch.Tensor | None) -> torch.Tensor:
    """(N,) the mean joint score, times the box's score where given."""
    mean = joints[..., 2].mean(dim=1)
    return mean if box_scores is None else mean * box_scores.to(mean)


def filter_taps(kernel: int) -> list[float]:
    """The weights of OpenCV's one-dimensional Gaussian of that size with sigma 0; [1] for size 0."""
    if kernel == 0:
        return [1.0]
    if kernel < 0 or kernel % 2 == 0 or kernel // 2 > BORDER // 2:
        raise ValueError(f"the filter's size must be 0 or odd and at most {BORDER + 1}, not {kernel}")
    return [float(weight) for weight in cv2.getGaussianKernel(kernel, 0).ravel()]


def _towards_second(maps: torch.Tensor, kernel: int) -> torch.Tensor:
    """(M, 2) positions x, y of the filtered maps' peaks, moved a quarter towards their second highest."""
    first, second = _two_highest(maps, filter_taps(kernel))
    step = (second - first).double()
    length = step.norm(dim=-1, keepdim=True)
    return first + QUARTER * step / length.clamp(min=1e-3) * (length > 1e-3)


def _by_gradient(maps: torch.Tensor) -> torch.Tensor:
    """(M, 2) positions x, y of the maps' peaks, moved by the sign of the differences across them.

    As HRNet has it: no move within a pixel of the border (two on the left and top), and the origin for a
    map without a positive value.
    """
    m, height, width = maps.shape
    index = maps.reshape(m, -1).argmax(dim=1)
    y, x = index // width, index % width
    every = torch.arange(m, device=maps.device)
    inside = (x > 1) & (x < width - 1) & (y > 1) & (y < height - 1)
    cx, cy = x.clamp(1, width - 2), y.clamp(1, height - 2)
    dx = maps[every, cy, cx + 1] - maps[every, cy, cx - 1]
    dy = maps[every, cy + 1, cx] - maps[every, cy - 1, cx]
    sign = torch.stack([dx, dy], dim=-1).sign().double() * inside[:, None]
    position = torch.stack([x, y], dim=-1).double() + QUARTER * sign
    return position * (maps[every, y, x] > 0)[:, None]


def _two_highest(maps: torch.Tensor, taps: list[float]) -> tuple[torch.Tensor, torch.Tensor]:
    """The highest and the second highest pixel of the filtered maps: two (M, 2) of x, y.

    Equal to the search in double precision: the filter runs in single precision over everything, then again
    in double over the few pixels that could be among the two highest. Ties go to the first in reading order.
    """
    m, height, width = maps.shape
    reach = len(taps) - 1
    rows, columns = height + reach, width + reach
    # Every map with `reach` zero rows and columns behind it, one after another: the zeros behind one row are
    # those before the next, so that one pass over the whole vector filters all maps at once.
    lead = reach * (columns + 1)
    padded = maps.new_zeros(lead + m * rows * columns)
    padded[lead:].view(m, rows, columns)[:, :height, :width] = maps
    rough = _convolve(_convolve(padded, taps, 1), taps, columns).view(m, rows, columns)

    index, row, column = _candidates(rough, maps).unbind(-1)
    start = (index * rows + row) * columns + column
    offsets = torch.arange(reach + 1, device=maps.device)
    window = padded[start[:, None, None] + columns * offsets[:, None] + offsets].double()
    value = _fold(_fold(window, taps), taps)
    pixel = torch.stack([column, row], dim=-1) - reach // 2

    first, chosen = _highest(value, index, pixel, m)
    is_first = torch.zeros_like(value, dtype=torch.bool)
    is_first[chosen] = True
    second, _ = _highest(value.masked_fill(is_first, 0), index, pixel, m)
    return first, second


def _convolve(flat: torch.Tensor, taps: list[float], step: int) -> torch.Tensor:
    """Slide symmetric ``taps`` over a vector with a stride between taps; shorter by what they reach."""
    size, middle = flat.numel() - (len(taps) - 1) * step, len(taps) // 2
    part = [flat[j * step : j * step + size] for j in range(len(taps))]
    total = part[middle] * taps[middle]
    for j in range(1, middle + 1):
        total.add_(part[middle - j] + part[middle + j], alpha=taps[middle - j])
    return total


def _fold(window: torch.Tensor, taps: list[float]) -> torch.Tensor:
    """The same symmetric sum over the last axis: (..., len(taps)) to (...)."""
    middle = len(taps) // 2
    total = window[..., middle] * taps[middle]
    for j in range(1, middle + 1):
        total = total + (window[..., middle - j] + window[..., middle + j]) * taps[middle - j]
    return total


def _candidates(rough: torch.Tensor, maps: torch.Tensor) -> torch.Tensor:
    """(C, 3) map, row, column of the pixels that may be among a map's two highest, in reading order."""
    m, _, columns = rough.shape
    row_max = rough.amax(dim=2)
    row = row_max.argmax(dim=1)
    top_row = rough[torch.arange(m, device=rough.device), row]
    in_row = top_row.topk(min(2, columns), dim=1).values[:, -1]
    elsewhere = row_max.scatter(1, row[:, None], -torch.inf).amax(dim=1)
    # Never below zero, which the padding offers.
    second = torch.maximum(in_row, elsewhere).clamp(min=0)
    magnitude = torch.maximum(maps.amax(dim=(1, 2)), -maps.amin(dim=(1, 2)))
    threshold = second - _SLACK * magnitude
    index, row = (row_max >= threshold[:, None]).nonzero().unbind(-1)
    hit, column = (rough[index, row] >= threshold[index, None]).nonzero().unbind(-1)
    return torch.stack([index[hit], row[hit], column], dim=-1)


def _highest(
    value: torch.Tensor, index: torch.Tensor, pixel: torch.Tensor, count: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Each map's highest candidate: (count, 2) pixels, and the chosen candidates.

    A map without a positive candidate has its peak at the padding's first pixel.
    """
    best = value.new_zeros(count).scatter_reduce(0, index, value, "amax")
    number = torch.arange(len(value), device=value.device)
    first_of = torch.where(value == best[index], number, len(value))
    chosen = torch.full_like(best, len(value), dtype=torch.long).scatter_reduce(0, index, first_of, "amin")
    found = best > 0
    peak = pixel.new_full((count, 2), -BORDER)
    peak[found] = pixel[chosen[found]]
    return peak, chosen[found]
