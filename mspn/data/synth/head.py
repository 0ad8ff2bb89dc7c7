"""Heads: a skull and a jaw as ellipsoids, a face on their front, hair on the rest."""

import numpy as np

from mspn.data.synth.canvas import CIRCLE, Colour, darker, ellipse, hull, mix, shrunk, sweep
from mspn.data.synth.drawing import Drawing
from mspn.data.synth.parts import PART
from mspn.data.synth.pose import SIDES

# Centres and half axes in the head's axes, in standing heights of an adult.
_SKULL, _SKULL_AXES = np.array((0.0, 0.014, -0.003)), np.array((0.0425, 0.057, 0.053))
_JAW, _JAW_AXES = np.array((0.0, -0.024, 0.015)), np.array((0.034, 0.039, 0.036))
# How far hair stands off the skull.
_VOLUME = {"short": 1.08, "cropped": 1.03, "long": 1.10, "bob": 1.14, "ponytail": 1.05, "bun": 1.05,
           "curly": 1.26, "bald": 1.0, "cap": 1.08}  # fmt: skip
# The hairline's height on the forehead, and how far back the face reaches, both on the unit sphere.
_HAIRLINE = {"curly": 0.42, "cap": 0.36, "bald": 1.0, "cropped": 0.6}
_FACE_BACK = {"long": 0.22, "bob": 0.3, "curly": 0.25}
_HIDES_EARS = ("long", "bob", "curly")


def _directions(count: int) -> np.ndarray:
    """(count, 3) directions spread evenly over the sphere (a golden spiral)."""
    i = np.arange(count) + 0.5
    y = 1 - 2 * i / count
    turn, r = np.pi * (1 + 5**0.5) * i, np.sqrt(1 - y * y)
    return np.stack((r * np.cos(turn), y, r * np.sin(turn)), axis=1)


_ON_SPHERE = _directions(220)


def outline_of(d: Drawing, centre: np.ndarray, axes: np.ndarray, grow: float = 1.0) -> np.ndarray:
    """(20, 2) outline of an ellipsoid of the head in the picture, pixels."""
    frame, size = d.figure.frames["head"], d.scale * d.figure.body.head
    half = frame[:2] * (axes * (grow * size))
    (a, b), (_, c) = (half @ half.T).tolist()
    root = a**0.5  # the Cholesky factor of the covariance takes the unit circle to the outline
    x, y = CIRCLE[:, 0] * root, CIRCLE[:, 0] * (b / root) + CIRCLE[:, 1] * max(c - b * b / a, 0.0) ** 0.5
    middle = d.flat["head"] + size * (frame[:2] @ centre) * (1, -1)
    return np.stack((middle[0] + x, middle[1] - y), axis=1)


def head_outline(d: Drawing) -> np.ndarray:
    """(40, 2) points around skull and jaw, pixels."""
    return np.concatenate((outline_of(d, _SKULL, _SKULL_AXES), outline_of(d, _JAW, _JAW_AXES)))


def _spot(d: Drawing, *point: float) -> np.ndarray:
    """(2,) a point of the head in the picture."""
    out: np.ndarray = _spots(d, (point,))[0]
    return out


def _spots(d: Drawing, points: object) -> np.ndarray:
    """(n, 2) points of the head (n, 3) in the picture."""
    size = d.scale * d.figure.body.head
    return d.flat["head"] + (np.asarray(points) @ d.figure.frames["head"][:2].T) * (size, -size)


def _turned(d: Drawing, x: float, y: float, z: float) -> float:
    """How much a direction of the head looks at the viewer, -1 to 1."""
    row = d.figure.frames["head"][2]
    return float((row[0] * x + row[1] * y + row[2] * z) / (x * x + y * y + z * z) ** 0.5)


