"""What is drawn on: the picture, who owns each pixel, and the shading of the person at hand."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np

Colour = tuple[float, float, float]  # BGR, 0 to 255

_BITS = 4  # fractional bits of OpenCV's fixed-point coordinates
_ANGLES = np.linspace(0.0, 2 * np.pi, 20, endpoint=False)
CIRCLE = np.stack((np.cos(_ANGLES), np.sin(_ANGLES)), axis=1)  # (20, 2)
NEUTRAL = 200  # the value of the shade layer that leaves a colour as it is
PARTS_PER_PERSON = 32


@dataclass
class Canvas:
    """``picture`` (H, W, 3) uint8 BGR; ``owner`` (H, W) int32; ``shade`` (H, W) uint8.

    ``owner`` is 0 for the backdrop, 1 for things, and 32 n + part for a part of the person number n >= 1.
    Outlines are (n, 2): pixels as floats, or what ``fixed_point`` made of them.
    """

    picture: np.ndarray
    light: tuple[float, float] = (-0.5, -0.8)  # unit vector in the picture towards the light
    who: int = 0
    owner: np.ndarray = field(init=False)
    shade: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.owner = np.zeros(self.picture.shape[:2], np.int32)
        self.shade = np.full(self.picture.shape[:2], NEUTRAL, np.uint8)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self.picture.shape[1], self.picture.shape[0]

    def polygon(
        self, points: np.ndarray, colour: Colour, part: int | None = None, convex: bool = False
    ) -> None:
        """Fill an outline, anti-aliased; ``part`` None leaves the pixels' owner as it is."""
        fixed = fixed_point(points)
        _fill(self.picture, fixed, colour, convex, cv2.LINE_AA)
        if part is not None:
            _fill(self.owner, fixed, PARTS_PER_PERSON * self.who + part, convex, cv2.LINE_8)

    def shading(self, points: np.ndarray, value: float, convex: bool = False) -> None:
        """Fill an outline of the shade layer; no need for smooth edges, as the layer is blurred."""
        _fill(self.shade, fixed_point(points), value, convex, cv2.LINE_8)

    def line(self, points: np.ndarray, colour: Colour, width: float, closed: bool = False) -> None:
        """A polyline, at least a pixel wide."""
        cv2.polylines(
            self.picture, [fixed_point(points)], closed, colour, max(1, round(width)), cv2.LINE_AA, _BITS
        )

    def crease(self, points: np.ndarray, value: float, width: float) -> None:
        """A polyline of the shade layer: a fold or a seam."""
        cv2.polylines(
            self.shade, [fixed_point(points)], False, value, max(1, round(width)), cv2.LINE_8, _BITS
        )

    def apply_shade(self, box: Sequence[int], softness: float) -> None:
        """Multiply the person's pixels by the blurred shade layer within x0, y0, x1, y1; reset the layer."""
        x0, y0, x1, y1 = box
        if x1 <= x0 or y1 <= y0:
            return
        region = np.s_[y0:y1, x0:x1]
        size = 2 * max(1, round(softness)) + 1
        shade = cv2.blur(self.shade[region], (size, size))
        first = PARTS_PER_PERSON * self.who
        own = cv2.inRange(self.owner[region], first, first + PARTS_PER_PERSON - 1)
        np.copyto(shade, NEUTRAL, where=own == 0)
        picture = self.picture[region]
        cv2.multiply(picture, cv2.merge((shade, shade, shade)), dst=picture, scale=1.0 / NEUTRAL)
        self.shade[region] = NEUTRAL


def _fill(layer: np.ndarray, fixed: np.ndarray, value: Any, convex: bool, edge: int) -> None:
    if convex:
        cv2.fillConvexPoly(layer, fixed, value, edge, _BITS)
    else:
        cv2.fillPoly(layer, [fixed], value, edge, _BITS)


def fixed_point(points: np.ndarray) -> np.ndarray:
    """Fixed-point int32 coordinates of points in pixels; int32 passes, as it is that already."""
    if points.dtype == np.int32:
        return points
    return (points * (1 << _BITS) + 0.5).astype(np.int32)


def hull(points: np.ndarray) -> np.ndarray:
    """(m, 2) float32 convex hull of (n, 2) points."""
    return cv2.convexHull(points.astype(np.float32)).reshape(-1, 2)


def shrunk(outline: np.ndarray, share: float, shift: Sequence[float] | np.ndarray = (0.0, 0.0)) -> np.ndarray:
    """An outline scaled about its middle, then moved."""
    middle = outline.sum(axis=0) / len(outline)
    return middle * (1.0 - share) + shift + share * outline


def ellipse(centre: np.ndarray, half_x: float, half_y: float, turn: float = 0.0) -> np.ndarray:
    """(20, 2) outline of an ellipse; ``turn`` in radians."""
    if not turn:
        return centre + CIRCLE * (half_x, half_y)
    c, s = np.cos(turn), np.sin(turn)
    return centre + (CIRCLE * (half_x, half_y)) @ np.array(((c, s), (-s, c)))


def mix(colour: Colour, other: Colour, share: float) -> Colour:
    """``share`` of ``other`` in ``colour``."""
    return (
        colour[0] + share * (other[0] - colour[0]),
        colour[1] + share * (other[1] - colour[1]),
        colour[2] + share * (other[2] - colour[2]),
    )


def darker(colour: Colour, factor: float) -> Colour:
    """``colour`` times ``factor``, at most white."""
    return min(255.0, colour[0] * factor), min(255.0, colour[1] * factor), min(255.0, colour[2] * factor)


# Positions along a limb at which ``sweep`` takes a radius.
STATIONS = np.linspace(0.0, 1.0, 5)
_CAP = np.array(((0.72, 0.69), (0.0, 1.0), (-0.72, 0.69)))  # sideways, outwards


def sweep(
    starts: np.ndarray, ends: np.ndarray, radii: np.ndarray, bulge: np.ndarray | float = 1.0,
    reach: np.ndarray | float = 0.0,
) -> np.ndarray:  # fmt: skip
    """(n, 16, 2) outlines of limbs from ``starts`` to ``ends`` (n, 2), of (n, 5) radii, with round ends.

    ``bulge``, from 0 to 1, flattens the far end; ``reach`` lengthens both ends, in radii; (n, 1) or a number.
    """
    along = ends - starts
    length = np.sqrt((along * along).sum(axis=1, keepdims=True))
    unit = np.where(length > 1e-6, along / np.maximum(length, 1e-6), (0.0, 1.0))
    normal = np.stack((-unit[:, 1], unit[:, 0]), axis=1)
    offset = normal[:, None] * radii[:, :, None]
    first, last = radii[:, :1], radii[:, -1:]
    starts, ends = starts - reach * first * unit, ends + reach * last * unit
    spine = starts[:, None] + STATIONS[None, :, None] * (ends - starts)[:, None]
    side = _CAP[:, :1] * normal[:, None]  # from +normal to -normal
    out = _CAP[:, 1:] * unit[:, None]
    end = ends[:, None] + (side + out * np.reshape(bulge, (-1, 1, 1))) * last[:, None]
    start = starts[:, None] - (side + out) * first[:, None]
    return np.concatenate((spine + offset, end, (spine - offset)[:, ::-1], start), axis=1)
