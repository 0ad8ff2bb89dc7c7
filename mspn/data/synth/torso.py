"""The trunk: a stack of ellipses from the neck to the hem, its pattern, and what hangs on it."""

from dataclasses import dataclass
from itertools import pairwise
from math import atan2, cos, pi, sin

import numpy as np

from mspn.data.synth.canvas import CIRCLE, Canvas, Colour, darker, hull, mix, shrunk
from mspn.data.synth.drawing import Drawing
from mspn.data.synth.look import Look
from mspn.data.synth.parts import PART
from mspn.data.synth.pose import SIDES, Figure

_FRONT, _BACK = pi / 2, -pi / 2  # angles around a section, from the person's left
_TONES = ((154, 1.0, 0.0), (192, 0.80, 0.12), (217, 0.48, 0.26))  # shade, share, shift towards the light
_HALF_TURN = np.linspace(-pi / 2, pi / 2, 9)
_SPOKES = np.linspace(0.0, 2 * pi, 18, endpoint=False)
LAST = 5  # number of the lowest section


@dataclass(frozen=True)
class Torso:
    """Six sections from the neck (level 0) to the hem (level 5), in the picture.

    ``rows`` (3, 6, 3): the sections' centres, half axes to the person's left, and half axes to its front;
    pixels, the third coordinate is depth.
    """

    rows: np.ndarray

    def at(self, level: np.ndarray | float, angle: np.ndarray | float) -> np.ndarray:
        """(..., 2) points of the surface in pixels."""
        level = np.asarray(level, float)
        low = np.minimum(level.astype(int), LAST - 1)
        share = (level - low)[..., None]
        centre, across, forward = (1 - share) * self.rows[:, low, :2] + share * self.rows[:, low + 1, :2]
        angle = np.asarray(angle)[..., None]
        points: np.ndarray = centre + np.cos(angle) * across + np.sin(angle) * forward
        return points

    def towards_viewer(self, level: int) -> float:
        """The angle at which the section is nearest to the viewer."""
        return atan2(self.rows[2, level, 2], self.rows[1, level, 2])

    def faces(self, angle: float) -> bool:
        """Whether the chest's surface at ``angle`` looks at the viewer."""
        (ax, ay, az), (fx, fy, fz) = self.rows[1, 2].tolist(), self.rows[2, 2].tolist()
        across, forward = az / (ax * ax + ay * ay + az * az) ** 0.5, fz / (fx * fx + fy * fy + fz * fz) ** 0.5
        return bool(cos(angle) * across + sin(angle) * forward > 0.15)

    def outlines(self, share: float = 1.0, shift: np.ndarray | float = 0.0) -> np.ndarray:
        """(6, 20, 2) the sections as outlines, shrunk to ``share``."""
        centre, across, forward = self.rows[:, :, None, :2]
        ring: np.ndarray = centre + share * (CIRCLE[:, :1] * across + CIRCLE[:, 1:] * forward) + shift
        return ring


def torso_of(figure: Figure, look: Look, origin: tuple[float, float], scale: float) -> Torso:
    """The sections of the clothed trunk of a figure."""
    body, points, frames = figure.body, figure.points, figure.frames
    chest, lower, pelvis = frames["chest"], frames["lower"], frames["pelvis"]
    thorax, g = points["thorax"], body.girth
    loose = {"tank top": 1.0, "t-shirt": 1.0, "jacket": 1.13, "hoodie": 1.13}.get(look.top, 1.06)
    hip = (body.hip + 0.036 * g) * loose
    sections = (
        (thorax + chest @ (0.0, 0.014, -0.002), chest, 0.037 * g, 0.034 * g),
        (thorax + chest @ (0.0, -0.020, -0.002), chest, body.shoulder + 0.008, 0.043 * g),
        (thorax + chest @ (0.0, -0.090, 0.004), chest, 0.087 * body.chest * loose, 0.059 * g * loose),
        (points["waist"], lower, 0.073 * body.waist * loose, 0.050 * body.waist * loose),
        (points["pelvis"] + lower @ (0.0, 0.030, 0.0), lower, hip, 0.057 * g * loose),
        (points["pelvis"] + pelvis @ (0.0, -look.hem, 0.0), pelvis, hip * 1.02, 0.060 * g * loose),
    )
    rows = np.array(
        [[c for c, _, _, _ in sections], [f[:, 0] * a for _, f, a, _ in sections],
         [f[:, 2] * b for _, f, _, b in sections]]
    )  # fmt: skip
    rows *= (scale, -scale, scale)
    rows[0, :, :2] += origin
    return Torso(rows)


