"""Draw a posed, dressed person: limbs as tapered shapes, the trunk as a stack of ellipses, back to front."""

from collections.abc import Callable
from dataclasses import dataclass, field

import cv2
import numpy as np

from mspn.synth.canvas import CIRCLE, Canvas, Colour, darker, sweep
from mspn.synth.head import draw_back_hair, draw_head, draw_hair_over_back
from mspn.synth.look import Look
from mspn.synth.parts import PART
from mspn.synth.pose import SIDES, Figure
from mspn.synth.torso import Torso, draw_backpack, draw_pelvis, draw_skirt, draw_top, torso_of

# Radii along each limb at ``canvas.STATIONS``, in standing heights.
PROFILES = {
    "thigh": (0.054, 0.055, 0.049, 0.042, 0.036),
    "shin": (0.035, 0.040, 0.036, 0.027, 0.021),
    "upper_arm": (0.034, 0.033, 0.030, 0.027, 0.025),
    "forearm": (0.025, 0.028, 0.024, 0.019, 0.016),
    "hand": (0.015, 0.021, 0.022, 0.018, 0.012),
    "thumb": (0.009, 0.009, 0.008, 0.008, 0.006),
    "foot": (0.022, 0.026, 0.027, 0.027, 0.020),
    "neck": (0.034, 0.030, 0.029, 0.029, 0.030),
}
_BONES = {
    "thigh": ("hip", "knee"), "shin": ("knee", "ankle"), "foot": ("heel", "toe"),
    "upper_arm": ("shoulder", "elbow"), "forearm": ("elbow", "wrist"), "hand": ("wrist", "hand"),
}  # fmt: skip
# A limb's depth is its middle's plus this: cloth hangs over shoes, a top over the thighs, arms over the trunk.
_BIAS = {"thigh": -0.03, "shin": -0.028, "foot": -0.05, "upper_arm": 0.02, "forearm": 0.024}
# Shade of a limb's rim, body and lit streak, each with its share of the width and its shift towards the light.
_TONES = ((152, 1.0, 0.0), (190, 0.74, 0.16), (222, 0.40, 0.26))


@dataclass
class Drawing:
    """A figure on the picture: 2D points in pixels, and the strokes that are still to be drawn."""

    canvas: Canvas
    figure: Figure
    look: Look
    scale: float  # pixels per standing height
    flat: dict[str, np.ndarray]
    strokes: list[tuple[np.ndarray, np.ndarray, np.ndarray, Colour, int]] = field(default_factory=list)
    items: list[tuple[float, Callable[[], None]]] = field(default_factory=list)


def project(figure: Figure, origin: tuple[float, float], scale: float) -> dict[str, np.ndarray]:
    """Every point of the figure in the picture, (2,) pixels; the hips' middle falls on ``origin``."""
    names = list(figure.points)
    places = np.stack([figure.points[name] for name in names])[:, :2] * (scale, -scale) + origin
    return dict(zip(names, places, strict=True))


def draw_person(
    canvas: Canvas, figure: Figure, look: Look, origin: tuple[float, float], scale: float,
    rng: np.random.Generator,
) -> None:  # fmt: skip
    """Draw the figure as the person ``canvas.who``, shaded; its pixels go to ``canvas.owner``."""
    d = Drawing(canvas, figure, look, scale, project(figure, origin, scale))
    torso = torso_of(figure, look, np.asarray(origin), scale)
    _limbs(d)
    _trunk(d, torso, rng)
    for _, draw in sorted(d.items, key=lambda item: item[0]):
        draw()
    canvas.apply_shade(_box(d), softness=0.008 * scale)


def _box(d: Drawing) -> tuple[int, int, int, int]:
    """x0, y0, x1, y1 around everything drawn, within the picture."""
    points = np.stack(list(d.flat.values()))
    margin = 0.16 * d.scale + 2
    width, height = d.canvas.size
    low = np.clip(points.min(axis=0) - margin, 0, (width, height))
    high = np.clip(points.max(axis=0) + margin, 0, (width, height))
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def _radii(kind: str, grow: float, until: float = 1.0) -> np.ndarray:
    """(5,) radii of the limb's first part, up to ``until`` of its length."""
    profile = np.array(PROFILES[kind])
    if until < 1.0:
        profile = np.interp(np.linspace(0.0, 4.0 * until, 5), np.arange(5.0), profile)
    return profile * grow


def _stroke(d: Drawing, side: str, kind: str, colour: Colour, grow: float, until: float = 1.0) -> int:
    """Plan one limb, or its first part, and return the stroke's number."""
    first, last = (f"{side}_{joint}" for joint in _BONES[kind])
    start, end = d.flat[first], d.flat[last]
    d.strokes.append(
        (
            start,
            start + until * (end - start),
            d.scale * _radii(kind, grow, until),
            colour,
            PART[f"{side}_{kind}"],
        )
    )
    return len(d.strokes) - 1