def draw_hanging_hair(d: Drawing, away: bool) -> None:
    """Hair that hangs behind the neck or, of a head that looks ``away``, over the back."""
    look, canvas, size = d.look, d.canvas, d.scale * d.figure.body.head
    length = {"long": 0.105, "bob": 0.05}.get(look.hairstyle)
    colour = look.hair if away else darker(look.hair, 0.86)
    down = np.array((0.0, 0.5)) - 0.5 * d.figure.frames["chest"][:2, 1] * (1, -1)
    if length is not None:
        top = outline_of(d, np.array((0.0, 0.01, -0.016)), np.array((0.047, 0.05, 0.045)))
        tip = _spot(d, 0.0, -0.02, -0.026) + down * length * size
        outline = hull(np.concatenate((top, ellipse(tip, 0.044 * size, 0.03 * size))))
        canvas.polygon(outline, colour, PART["hair"], convex=True)
        canvas.shading(outline, 176, convex=True)
        if away:
            lit = np.array(canvas.light) * 0.012 * size
            canvas.shading(shrunk(outline, 0.6, lit), 214, convex=True)
    elif look.hairstyle == "ponytail":
        root = _spot(d, 0.0, 0.02, -0.062)
        radii = size * np.array(((0.014, 0.021, 0.020, 0.015, 0.006),))
        tail = sweep(root[None], (root + down * 0.10 * size)[None], radii)[0]
        canvas.polygon(tail, colour, PART["hair"])
        canvas.shading(tail, 190)
    elif look.hairstyle == "bun":
        bun = ellipse(_spot(d, 0.0, 0.05, -0.05), 0.026 * size, 0.026 * size)
        canvas.polygon(bun, colour, PART["hair"], convex=True)
        canvas.shading(bun, 186, convex=True)


def draw_head(d: Drawing) -> None:
    """Jaw, hair, face and ears, in this order; then what the face shows."""
    look, canvas, size = d.look, d.canvas, d.scale * d.figure.body.head
    skull, jaw = outline_of(d, _SKULL, _SKULL_AXES), outline_of(d, _JAW, _JAW_AXES)
    canvas.polygon(skull, look.skin, PART["head"], convex=True)
    canvas.polygon(jaw, look.skin, PART["head"], convex=True)
    cover = look.second_colour if look.hairstyle == "cap" else look.hair
    if look.hairstyle != "bald":
        volume = _VOLUME[look.hairstyle]
        middle = _SKULL + np.array((0.0, 0.01 * volume - 0.006, 0.032 - 0.04 * volume))
        canvas.polygon(outline_of(d, middle, _SKULL_AXES, volume), cover, PART["hair"], convex=True)
        if _turned(d, 0, 0, 1) < 0.2:
            nape = outline_of(d, np.array((0.0, -0.014, -0.017)), np.array((0.037, 0.032, 0.033)))
            canvas.polygon(nape, look.hair, PART["hair"], convex=True)
    _draw_face_skin(d)
    _shade_head(d, skull, jaw)
    for sign in SIDES.values():
        if _turned(d, sign, 0, -0.1) > 0.12 and look.hairstyle not in _HIDES_EARS:
            ear = ellipse(_spot(d, 0.043 * sign, -0.006, -0.004), 0.009 * size, 0.015 * size)
            canvas.polygon(ear, darker(look.skin, 0.92), PART["head"], convex=True)
    if look.face and _turned(d, 0, 0, 1) > -0.05:
        _draw_features(d)
    if look.hairstyle == "cap":
        _draw_peak(d, cover)


def _draw_face_skin(d: Drawing) -> None:
    """The part of skull and jaw that hair leaves free, as far as it looks at the viewer."""
    style, row, u = d.look.hairstyle, d.figure.frames["head"][2], _ON_SPHERE
    if _turned(d, 0, 0, 1) < -0.75:
        return
    top, back = _HAIRLINE.get(style, 0.5), _FACE_BACK.get(style, -0.02)
    face = (u[:, 2] > back) & (u[:, 1] < top - 0.25 * u[:, 0] ** 2) & (u[:, 1] > -0.6)
    chin = (u[:, 2] > -0.2) & (u[:, 1] < 0.3)
    clouds = []
    for keep, centre, axes in ((face, _SKULL, _SKULL_AXES), (chin, _JAW, _JAW_AXES)):
        clouds.append(centre + u[keep & (u @ (row / axes) > -2.4)] * axes)
    cloud = np.concatenate(clouds)
    if len(cloud) > 5:
        d.canvas.polygon(hull(_spots(d, cloud)), d.look.skin, PART["head"], convex=True)


def _shade_head(d: Drawing, skull: np.ndarray, jaw: np.ndarray) -> None:
    light = np.array(d.canvas.light) * d.scale * d.figure.body.head
    outline = hull(np.concatenate((skull, jaw)))
    for value, share, shift in ((168, 1.12, 0.0), (198, 0.82, 0.008), (214, 0.5, 0.014)):
        d.canvas.shading(shrunk(outline, share, shift * light), value, convex=True)


