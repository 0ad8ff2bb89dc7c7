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
# Pixels of a map that are looked at one by one; with more, filtering the whole map is cheaper.
_FEW = 60
# Maps decoded at once: enough to be worth a call, few enough for the processor's cache.
_BLOCK = 1024


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


@torch.inference_mode()
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
        position = torch.cat([_towards_second(block, kernel) for block in flat.split(_BLOCK)])
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

    Equal to the search in double precision over maps padded with zeros: only pixels that may be among the two
    highest are filtered, in double precision. Ties go to the first in reading order.
    """
    row_max, column_max = _maxima(maps, 2), _maxima(maps, 1)
    index, y, x, value = _around_peaks(maps, taps, row_max)
    second = value.view(len(maps), -1).topk(2, dim=1).values[:, 1].clamp(min=0).float()
    more, more_y, more_x, few = _bounded(row_max, column_max, second, taps)
    middle = 4  # of the nine around a peak
    known = ((more_y - y[9 * more + middle]).abs() <= 1) & ((more_x - x[9 * more + middle]).abs() <= 1)
    more, more_y, more_x = more[~known], more_y[~known], more_x[~known]
    if not bool(few.all()):
        # A map without a clear peak: filter all of it, in single precision, to see where to look.
        rest = (~few).nonzero()[:, 0]
        found, found_y, found_x = _searched(maps[rest], taps)
        more = torch.cat([more, rest[found]])
        more_y, more_x = torch.cat([more_y, found_y]), torch.cat([more_x, found_x])
    reach = len(taps) // 2
    windows = _windows(maps, more, more_y - reach, more_x - reach, len(taps))
    value = torch.cat([value, _fold(_fold(windows, taps), taps)])
    index, y, x = torch.cat([index, more]), torch.cat([y, more_y]), torch.cat([x, more_x])

    # A pixel's place in reading order, over the padded map.
    columns = maps.shape[2] + 2 * BORDER
    place = (y + BORDER) * columns + x + BORDER
    first = _highest(value, index, place, len(maps))
    second_place = _highest(value.masked_fill(place == first[index], 0), index, place, len(maps))
    return tuple(  # type: ignore[return-value]
        torch.stack([chosen % columns, chosen // columns], dim=-1) - BORDER
        for chosen in (first, second_place)
    )


def _maxima(maps: torch.Tensor, dim: int) -> torch.Tensor:
    """``maps.amax(dim)``, by halves, which is several times as fast on short axes on a CPU."""
    while (size := maps.shape[dim]) > 1:
        half = (size + 1) // 2
        maps = torch.maximum(maps.narrow(dim, 0, half), maps.narrow(dim, size - half, half))
    return maps.squeeze(dim)


def _around_peaks(
    maps: torch.Tensor, taps: list[float], row_max: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """The nine pixels around the peak of each map as it is: map, y, x and filtered value, (9 M,) each."""
    size, reach = len(taps), len(taps) // 2
    every = torch.arange(len(maps), device=maps.device)
    y = row_max.argmax(dim=1)
    x = maps[every, y].argmax(dim=1)
    windows = _windows(maps, every, y - reach - 1, x - reach - 1, size + 2)
    value = _fold(_fold(windows.unfold(2, size, 1), taps).unfold(1, size, 1), taps)  # (M, 3, 3)
    steps = torch.arange(-1, 2, device=maps.device)
    near_y = (y[:, None, None] + steps[:, None]).expand(-1, 3, 3)
    near_x = (x[:, None, None] + steps).expand(-1, 3, 3)
    return every.repeat_interleave(9), near_y.flatten(), near_x.flatten(), value.flatten()


def _bounded(
    row_max: torch.Tensor, column_max: torch.Tensor, second: torch.Tensor, taps: list[float]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Where a map may exceed ``second`` (M,) once filtered: map, y and x (C,), and (M,) where they are few.

    The filter's weights are positive: a filtered row is nowhere above the same weights over the maxima of
    the rows it is made of, likewise for columns.
    """
    reach = len(taps) // 2
    threshold = (second - _SLACK * row_max.amax(dim=1).clamp(min=0))[:, None]
    row_may = _bound(row_max, taps) >= threshold
    column_may = _bound(column_max, taps) >= threshold
    few = row_may.sum(dim=1) * column_may.sum(dim=1) <= _FEW
    index, row = (row_may & few[:, None]).nonzero().unbind(-1)
    hit, column = column_may[index].nonzero().unbind(-1)
    return index[hit], row[hit] - reach, column - reach, few


def _windows(
    maps: torch.Tensor, index: torch.Tensor, top: torch.Tensor, left: torch.Tensor, size: int
) -> torch.Tensor:
    """(C, size, size) float64 pieces of maps ``index`` (C,) from ``top``, ``left`` on; zeros outside them."""
    _, height, width = maps.shape
    steps = torch.arange(size, device=maps.device)
    y, x = top[:, None] + steps, left[:, None] + steps
    rows = (index[:, None] * height + y.clamp(0, height - 1)) * width
    values = maps.take(rows[:, :, None] + x.clamp(0, width - 1)[:, None, :])
    inside = ((y >= 0) & (y < height))[:, :, None] & ((x >= 0) & (x < width))[:, None, :]
    return values.double() * inside


def _bound(line: torch.Tensor, taps: list[float]) -> torch.Tensor:
    """(M, n) maxima of lines, filtered as one line with zeros around: (M, n + len(taps) - 1) upper bounds."""
    reach = len(taps) - 1
    line = torch.nn.functional.pad(line.clamp(min=0), (reach, reach))
    return _fold(line.unfold(1, reach + 1, 1), taps)


def _searched(maps: torch.Tensor, taps: list[float]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Candidates by filtering whole maps in single precision: map, y and x (C,), in reading order.

    Each row and each map has zeros behind it, which are also those before the next: one pass over the whole
    vector filters all maps at once.
    """
    count, height, width = maps.shape
    reach = len(taps) - 1
    rows, columns = height + reach, width + reach
    lead = reach * (columns + 1)
    padded = maps.new_zeros(lead + count * rows * columns)
    padded[lead:].view(count, rows, columns)[:, :height, :width] = maps
    rough = _convolve(_convolve(padded, taps, 1), taps, columns).view(count, rows, columns)

    row_max = rough.amax(dim=2)
    row = row_max.argmax(dim=1)
    in_row = rough[torch.arange(count, device=maps.device), row].topk(min(2, columns)).values[:, -1]
    elsewhere = row_max.scatter(1, row[:, None], -torch.inf).amax(dim=1)
    # Never below zero, which the padding offers.
    second = torch.maximum(in_row, elsewhere).clamp(min=0)
    threshold = (second - _SLACK * maps.abs().amax(dim=(1, 2)))[:, None]
    index, row = (row_max >= threshold).nonzero().unbind(-1)
    hit, column = (rough[index, row] >= threshold[index]).nonzero().unbind(-1)
    return index[hit], row[hit] - reach // 2, column - reach // 2


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


def _highest(value: torch.Tensor, index: torch.Tensor, place: torch.Tensor, count: int) -> torch.Tensor:
    """(count,) the place of each map's highest pixel, the first of equal ones; 0 where none is positive."""
    best = value.new_zeros(count).scatter_reduce(0, index, value, "amax")
    last = torch.iinfo(place.dtype).max
    candidate = torch.where(value == best[index], place, last)
    first = torch.full_like(best, last, dtype=place.dtype).scatter_reduce(0, index, candidate, "amin")
    return torch.where(best > 0, first, 0)