def _limbs(d: Drawing) -> None:
    """Plan arms and legs with what covers them, then make all outlines at once."""
    look, z = d.look, {name: float(point[2]) for name, point in d.figure.points.items()}
    girth = d.figure.body.girth
    plans: list[tuple[float, list[int]]] = []
    for side in SIDES:
        for upper, lower, cover, colour, loose in (
            ("upper_arm", "forearm", look.sleeve, look.top_colour, 1.12),
            ("thigh", "shin", look.leg, look.bottom_colour, look.looseness),
        ):
            for kind, covered in ((upper, min(cover, 1.0)), (lower, min(max(cover - 1.0, 0.0), 1.0))):
                strokes = []
                if kind == "shin" and covered < 1.0:
                    pass
                if covered < 0.97:
                    strokes.append(_stroke(d, side, kind, look.skin, girth))
                if covered > 0.05:
                    until = min(covered, 0.9 if kind == "forearm" else 0.97)
                    strokes.append(
                        _stroke(d, side, kind, colour, girth * loose + (0.04 if until < 0.9 else 0), until)
                    )
                if kind == "forearm":
                    if covered > 0.9:
                        strokes.insert(0, _stroke(d, side, kind, look.skin, girth))
                    strokes += [_stroke(d, side, "hand", look.skin, 1.0), _thumb(d, side)]
                first, last = _BONES[kind]
                depth = 0.5 * (z[f"{side}_{first}"] + z[f"{side}_{last}"]) + _BIAS[kind]
                plans.append((depth, strokes))
        plans.append((z[f"{side}_ankle"] + _BIAS["foot"], [_stroke(d, side, "foot", look.shoes, 1.0)]))
    starts, ends, radii = (np.stack([stroke[k] for stroke in d.strokes]) for k in range(3))
    light = np.array(d.canvas.light)
    layers = [
        sweep(starts + shift * radii.mean(1, keepdims=True) * light, ends + shift * radii.mean(1, keepdims=True) * light,
              radii * share)
        for _, share, shift in _TONES
    ]  # fmt: skip
    for depth, numbers in plans:
        d.items.append((depth, lambda numbers=numbers: _draw_strokes(d, layers, numbers)))  # type: ignore[misc]


def _thumb(d: Drawing, side: str) -> int:
    radii = d.scale * np.array(PROFILES["thumb"])
    start = d.flat[f"{side}_wrist"] + 0.3 * (d.flat[f"{side}_hand"] - d.flat[f"{side}_wrist"])
    d.strokes.append((start, d.flat[f"{side}_thumb"], radii, d.look.skin, PART[f"{side}_hand"]))
    return len(d.strokes) - 1


def _draw_strokes(d: Drawing, layers: list[np.ndarray], numbers: list[int]) -> None:
    for number in numbers:
        *_, colour, part = d.strokes[number]
        d.canvas.polygon(layers[0][number], colour, part)
        for (value, _, _), outline in zip(_TONES, layers, strict=True):
            d.canvas.shading(outline[number], value)
        if part in (PART["left_foot"], PART["right_foot"]) and d.scale > 90:
            sole = (
                layers[0][number][8:13]
                if layers[0][number][2, 1] < layers[0][number][10, 1]
                else layers[0][number][:5]
            )
            d.canvas.line(sole, darker((235, 238, 240), 0.95), d.scale * 0.008)


def _trunk(d: Drawing, torso: Torso, rng: np.random.Generator) -> None:
    """Plan trunk, neck, head, hair and what the person wears there."""
    points, canvas, look = d.figure.points, d.canvas, d.look
    middle = 0.5 * float(points["thorax"][2] + points["pelvis"][2])
    facing = float(d.figure.frames["chest"][2, 2])
    seed = rng.integers(1 << 30)
    if look.bottom in ("skirt", "dress"):
        low = max(float(points[f"{side}_knee"][2] + points[f"{side}_hip"][2]) / 2 - 0.029 for side in SIDES)
        depth = max(middle - 0.02, low) if low < middle + 0.1 else low
        d.items.append((depth, lambda: draw_skirt(d, torso)))
    else:
        d.items.append((middle - 0.02, lambda: draw_pelvis(d, torso)))
    d.items.append((middle - 0.011, lambda: _draw_neck(d)))
    d.items.append((middle, lambda: draw_top(d, torso, np.random.default_rng(seed))))
    if look.backpack is not None:
        depth = middle + (0.03 if facing < 0 else -0.04)
        d.items.append((depth, lambda: draw_backpack(d, torso)))
    head = float(points["head"][2])
    d.items.append((head + 0.03, lambda: draw_head(d)))
    if float(d.figure.frames["head"][2, 2]) < 0:
        d.items.append((head + 0.04, lambda: draw_hair_over_back(d)))
    else:
        d.items.append((middle - 0.012, lambda: draw_back_hair(d)))


def _draw_neck(d: Drawing) -> None:
    start, end = d.flat["thorax"], d.flat["upper_neck"] + 0.3 * (d.flat["head"] - d.flat["upper_neck"])
    radii = d.scale * np.array(PROFILES["neck"]) * (0.6 + 0.4 * d.figure.body.girth)
    outline = sweep(start[None], end[None], radii[None])[0]
    d.canvas.polygon(outline, d.look.skin, PART["neck"])
    d.canvas.shading(outline, 162)  # the chin's shadow
    inner = sweep(start[None], (0.6 * start + 0.4 * end)[None], 0.7 * radii[None])[0]
    d.canvas.shading(inner, 196)


__all__ = ["CIRCLE", "Drawing", "cv2", "draw_person", "project"]