def draw_top(d: Drawing, torso: Torso, chances: np.ndarray) -> None:
    """The upper body's cloth with its pattern, its front or back, and folds; ``chances`` (64,) in 0 to 1."""
    canvas, look = d.canvas, d.look
    for above, below in pairwise(torso.outlines()):
        canvas.polygon(hull(np.concatenate((above, below))), look.top_colour, PART["torso"], convex=True)
    if d.scale > 40:
        _pattern(d, torso, chances)
        _front(d, torso)
    _shade(canvas, torso)
    if d.scale > 70:
        _folds(d, torso, chances)


def _shade(canvas: Canvas, torso: Torso) -> None:
    across, forward = torso.rows[1:, 2, :2]
    width = float(np.hypot(*across)) + 0.5 * float(np.hypot(*forward))
    for value, share, shift in _TONES:
        rings = torso.outlines(share, shift * width * np.array(canvas.light))
        for low, high in ((0, 3), (2, 4), (3, 6)):
            canvas.shading(hull(rings[low:high].reshape(-1, 2)), value, convex=True)


def _patch(
    d: Drawing, torso: Torso, levels: tuple[float, float], angles: tuple[float, float], colour: Colour
) -> None:
    """A four-sided piece of cloth on the surface."""
    around = np.linspace(*angles, 5)
    edge = torso.at(np.repeat(levels, 5), np.concatenate((around, around[::-1])))
    d.canvas.polygon(edge, colour)


def _pattern(d: Drawing, torso: Torso, chances: np.ndarray) -> None:
    look, second = d.look, d.look.second_colour
    if look.pattern in ("stripes", "check"):
        step = 0.32 + 0.3 * float(chances[0])
        levels = np.arange(1.1, LAST - 0.05, step)
        bands = torso.at(levels[:, None], torso.towards_viewer(3) + _HALF_TURN)
        for band in bands:
            d.canvas.line(band, second, d.scale * 0.022 * step)
    if look.pattern in ("pinstripes", "check"):
        seen = [angle for angle in _SPOKES.tolist() if torso.faces(angle)]
        for stripe in torso.at(np.linspace(1.0, LAST, 7), np.array(seen)[:, None]):
            d.canvas.line(stripe, mix(look.top_colour, second, 0.75), d.scale * 0.006)
    if look.pattern == "panel":
        middle = torso.towards_viewer(2)
        _patch(d, torso, (1.4, 2.5), (middle - 1.57, middle + 1.57), second)
    if look.pattern == "dots":
        levels, angles = 1.0 + (LAST - 1) * chances[:26], 2 * pi * (chances[26:52] - 0.5)
        for spot, angle in zip(torso.at(levels, angles), angles.tolist(), strict=True):
            if torso.faces(angle):
                d.canvas.polygon(spot + CIRCLE * (0.009 * d.scale), second, convex=True)
    if look.pattern == "print" and torso.faces(_FRONT):
        _patch(d, torso, (1.6, 2.5), (_FRONT - 0.62, _FRONT + 0.62), second)
        _patch(d, torso, (1.85, 2.2), (_FRONT - 0.3, _FRONT + 0.3), mix(second, look.top_colour, 0.7))


def _front(d: Drawing, torso: Torso) -> None:
    """What tells front from back: collar, buttons, an open jacket, a tie; a hood or a collar's back."""
    look, canvas, s = d.look, d.canvas, d.scale
    if not torso.faces(_FRONT):
        if look.top == "hoodie" and torso.faces(_BACK):
            _patch(d, torso, (0.0, 1.5), (_BACK - 0.9, _BACK + 0.9), darker(look.top_colour, 0.85))
        elif torso.faces(_BACK):
            collar = torso.at(0.15, np.linspace(_BACK - 1.2, _BACK + 1.2, 7))
            canvas.line(collar, darker(look.top_colour, 0.75), s * 0.010)
        return
    levels = np.linspace(1.0, LAST, 7)
    if look.top == "jacket":
        _patch(d, torso, (0.3, LAST), (_FRONT - 0.34, _FRONT + 0.34), look.second_colour)
        for edge in torso.at(levels, np.array(((_FRONT - 0.36,), (_FRONT + 0.36,)))):
            canvas.line(edge, darker(look.top_colour, 0.7), s * 0.012)
    elif look.top in ("shirt", "hoodie"):
        canvas.line(torso.at(levels, _FRONT), darker(look.top_colour, 0.72), s * 0.006)
    depth = {"shirt": 0.75, "tank top": 1.35, "jacket": 0.9}.get(look.top, 0.55)
    around = _FRONT + np.array((-1.15, -0.8, 0.0, 0.8, 1.15))
    opening = torso.at(depth * np.array((0.0, 0.35, 1.0, 0.35, 0.0)), around)
    canvas.polygon(opening, darker(look.skin, 0.96))
    trim = look.second_colour if look.top == "t-shirt" else darker(look.top_colour, 0.78)
    canvas.line(opening, trim, s * 0.010)
    if look.tie is not None:
        around = _FRONT + np.array((0.0, 0.09, 0.17, 0.0, -0.17, -0.09))
        canvas.polygon(torso.at(np.array((0.55, 0.75, 3.2, 3.5, 3.2, 0.75)), around), look.tie)


