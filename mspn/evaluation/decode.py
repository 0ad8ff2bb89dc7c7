"""Heat maps to joints: flip test, Gaussian filter, peak, quarter offset, and the way back to the picture.

Batched on tensors, on whatever device the heat maps lie; no loop over persons or joints. Constants and rules
are those of the authors' released test code, which the paper's text does not contradict.
"""

from collections.abc import Iterator, Sequence
from typing import Literal

import cv2
import numpy as np
import torch

from mspn.training.targets import PEAK, STRIDE

QUARTER = 0.25  # of a heat map pixel
# The released code pads each map by this many zeros before the filter. Their one visible effect: where
# nothing exceeds zero the peak (or the second highest) is the padding's first pixel.
BORDER = 10

# Rounding error allowed to the single-precision search, as a share of a map's highest value; negative ones,
# whatever their size, cannot be more than half of what makes up a pixel above zero. It only decides how many
# pixels are looked at again in double precision.
_SLACK = 1e-5
# Rows filtered together: a peak and what is around it.
_STRIP = 3
# Maps, or strips of them, at once: enough to be worth a call, few enough for the processor's cache.
_BLOCK = 4096


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
        offset: where the quarter pixel goes, see `mspn.evaluation.protocols.Protocol`.

    Returns:
        (N, K, 3) float64: x and y in input pixels, and the score: the unfiltered map / 255 + 0.5, read at
        the rounded refined position.
    """
    n, k, height, width = maps.shape
    flat = maps.detach().float().reshape(n * k, height, width).contiguous()
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

    Equal to the search in double precision over maps padded with zeros, at a fraction of its work: of each
    map, only strips of rows that may hold one of the two are filtered, in single precision, and of these only
    pixels that may be one, in double precision. Ties go to the first in reading order.
    """
    row_max = _amax(maps, 2).clamp(min=0)
    index = torch.arange(len(maps), device=maps.device)
    top = row_max.argmax(dim=1) - 1  # the map's own peak is in the strip's middle
    rough = _rough(maps, index, top, taps)
    highest, second = _amax(rough, 2).sort(dim=0, descending=True).values[:2]
    slack = _SLACK * row_max.amax(dim=1)
    # Only what exceeds zero counts, which the padding offers.
    bar = (second - slack).clamp(min=torch.finfo(second.dtype).tiny) - slack
    found = [_exact(maps, index, top, rough >= bar[:, None], taps)]
    others = _other_strips(row_max, bar, top, taps)
    for index, top in others:
        rough = _rough(maps, index, top, taps)
        # Without a clear peak these raise the bar: the second is no lower than the lower of two strips' best.
        other = torch.zeros_like(highest).scatter_reduce(0, index, _amax(rough, 2).amax(dim=0), "amax")
        bar = torch.maximum(bar, torch.minimum(highest, other) - 2 * slack)
        found.append(_exact(maps, index, top, rough >= bar[index][:, None], taps))
    value, index, y, x = (torch.cat(parts) for parts in zip(*found, strict=True))

    # A pixel's place in reading order, over the padded map.
    columns = maps.shape[2] + 2 * BORDER
    place = (y + BORDER) * columns + x + BORDER
    first = _highest(value, index, place, len(maps))
    second_place = _highest(value.masked_fill(place == first[index], 0), index, place, len(maps))
    return tuple(  # type: ignore[return-value]
        torch.stack([chosen % columns, chosen // columns], dim=-1) - BORDER
        for chosen in (first, second_place)
    )


def _amax(values: torch.Tensor, dim: int) -> torch.Tensor:
    """``values.amax(dim)`` of float32, or something negative where all are negative.

    The bits of floats not below zero, read as integers, are in the floats' order, and these are several times
    as fast to compare on a CPU.
    """
    return values.view(torch.int32).amax(dim).view(torch.float32)


def _rough(maps: torch.Tensor, index: torch.Tensor, top: torch.Tensor, taps: list[float]) -> torch.Tensor:
    """Strips of the filtered maps ``index`` (C,) from row ``top`` (C,) on, in single precision.

    (_STRIP, C, w + len(taps) - 1): from as far left of the map as the filter reaches to as far right.
    """
    _, height, width = maps.shape
    reach = len(taps) // 2
    y = top + torch.arange(-reach, _STRIP + reach, device=maps.device)[:, None]
    rows = maps.view(-1, width).index_select(0, (index * height + y.clamp(0, height - 1)).flatten())
    rows = rows.index_fill_(0, ((y < 0) | (y >= height)).flatten().nonzero()[:, 0], 0).view(*y.shape, width)
    rows = _weighted([rows[j : j + _STRIP] for j in range(len(taps))], taps)
    return _filter_lines(rows.flatten(0, 1), taps).unflatten(0, (_STRIP, len(index)))


def _other_strips(
    row_max: torch.Tensor, bar: torch.Tensor, top: torch.Tensor, taps: list[float]
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Strips above or below the one at ``top`` (M,) that may reach ``bar`` (M,): maps and tops, in pieces.

    The filter's weights are positive: a filtered row is nowhere above the same weights over the maxima of
    the rows it is made of.
    """
    index, row = (_filter_lines(row_max, taps) >= bar[:, None]).nonzero().unbind(-1)
    strip = (row - len(taps) // 2 - top[index]).div(_STRIP, rounding_mode="floor")
    new = strip != 0
    new[1:] &= (index[1:] != index[:-1]) | (strip[1:] != strip[:-1])
    index, strip = index[new], strip[new]
    return zip(index.split(_BLOCK), (top[index] + _STRIP * strip).split(_BLOCK), strict=True)


def _exact(
    maps: torch.Tensor, index: torch.Tensor, top: torch.Tensor, may: torch.Tensor, taps: list[float]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """The pixels that ``may``, shaped like `_rough`'s: float64 filtered value, map, y and x, (P,) each."""
    _, height, width = maps.shape
    reach = len(taps) // 2
    row, strip, x = may.nonzero().unbind(-1)
    index, y, x = index[strip], top[strip] + row, x - reach
    steps = torch.arange(-reach, reach + 1, device=maps.device)[:, None]
    rows, columns = y + steps, x + steps
    from_rows = (index * height + rows.clamp(0, height - 1)) * width
    values = maps.take(from_rows[:, None] + columns.clamp(0, width - 1))
    inside = ((rows >= 0) & (rows < height))[:, None] & (columns >= 0) & (columns < width)
    # Along the rows first, as OpenCV does: its rounding decides between pixels that are all but equal.
    values = _weighted((values.double() * inside).unbind(1), taps)
    return _weighted(values.unbind(0), taps), index, y, x


def _filter_lines(lines: torch.Tensor, taps: list[float]) -> torch.Tensor:
    """(N, n) lines with zeros around them, filtered: (N, n + len(taps) - 1).

    Each line has zeros behind it, which are also those before the next: one pass over the whole vector
    filters all of them.
    """
    count, length = lines.shape
    behind = len(taps) - 1
    size = count * (length + behind)
    padded = lines.new_zeros(behind + size)
    padded[behind:].view(count, length + behind)[:, :length] = lines
    return _weighted([padded[j : j + size] for j in range(len(taps))], taps).view(count, length + behind)


def _weighted(parts: Sequence[torch.Tensor], taps: list[float]) -> torch.Tensor:
    """The sum of the parts, weighted by symmetric taps."""
    middle = len(taps) // 2
    total = parts[middle] * taps[middle]
    for j in range(1, middle + 1):
        total += (parts[middle - j] + parts[middle + j]).mul_(taps[middle - j])
    return total


def _highest(value: torch.Tensor, index: torch.Tensor, place: torch.Tensor, count: int) -> torch.Tensor:
    """(count,) the place of each map's highest pixel, the first of equal ones; 0 where none is positive."""
    best = value.new_zeros(count).scatter_reduce(0, index, value, "amax")
    last = torch.iinfo(place.dtype).max
    candidate = torch.where(value == best[index], place, last)
    first = torch.full_like(best, last, dtype=place.dtype).scatter_reduce(0, index, candidate, "amin")
    return torch.where(best > 0, first, 0)
