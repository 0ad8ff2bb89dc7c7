"""The trunk: a stack of ellipses from the neck to the hem, its pattern, and what hangs on it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from mspn.synth.canvas import CIRCLE, Canvas, Colour, darker, mix
from mspn.synth.look import Look
from mspn.synth.parts import PART
from mspn.synth.pose import SIDES, Figure

if TYPE_CHECKING:
    from mspn.synth.body import Drawing

_FRONT, _BACK = np.pi / 2, -np.pi / 2  # angles around a section, from the person's left
_TONES = ((156, 1.0, 0.0), (192, 0.80, 0.12), (218, 0.48, 0.26))


@dataclass(frozen=True)
class Torso:
    """m sections from the top down, in the picture (pixels; third coordinate: depth)."""

    centres: np.ndarray  # (m, 3)
    across: np.ndarray  # (m, 3) half axis to the person's left
    forward: np.ndarray  # (m, 3) half axis to its front

    def at(self, level: np.ndarray | float, angle: np.ndarray | float) -> np.ndarray:
        """(..., 3) points of the surface; ``level`` from 0 (neck) to m - 1 (hem)."""
        level, angle = np.broadcast_arrays(np.asarray(level, float), np.asarray(angle, float))
        low = np.clip(np.floor(level).astype(int), 0, len(self.centres) - 2)
        share = (level - low)[..., None]
        centre, across, forward = (
            (1 - share) * rows[low] + share * rows[low + 1]
            for rows in (self.centres, self.across, self.forward)
        )
        return centre + np.cos(angle)[..., None] * across + np.sin(angle)[..., None] * forward

    def towards_viewer(self, level: float) -> float:
        """The angle at which the section is nearest to the viewer."""
        row = min(round(level), len(self.centres) - 1)
        return float(np.arctan2(self.forward[row, 2], self.across[row, 2]))

    def faces(self, angle: float) -> bool:
        """Whether the chest's surface at ``angle`` looks at the viewer."""
        a, f = self.across[2], self.forward[2]
        return bool(
            np.cos(angle) * a[2] / np.linalg.norm(a) + np.sin(angle) * f[2] / np.linalg.norm(f) > 0.15
        )

    def outlines(self, share: float = 1.0, shift: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
        """(m, 16, 2) the sections as outlines, shrunk to ``share``."""
        x, y = CIRCLE[None, :, :1], CIRCLE[None, :, 1:]
        ring = self.centres[:, None] + share * (x * self.across[:, None] + y * self.forward[:, None])
        return ring[..., :2] + shift


def torso_of(figure: Figure, look: Look, origin: np.ndarray, scale: float) -> Torso:
    """The sections of the clothed trunk of a figure."""
    body, points, frames = figure.body, figure.points, figure.frames
    chest, lower, pelvis = frames["chest"], frames["lower"], frames["pelvis"]
    g, loose = body.girth, 1.0 if look.top in ("tank top", "t-shirt") else 1.06
    if look.top in ("jacket", "hoodie"):
        loose = 1.13
    hip = body.hip + 0.036 * g
    rows = [
        (points["thorax"] + chest @ (0.0, 0.014, -0.002), chest, 0.037 * g, 0.034 * g),
        (points["thorax"] + chest @ (0.0, -0.020, -0.002), chest, body.shoulder + 0.008, 0.043 * g),
        (
            points["thorax"] + chest @ (0.0, -0.090, 0.004),
            chest,
            0.087 * body.chest * loose,
            0.059 * g * loose,
        ),
        (points["waist"], lower, 0.073 * body.waist * loose, 0.050 * body.waist * loose),
        (points["pelvis"] + lower @ (0.0, 0.030, 0.0), lower, hip * loose, 0.057 * g * loose),
        (points["pelvis"] + pelvis @ (0.0, -look.hem, 0.0), pelvis, hip * loose * 1.02, 0.060 * g * loose),
    ]
    turn = scale * np.array((1.0, -1.0, 1.0))
    centres = np.stack([row[0] for row in rows]) * turn + (origin[0], origin[1], 0.0)
    across = np.stack([row[1][:, 0] * row[2] for row in rows]) * turn
    forward = np.stack([row[1][:, 2] * row[3] for row in rows]) * turn
    return Torso(centres, across, forward)


def _fill(canvas: Canvas, rings: list[np.ndarray], colour: Colour, part: int) -> None:
    """Fill the hulls of neighbouring rings."""
    for above, below in zip(rings, rings[1:], strict=False):
        hull = cv2.convexHull(np.concatenate((above, below)).astype(np.float32))[:, 0]
        canvas.polygon(hull, colour, part, convex=True)


def _shade(canvas: Canvas, torso: Torso, rows: slice) -> None:
    light = np.array(canvas.light)
    width = float(np.hypot(*torso.across[2, :2])) + 0.5 * float(np.hypot(*torso.forward[2, :2]))
    for value, share, shift in _TONES:
        rings = torso.outlines(share, tuple(shift * width * light))[rows]
        for above, below in zip(rings, rings[1:], strict=False):
            hull = cv2.convexHull(np.concatenate((above, below)).astype(np.float32))[:, 0]
            canvas.shading(hull, value, convex=True)


def draw_top(d: "Drawing", torso: Torso, rng: np.random.Generator) -> None:
    """The upper body's cloth with its pattern, its front or back, and folds."""
    canvas, look = d.canvas, d.look
    _fill(canvas, list(torso.outlines()), look.top_colour, PART["torso"])
    _pattern(d, torso, rng)
    _front(d, torso)
    _shade(canvas, torso, slice(0, None))
    if d.scale > 70:
        _folds(d, torso, rng)


def _patch(
    d: "Drawing", torso: Torso, levels: tuple[float, float], angles: tuple[float, float], colour: Colour
) -> None:
    """A four-sided piece of cloth on the surface."""
    low, high = angles
    around = np.linspace(low, high, 5)
    edge = np.concatenate((torso.at(levels[0], around), torso.at(levels[1], around[::-1])))
    d.canvas.polygon(edge[:, :2], colour)


def _half_turn(torso: Torso, level: float) -> np.ndarray:
    return torso.towards_viewer(level) + np.linspace(-np.pi / 2, np.pi / 2, 9)


def _pattern(d: "Drawing", torso: Torso, rng: np.random.Generator) -> None:
    look, last = d.look, len(torso.centres) - 1
    second = look.second_colour
    if look.pattern in ("stripes", "check"):
        step = rng.uniform(0.32, 0.62)
        for level in np.arange(1.1, last - 0.05, step).tolist():
            d.canvas.line(torso.at(level, _half_turn(torso, level))[:, :2], second, d.scale * 0.022 * step)
    if look.pattern in ("pinstripes", "check"):
        levels = np.linspace(1.0, last, 9)
        for angle in np.linspace(0, 2 * np.pi, 18, endpoint=False).tolist():
            if torso.faces(angle):
                d.canvas.line(
                    torso.at(levels, angle)[:, :2], mix(look.top_colour, second, 0.75), d.scale * 0.006
                )
    if look.pattern == "panel":
        _patch(d, torso, (1.4, 2.5), (torso.towards_viewer(2) - 1.57, torso.towards_viewer(2) + 1.57), second)
    if look.pattern == "dots":
        for level, angle in zip(
            rng.uniform(1.0, last, 26).tolist(), rng.uniform(-np.pi, np.pi, 26), strict=True
        ):
            if torso.faces(float(angle)):
                spot = torso.at(level, angle)[:2]
                d.canvas.polygon(spot + CIRCLE * (0.009 * d.scale), second, convex=True)
    if look.pattern == "print" and torso.faces(_FRONT):
        _patch(d, torso, (1.6, 2.5), (_FRONT - 0.62, _FRONT + 0.62), second)
        _patch(d, torso, (1.85, 2.2), (_FRONT - 0.3, _FRONT + 0.3), mix(second, look.top_colour, 0.7))


def _front(d: "Drawing", torso: Torso) -> None:
    """Collar, buttons, an open jacket, a tie: seen from the front only."""
    look, last = d.look, len(torso.centres) - 1
    if not torso.faces(_FRONT):
        if look.top == "hoodie" and torso.faces(_BACK):
            _patch(d, torso, (0.0, 1.5), (_BACK - 0.9, _BACK + 0.9), darker(look.top_colour, 0.85))
        elif torso.faces(_BACK):
            collar = torso.at(np.full(7, 0.15), np.linspace(_BACK - 1.2, _BACK + 1.2, 7))
            d.canvas.line(collar[:, :2], darker(look.top_colour, 0.75), d.scale * 0.010)
        return
    levels = np.linspace(1.0, last, 8)
    if look.top == "jacket":
        _patch(d, torso, (0.3, last), (_FRONT - 0.34, _FRONT + 0.34), look.second_colour)
        for angle in (_FRONT - 0.36, _FRONT + 0.36):
            d.canvas.line(torso.at(levels, angle)[:, :2], darker(look.top_colour, 0.7), d.scale * 0.012)
    elif look.top in ("shirt", "hoodie"):
        d.canvas.line(torso.at(levels, _FRONT)[:, :2], darker(look.top_colour, 0.72), d.scale * 0.006)
    depth = {"shirt": 0.75, "tank top": 1.35, "jacket": 0.9}.get(look.top, 0.55)
    neck = np.array((_FRONT - 1.15, _FRONT - 0.8, _FRONT, _FRONT + 0.8, _FRONT + 1.15))
    levels = np.array((0.0, 0.35 * depth, depth, 0.35 * depth, 0.0))
    opening = torso.at(levels, neck)[:, :2]
    d.canvas.polygon(opening, darker(look.skin, 0.96))
    trim = look.second_colour if look.top == "t-shirt" else darker(look.top_colour, 0.78)
    d.canvas.line(opening, trim, d.scale * 0.010)
    if look.tie is not None:
        knot = torso.at(np.array((0.55, 0.75, 3.2, 3.5, 3.2, 0.75)),
                        _FRONT + np.array((0.0, 0.09, 0.17, 0.0, -0.17, -0.09)))  # fmt: skip
        d.canvas.polygon(knot[:, :2], look.tie)


def _folds(d: "Drawing", torso: Torso, rng: np.random.Generator) -> None:
    for _ in range(4):
        level, toward = rng.uniform(2.4, 4.6), torso.towards_viewer(3)
        angles = toward + rng.uniform(-1.2, 1.2) + np.array((-0.25, 0.0, 0.25))
        levels = level + np.array((-0.16, 0.0, 0.2)) * rng.choice((-1.0, 1.0))
        d.canvas.crease(torso.at(np.clip(levels, 0, 5), angles)[:, :2], 168, d.scale * 0.008)


def draw_pelvis(d: "Drawing", torso: Torso) -> None:
    """The seat of the trousers, from below the waist to the crotch."""
    body, pelvis, lower = d.figure.body, d.figure.frames["pelvis"], d.figure.frames["lower"]
    wide, deep = body.hip + 0.035 * body.girth, 0.058 * body.girth
    rings = []
    for offset, frame, share in ((0.055, lower, 0.93), (0.0, pelvis, 1.0), (-0.045, pelvis, 0.86)):
        centre = d.flat["pelvis"] + d.scale * (frame @ (0.0, offset, 0.0))[:2] * (1, -1)
        x, z = frame[:2, 0] * (1, -1) * wide * share, frame[:2, 2] * (1, -1) * deep * share
        rings.append(centre + d.scale * (CIRCLE[:, :1] * x + CIRCLE[:, 1:] * z))
    colour = d.look.bottom_colour
    _fill(d.canvas, rings, colour, PART["pelvis"])
    for above, below in zip(rings, rings[1:], strict=False):
        hull = cv2.convexHull(np.concatenate((above, below)).astype(np.float32))[:, 0]
        d.canvas.shading(hull, 178, convex=True)


def draw_skirt(d: "Drawing", torso: Torso) -> None:
    """A skirt from the waist to above the knees, around both thighs."""
    rings = list(torso.outlines()[3:])
    radius = d.scale * (0.062 if d.look.bottom == "skirt" else 0.07)
    hem = [
        d.flat[f"{side}_hip"]
        + 0.82 * (d.flat[f"{side}_knee"] - d.flat[f"{side}_hip"])
        + CIRCLE * (radius, 0.6 * radius)
        for side in SIDES
    ]
    rings.append(np.concatenate(hem))
    _fill(d.canvas, rings, d.look.bottom_colour, PART["pelvis"])
    for above, below in zip(rings, rings[1:], strict=False):
        both = np.concatenate((above, below)).astype(np.float32)
        middle = both.mean(axis=0)
        for value, share in ((160, 1.0), (196, 0.78), (214, 0.4)):
            hull = cv2.convexHull(middle + share * (both - middle))[:, 0]
            d.canvas.shading(hull, value, convex=True)
    for share in (0.25, 0.5, 0.75):
        top = (1 - share) * torso.at(4.0, 0.0)[:2] + share * torso.at(4.0, np.pi)[:2]
        bottom = (1 - share) * hem[0].mean(axis=0) + share * hem[1].mean(axis=0)
        d.canvas.crease(np.stack((top, bottom)), 172, d.scale * 0.008)


def draw_backpack(d: "Drawing", torso: Torso) -> None:
    """A bag on the back; from the front just its straps."""
    assert d.look.backpack is not None
    colour = d.look.backpack
    if torso.faces(_FRONT):
        for angle in (_FRONT - 0.85, _FRONT + 0.85):
            levels = np.linspace(0.75, 2.6, 5)
            d.canvas.line(torso.at(levels, angle)[:, :2], darker(colour, 0.8), d.scale * 0.022)
    low, high = torso.at(1.1, _BACK), torso.at(3.6, _BACK)
    wide = 0.72 * torso.across[2]
    deep = 1.1 * torso.forward[2]
    corners = [p + sx * wide - sz * deep for p in (low, high) for sx in (-1, 1) for sz in (0.0, 1.0)]
    hull = cv2.convexHull(np.stack(corners)[:, :2].astype(np.float32))[:, 0]
    if not torso.faces(_FRONT):
        d.canvas.polygon(hull, colour, PART["backpack"], convex=True)
        d.canvas.line(hull, darker(colour, 0.7), d.scale * 0.008, closed=True)
        d.canvas.shading(hull, 190, convex=True)
        middle = hull.mean(axis=0)
        d.canvas.shading(middle + 0.6 * (hull - middle), 212, convex=True)