def _folds(d: Drawing, torso: Torso, chances: np.ndarray) -> None:
    middle, turn = 2.5 + 2.0 * chances[52:56, None], 2.4 * (chances[56:60, None] - 0.5)
    slope = np.where(chances[60:64, None] < 0.5, -1.0, 1.0)
    levels = middle + slope * np.array((-0.16, 0.0, 0.2))
    for fold in torso.at(levels, torso.towards_viewer(3) + turn + np.array((-0.25, 0.0, 0.25))):
        d.canvas.crease(fold, 166, d.scale * 0.008)


def draw_pelvis(d: Drawing) -> None:
    """The seat of the trousers, from below the waist to the crotch."""
    body, pelvis, lower = d.figure.body, d.figure.frames["pelvis"], d.figure.frames["lower"]
    wide, deep = (body.hip + 0.035 * body.girth) * d.scale, 0.058 * body.girth * d.scale
    rings = []
    for offset, frame, share in ((0.055, lower, 0.93), (0.0, pelvis, 1.0), (-0.045, pelvis, 0.86)):
        centre = d.flat["pelvis"] + (d.scale * offset) * frame[:2, 1] * (1, -1)
        x, z = frame[:2, 0] * (wide * share, -wide * share), frame[:2, 2] * (deep * share, -deep * share)
        rings.append(centre + CIRCLE[:, :1] * x + CIRCLE[:, 1:] * z)
    for above, below in pairwise(rings):
        outline = hull(np.concatenate((above, below)))
        d.canvas.polygon(outline, d.look.bottom_colour, PART["pelvis"], convex=True)
        d.canvas.shading(outline, 178, convex=True)


def draw_skirt(d: Drawing, torso: Torso) -> None:
    """A skirt from the waist to above the knees, around both thighs."""
    rings = list(torso.outlines()[3:])
    radius = d.scale * (0.058 if d.look.bottom == "skirt" else 0.066)
    thighs = [(d.flat[f"{side}_hip"], d.flat[f"{side}_knee"]) for side in SIDES]
    hem = [hip + 0.82 * (knee - hip) + CIRCLE * (radius, 0.6 * radius) for hip, knee in thighs]
    rings.append(np.concatenate(hem))
    for above, below in pairwise(rings):
        outline = hull(np.concatenate((above, below)))
        d.canvas.polygon(outline, d.look.bottom_colour, PART["pelvis"], convex=True)
        for value, share in ((160, 1.0), (196, 0.78), (212, 0.4)):
            d.canvas.shading(shrunk(outline, share), value, convex=True)
    left, right = torso.at(4.0, np.array((0.0, pi)))
    for share in (0.2, 0.4, 0.6, 0.8):
        low = (1 - share) * hem[0].mean(axis=0) + share * hem[1].mean(axis=0)
        d.canvas.crease(np.array(((1 - share) * left + share * right, low)), 170, d.scale * 0.008)


def draw_backpack(d: Drawing, torso: Torso) -> None:
    """A bag on the back; from the front its straps and what stands out at the sides."""
    colour, front = d.look.backpack, torso.faces(_FRONT)
    assert colour is not None
    if front:
        for strap in torso.at(np.linspace(0.75, 2.6, 5), np.array(((_FRONT - 0.85,), (_FRONT + 0.85,)))):
            d.canvas.line(strap, darker(colour, 0.8), d.scale * 0.022)
        return
    wide, deep = 0.72 * torso.rows[1, 2, :2], 1.1 * torso.rows[2, 2, :2]
    corners = [p + sx * wide - sz * deep for p in torso.at(np.array((1.1, 3.6)), _BACK)
               for sx in (-1, 1) for sz in (0.0, 1.0)]  # fmt: skip
    outline = hull(np.array(corners))
    d.canvas.polygon(outline, colour, PART["backpack"], convex=True)
    d.canvas.line(outline, darker(colour, 0.7), d.scale * 0.008, closed=True)
    d.canvas.shading(outline, 184, convex=True)
    d.canvas.shading(shrunk(outline, 0.6), 212, convex=True)
