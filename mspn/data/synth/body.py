"""Draw a posed, dressed person: limbs as tapered shapes, the trunk as a stack of ellipses, back to front."""

import numpy as np

from mspn.data.synth.canvas import Canvas, Colour, darker, fixed_point, sweep
from mspn.data.synth.drawing import Drawing, Stroke, project
from mspn.data.synth.head import draw_hanging_hair, draw_head
from mspn.data.synth.look import Look
from mspn.data.synth.parts import PART
from mspn.data.synth.pose import SIDES, Figure
from mspn.data.synth.torso import Torso, draw_backpack, draw_pelvis, draw_skirt, draw_top, torso_of

# Radii along each limb at ``canvas.STATIONS``, in standing heights.
PROFILES = {
    "thigh": (0.054, 0.055, 0.049, 0.042, 0.036),
    "shin": (0.036, 0.040, 0.036, 0.027, 0.021),
    "upper_arm": (0.033, 0.033, 0.030, 0.027, 0.025),
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
# A limb's depth is its middle's plus this: cloth hangs over shoes, a top over thighs, arms over the trunk.
_BIAS = {"thigh": -0.03, "shin": -0.028, "foot": -0.05, "upper_arm": 0.02, "forearm": 0.024}
# Shade of a limb's rim, body and lit streak: value, share of the width, shift towards the light in radii.
# The inner ones reach to the ends, so that a joint shows no rim across the limb.
_TONES = ((150, 1.0, 0.0), (190, 0.74, 0.16), (220, 0.40, 0.28))
_BLUNT = 0.25  # how round the end of a sleeve or a trouser leg is


def draw_person(
    canvas: Canvas, figure: Figure, look: Look, origin: tuple[float, float], scale: float,
    rng: np.random.Generator,
) -> Drawing:  # fmt: skip
    """Draw the figure as the person ``canvas.who``, shaded; its pixels go to ``canvas.owner``."""
    d = Drawing(canvas, figure, look, scale, project(figure, origin, scale))
    _limbs(d)
    _trunk(d, torso_of(figure, look, origin, scale), rng)
    for _, draw in sorted(d.items, key=lambda item: item[0]):
        draw()
    canvas.apply_shade(_box(d), softness=0.008 * scale)
    return d


def _box(d: Drawing) -> tuple[int, int, int, int]:
    """x0, y0, x1, y1 around everything drawn, within the picture."""
    points = np.array(list(d.flat.values()))
    margin = 0.16 * d.scale + 2
    size = np.array(d.canvas.size)
    low = np.minimum(np.maximum(points.min(axis=0) - margin, 0), size)
    high = np.minimum(np.maximum(points.max(axis=0) + margin, 0), size)
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def _radii(kind: str, grow: float, until: float = 1.0) -> np.ndarray:
    """(5,) radii of the limb's first part, up to ``until`` of its length."""
    profile = np.array(PROFILES[kind])
    if until < 1.0:
        profile = np.interp(np.arange(5.0) * until, np.arange(5.0), profile)
    return profile * grow


def _stroke(
    d: Drawing, side: str, kind: str, colour: Colour, grow: float, until: float = 1.0, bulge: float = 1.0
) -> int:
    """Plan one limb, or its first part, and return the stroke's number."""
    first, last = _BONES[kind]
    start, end = d.flat[f"{side}_{first}"], d.flat[f"{side}_{last}"]
    if until < 1.0:
        end = start + until * (end - start)
    radii = d.scale * _radii(kind, grow, until)
    d.strokes.append(Stroke(start, end, radii, colour, PART[f"{side}_{kind}"], bulge))
    return len(d.strokes) - 1


def _limb(d: Drawing, side: str, kind: str, covered: float, cloth: Colour, loose: float) -> list[int]:
    """Plan a limb with the cloth that covers its first part; a forearm comes with its hand."""
    girth, numbers = d.figure.body.girth, []
    if covered < 0.97 or kind == "forearm":
        numbers.append(_stroke(d, side, kind, d.look.skin, girth))
    if kind == "forearm":
        hand = [_stroke(d, side, "hand", d.look.skin, 1.0), _thumb(d, side)]
        numbers += hand
    if covered > 0.05:
        until = min(covered, 0.93 if kind == "forearm" else 0.98)
        ends_here = covered < 0.97 or kind in ("forearm", "shin")
        bulge = _BLUNT if ends_here else 1.0
        numbers.append(_stroke(d, side, kind, cloth, girth * loose, until, bulge))
    return numbers


def _limbs(d: Drawing) -> None:
    """Plan arms and legs with what covers them, then make all outlines at once."""
    look, z = d.look, {name: float(point[2]) for name, point in d.figure.points.items()}
    plans: list[tuple[float, list[int]]] = []
    for side in SIDES:
        for upper, lower, cover, cloth, loose in (
            ("upper_arm", "forearm", look.sleeve, look.top_colour, 1.13 if look.sleeve > 1 else 1.2),
            ("thigh", "shin", look.leg, look.bottom_colour, look.looseness),
        ):
            for kind, covered in ((upper, min(cover, 1.0)), (lower, min(max(cover - 1.0, 0.0), 1.0))):
                first, last = _BONES[kind]
                depth = 0.5 * (z[f"{side}_{first}"] + z[f"{side}_{last}"]) + _BIAS[kind]
                plans.append((depth, _limb(d, side, kind, covered, cloth, loose)))
        plans.append((z[f"{side}_ankle"] + _BIAS["foot"], [_stroke(d, side, "foot", look.shoes, 1.0)]))
    middle = 0.5 * (z["thorax"] + z["pelvis"])
    plans.append((middle - 0.011, [_neck(d)]))
    starts = np.array([stroke.start for stroke in d.strokes])
    ends = np.array([stroke.end for stroke in d.strokes])
    radii = np.array([stroke.radii for stroke in d.strokes])
    bulge = np.array([stroke.bulge for stroke in d.strokes])
    towards = radii.mean(axis=1, keepdims=True) * d.canvas.light
    count = len(_TONES)
    share = np.repeat([tone[1] for tone in _TONES], len(starts))[:, None]
    shift = np.repeat([tone[2] for tone in _TONES], len(starts))[:, None] * np.tile(towards, (count, 1))
    starts, ends = np.tile(starts, (count, 1)) + shift, np.tile(ends, (count, 1)) + shift
    outlines = sweep(
        starts, ends, np.tile(radii, (count, 1)) * share, np.tile(bulge, count), 1.0 / share - 1.0
    )
    layers = fixed_point(outlines).reshape(count, -1, *outlines.shape[1:])  # (tones, strokes, 16, 2)
    for depth, numbers in plans:
        d.items.append((depth, lambda numbers=numbers: _draw_strokes(d, layers, numbers)))  # type: ignore[misc]


def _thumb(d: Drawing, side: str) -> int:
    wrist = d.flat[f"{side}_wrist"]
    start = wrist + 0.3 * (d.flat[f"{side}_hand"] - wrist)
    radii = d.scale * np.array(PROFILES["thumb"])
    d.strokes.append(Stroke(start, d.flat[f"{side}_thumb"], radii, d.look.skin, PART[f"{side}_hand"]))
    return len(d.strokes) - 1


def _neck(d: Drawing) -> int:
    radii = d.scale * (0.6 + 0.4 * d.figure.body.girth) * np.array(PROFILES["neck"])
    end = 0.7 * d.flat["upper_neck"] + 0.3 * d.flat["head"]
    d.strokes.append(Stroke(d.flat["thorax"], end, radii, darker(d.look.skin, 0.94), PART["neck"]))
    return len(d.strokes) - 1


def _draw_strokes(d: Drawing, layers: np.ndarray, numbers: list[int]) -> None:
    for number in numbers:
        stroke = d.strokes[number]
        outline = layers[0][number]
        d.canvas.polygon(outline, stroke.colour, stroke.part)
        for (value, _, _), layer in zip(_TONES, layers, strict=True):
            d.canvas.shading(layer[number], value, convex=True)  # near enough, as it is blurred
        if stroke.part in (PART["left_foot"], PART["right_foot"]) and d.scale > 90:
            sole = outline[8:13] if outline[2, 1] < outline[10, 1] else outline[:5]
            d.canvas.line(sole, d.look.sole, 0.008 * d.scale)
        elif stroke.bulge < 1.0 and d.scale > 60:
            d.canvas.line(outline[4:9], darker(stroke.colour, 0.8), 0.006 * d.scale)


def _trunk(d: Drawing, torso: Torso, rng: np.random.Generator) -> None:
    """Plan trunk, head, hair and what the person wears there."""
    points, look = d.figure.points, d.look
    middle = 0.5 * float(points["thorax"][2] + points["pelvis"][2])
    if look.bottom in ("skirt", "dress"):
        low = max(float(points[f"{side}_knee"][2] + points[f"{side}_hip"][2]) / 2 for side in SIDES) - 0.029
        depth = max(middle - 0.02, low) if low < middle + 0.1 else low
        d.items.append((depth, lambda: draw_skirt(d, torso)))
    else:
        d.items.append((middle - 0.02, lambda: draw_pelvis(d)))
    chances = rng.random(64)
    d.items.append((middle, lambda: draw_top(d, torso, chances)))
    if look.backpack is not None:
        behind = float(d.figure.frames["chest"][2, 2]) < 0
        d.items.append((middle + (0.03 if behind else -0.04), lambda: draw_backpack(d, torso)))
    head = float(points["head"][2])
    d.items.append((head + 0.03, lambda: draw_head(d)))
    away = float(d.figure.frames["head"][2, 2]) < 0
    d.items.append((head + 0.04 if away else middle - 0.012, lambda: draw_hanging_hair(d, away)))