def _draw_features(d: Drawing) -> None:
    look, canvas, size = d.look, d.canvas, d.scale * d.figure.body.head
    if look.beard:
        t = np.linspace(-1.5, 1.5, 9)
        rim = np.stack((0.036 * np.sin(t), -0.036 - 0.026 * np.cos(t), 0.034 + 0.012 * np.cos(t)), axis=1)
        lip = ((0.018, -0.024, 0.050), (-0.018, -0.024, 0.050))
        canvas.polygon(hull(_spots(d, np.concatenate((rim, lip)))), mix(look.hair, look.skin, 0.25))
    for sign in SIDES.values():
        if _turned(d, 0.30 * sign, 0.05, 1.0) > 0.18:
            _draw_eye(d, sign)
    nose, bridge = _spots(d, ((0.0, -0.014, 0.060), (0.0, 0.004, 0.051)))
    bulb = ellipse(nose, 0.0085 * size, 0.0075 * size)
    canvas.polygon(hull(np.concatenate((bulb, bridge[None]))), darker(look.skin, 0.93), PART["head"])
    tip = nose + 0.003 * size * np.array(canvas.light)
    canvas.polygon(ellipse(tip, 0.004 * size, 0.004 * size), darker(look.skin, 1.08), convex=True)
    if _turned(d, 0, -0.4, 1.0) > 0.05:
        lips = _spots(d, ((-0.013, -0.037, 0.043), (0.0, -0.040, 0.050), (0.013, -0.037, 0.043)))
        canvas.line(lips, mix(darker(look.skin, 0.72), (70, 60, 170), 0.3), 0.0065 * size)


def _draw_eye(d: Drawing, sign: int) -> None:
    """One eye with lid and brow, and its half of the glasses."""
    look, canvas, size = d.look, d.canvas, d.scale * d.figure.body.head
    across, up = (d.figure.frames["head"][:2, :2] * ((size,), (-size,))).T
    turn = float(np.arctan2(-across[1], across[0])) if abs(across[0]) > 0.2 * size else 0.0
    eye = _spot(d, 0.0175 * sign, 0.004, 0.047)
    wide = max(0.2, min(1.0, _turned(d, 0.35 * sign, 0.0, 1.0)))
    white = mix((232, 236, 240), look.skin, 0.2)
    canvas.polygon(ellipse(eye, 0.0092 * size * wide, 0.0050 * size, turn), white, convex=True)
    canvas.polygon(ellipse(eye, 0.0050 * size * wide, 0.0052 * size), (38, 30, 26), convex=True)
    bow = np.array((-1.0, 0.0, 1.0))[:, None] * wide * across
    lid = eye + 0.0100 * bow + np.array((0.002, 0.0065, 0.002))[:, None] * up
    brow = eye + 0.0115 * bow + np.array((0.0125, 0.0160, 0.0125))[:, None] * up
    canvas.line(lid, darker(look.skin, 0.45), 0.004 * size)
    hairy = darker(look.hair, 0.7) if sum(look.hair) < 420 else mix(look.hair, look.skin, 0.4)
    canvas.line(brow, hairy, 0.0052 * size)
    if look.glasses:
        canvas.line(
            ellipse(eye, 0.0145 * size * wide, 0.0120 * size), (30, 28, 26), 0.003 * size, closed=True
        )
        temple = np.stack((eye + 0.014 * sign * wide * across, _spot(d, 0.042 * sign, 0.004, 0.01)))
        canvas.line(temple, (30, 28, 26), 0.003 * size)


def _draw_peak(d: Drawing, colour: Colour) -> None:
    """A cap's peak, over the forehead."""
    if _turned(d, 0, 0.2, 1) > -0.35:
        rim = [(x, 0.032, z) for x, z in
               ((-0.038, 0.03), (-0.030, 0.075), (0.0, 0.092), (0.030, 0.075), (0.038, 0.03))]  # fmt: skip
        edge = [(x, 0.044, 0.044) for x in (0.03, 0.0, -0.03)]
        d.canvas.polygon(hull(_spots(d, rim + edge)), darker(colour, 0.78), PART["hair"], convex=True)
