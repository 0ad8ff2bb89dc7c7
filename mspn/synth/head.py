"""Heads: a skull and a jaw as ellipsoids, a face on their front, hair on the rest."""

from typing import TYPE_CHECKING

import cv2
import numpy as np

from mspn.synth.canvas import CIRCLE, Colour, darker, ellipse, mix, sweep
from mspn.synth.parts import PART
from mspn.synth.pose import SIDES

if TYPE_CHECKING:
    from mspn.synth.body import Drawing

# Centres and half axes in the head's axes, in standing heights of an adult.
_SKULL, _SKULL_AXES = np.array((0.0, 0.014, -0.003)), np.array((0.0425, 0.057, 0.053))
_JAW, _JAW_AXES = np.array((0.0, -0.024, 0.015)), np.array((0.034, 0.039, 0.036))
# How far hair stands off the skull, and how far it sits back and up.
_VOLUME = {"short": 1.08, "cropped": 1.03, "long": 1.10, "bob": 1.14, "ponytail": 1.05, "bun": 1.05, "curly": 1.28,
           "bald": 1.0, "cap": 1.08}  # fmt: skip
_HAIRLINE = {"curly": 0.42, "cap": 0.36, "bald": 1.0, "cropped": 0.6}  # height on the skull, -1 to 1


def _sphere(count: int) -> np.ndarray:
    """(count, 3) directions spread evenly."""
    i = np.arange(count) + 0.5
    y = 1 - 2 * i / count
    turn = np.pi * (1 + 5**0.5) * i
    r = np.sqrt(1 - y * y)
    return np.stack((r * np.cos(turn), y, r * np.sin(turn)), axis=1)


_DIRECTIONS = _sphere(220)


def silhouette(
    d: "Drawing", centre: np.ndarray, axes: np.ndarray, grow: float = 1.0
) -> tuple[np.ndarray, float, float, float]:
    """Centre (2,), half axes and turn of an ellipsoid of the head in the picture."""
    frame, size = d.figure.frames["head"], d.scale * d.figure.body.head
    half = frame[:2] * (axes * grow * size)
    covariance = half @ half.T
    values, vectors = np.linalg.eigh(covariance)
    turn = float(np.arctan2(-vectors[1, 1], vectors[0, 1]))
    middle = d.flat["head"] + size * (frame[:2] @ centre) * (1, -1)
    return middle, float(np.sqrt(values[1])), float(np.sqrt(max(values[0], 0.0))), turn


def head_outline(d: "Drawing") -> np.ndarray:
    """(32, 2) points around skull and jaw."""
    return np.concatenate(
        [ellipse(*silhouette(d, centre, axes)) for centre, axes in ((_SKULL, _SKULL_AXES), (_JAW, _JAW_AXES))]
    )


def _spot(d: "Drawing", x: float, y: float, z: float) -> np.ndarray:
    """(2,) a point of the head in the picture."""
    frame, size = d.figure.frames["head"], d.scale * d.figure.body.head
    out: np.ndarray = d.flat["head"] + size * (frame @ (x, y, z))[:2] * (1, -1)
    return out


def _turned(d: "Drawing", x: float, y: float, z: float) -> float:
    """How much a direction of the head looks at the viewer, -1 to 1."""
    row = d.figure.frames["head"][2]
    return float((row[0] * x + row[1] * y + row[2] * z) / np.sqrt(x * x + y * y + z * z))


def draw_back_hair(d: "Drawing") -> None:
    """Hair that hangs behind the neck, of a head that looks at the viewer."""
    _hanging_hair(d, front=True)


def draw_hair_over_back(d: "Drawing") -> None:
    """Hair that hangs over the back, of a head that looks away."""
    _hanging_hair(d, front=False)


def _hanging_hair(d: "Drawing", front: bool) -> None:
    look, size = d.look, d.scale * d.figure.body.head
    length = {"long": 0.105, "bob": 0.05}.get(look.hairstyle)
    colour = darker(look.hair, 0.86) if front else look.hair
    down = np.array((0.0, 1.0)) * 0.5 + 0.5 * (d.figure.frames["chest"][:2, 1] * (1, -1)) * -1.0
    if length is not None:
        top = np.array(ellipse(*silhouette(d, np.array((0.0, 0.01, -0.016)), np.array((0.047, 0.05, 0.045)))))
        tip = _spot(d, 0.0, -0.02, -0.026) + down * length * size
        hull = cv2.convexHull(
            np.concatenate((top, ellipse(tip, 0.044 * size, 0.03 * size))).astype(np.float32)
        )[:, 0]
        d.canvas.polygon(hull, colour, PART["hair"], convex=True)
        d.canvas.shading(hull, 176, convex=True)
        if not front:
            middle = hull.mean(axis=0)
            d.canvas.shading(
                middle + 0.6 * (hull - middle) + np.array(d.canvas.light) * 0.012 * size, 214, convex=True
            )
    elif look.hairstyle == "ponytail":
        root = _spot(d, 0.0, 0.02, -0.062)
        tail = sweep(root[None], (root + down * 0.10 * size)[None],
                     size * np.array(((0.014, 0.021, 0.020, 0.015, 0.006),)))[0]  # fmt: skip
        d.canvas.polygon(tail, colour, PART["hair"])
        d.canvas.shading(tail, 190)
    elif look.hairstyle == "bun":
        bun = ellipse(_spot(d, 0.0, 0.05, -0.05), 0.026 * size, 0.026 * size)
        d.canvas.polygon(bun, colour, PART["hair"], convex=True)
        d.canvas.shading(bun, 186, convex=True)


def draw_head(d: "Drawing") -> None:
    """Jaw, hair, face and ears, in this order; then what the face shows."""
    look, canvas, size = d.look, d.canvas, d.scale * d.figure.body.head
    jaw = ellipse(*silhouette(d, _JAW, _JAW_AXES))
    skull = ellipse(*silhouette(d, _SKULL, _SKULL_AXES))
    canvas.polygon(skull, look.skin, PART["head"], convex=True)
    canvas.polygon(jaw, look.skin, PART["head"], convex=True)
    volume = _VOLUME[look.hairstyle]
    middle = _SKULL + (0.0, 0.004 + 0.01 * (volume - 1), -0.008 - 0.04 * (volume - 1))
    hair = ellipse(*silhouette(d, middle, _SKULL_AXES, volume))
    cover = darker(look.second_colour, 1.0) if look.hairstyle == "cap" else look.hair
    if look.hairstyle != "bald":
        canvas.polygon(hair, cover, PART["hair"], convex=True)
        if _turned(d, 0, 0, 1) < 0.2:
            nape = ellipse(*silhouette(d, np.array((0.0, -0.016, -0.016)), np.array((0.038, 0.034, 0.034))))
            canvas.polygon(nape, look.hair, PART["hair"], convex=True)
    _draw_face_skin(d)
    _shade_head(d, skull, jaw)
    for sign in SIDES.values():
        if _turned(d, sign, 0, -0.1) > 0.12 and look.hairstyle not in ("long", "bob", "curly"):
            ear = ellipse(_spot(d, 0.043 * sign, -0.006, -0.004), 0.009 * size, 0.015 * size)
            canvas.polygon(ear, darker(look.skin, 0.93), PART["head"], convex=True)
    if look.face:
        _draw_features(d)
    if look.hairstyle == "cap":
        _draw_peak(d, cover)


def _draw_face_skin(d: "Drawing") -> None:
    """The part of skull and jaw that hair leaves free, as far as it looks at the viewer."""
    look, frame, size = d.look, d.figure.frames["head"], d.scale * d.figure.body.head
    top = _HAIRLINE.get(look.hairstyle, 0.5)
    back = {"long": 0.22, "bob": 0.3, "curly": 0.25}.get(look.hairstyle, -0.02)
    u = _DIRECTIONS
    clouds = []
    for centre, axes, keep in (
        (_SKULL, _SKULL_AXES, (u[:, 2] > back) & (u[:, 1] < top - 0.25 * u[:, 0] ** 2) & (u[:, 1] > -0.6)),
        (_JAW, _JAW_AXES, (u[:, 2] > -0.2) & (u[:, 1] < 0.3)),
    ):
        normals = (u / axes) @ frame[2]
        shown = u[keep & (normals > -0.12 * np.linalg.norm(u / axes, axis=1))]
        clouds.append((centre + shown * axes) @ frame[:2].T)
    cloud = np.concatenate(clouds)
    if len(cloud) < 6 or _turned(d, 0, 0, 1) < -0.75:
        return
    hull = cv2.convexHull((d.flat["head"] + size * cloud * (1, -1)).astype(np.float32))[:, 0]
    d.canvas.polygon(hull, look.skin, PART["head"], convex=True)


def _shade_head(d: "Drawing", skull: np.ndarray, jaw: np.ndarray) -> None:
    light = np.array(d.canvas.light) * d.scale * d.figure.body.head
    hull = cv2.convexHull(np.concatenate((skull, jaw)).astype(np.float32))[:, 0]
    middle = hull.mean(axis=0)
    for value, share, shift in ((168, 1.12, 0.0), (198, 0.82, 0.008), (214, 0.5, 0.014)):
        d.canvas.shading(middle + share * (hull - middle) + shift * light, value, convex=True)


def _draw_features(d: "Drawing") -> None:
    look, canvas, size = d.look, d.canvas, d.scale * d.figure.body.head
    front = _turned(d, 0, 0, 1)
    if front < -0.05:
        return
    across = d.figure.frames["head"][:2, 0] * (1, -1)
    up = d.figure.frames["head"][:2, 1] * (1, -1)
    turn = float(np.arctan2(-across[1] * 1.0, across[0])) if abs(across[0]) > 0.2 else 0.0
    brow = darker(look.hair, 0.7) if sum(look.hair) < 420 else mix(look.hair, look.skin, 0.4)
    if look.beard:
        beard = np.stack([_spot(d, 0.036 * np.sin(t), -0.036 - 0.026 * np.cos(t), 0.034 + 0.012 * np.cos(t))
                          for t in np.linspace(-1.5, 1.5, 9)]
                         + [_spot(d, 0.018, -0.024, 0.050), _spot(d, -0.018, -0.024, 0.050)])  # fmt: skip
        canvas.polygon(cv2.convexHull(beard.astype(np.float32))[:, 0], mix(look.hair, look.skin, 0.25))
    for sign in SIDES.values():
        seen = _turned(d, 0.30 * sign, 0.05, 1.0)
        if seen < 0.18:
            continue
        eye = _spot(d, 0.0175 * sign, 0.004, 0.047)
        wide = max(0.2, min(1.0, _turned(d, 0.35 * sign, 0.0, 1.0)))
        canvas.polygon(ellipse(eye, 0.0100 * size * wide, 0.0062 * size, turn), (235, 238, 240), convex=True)
        canvas.polygon(ellipse(eye, 0.0052 * size * wide, 0.0058 * size), (38, 30, 26), convex=True)
        arch = np.stack((eye + size * (-0.011 * wide * across + 0.011 * up), eye + size * 0.0155 * up,
                         eye + size * (0.011 * wide * across + 0.011 * up)))  # fmt: skip
        canvas.line(arch, brow, 0.006 * size)
        if look.glasses:
            canvas.line(
                ellipse(eye, 0.0145 * size * wide, 0.0125 * size), (30, 28, 26), 0.004 * size, closed=True
            )
            temple = np.stack(
                (eye + size * 0.014 * sign * wide * across, _spot(d, 0.042 * sign, 0.004, 0.01))
            )
            canvas.line(temple, (30, 28, 26), 0.004 * size)
    nose, bridge = _spot(d, 0.0, -0.014, 0.060), _spot(d, 0.0, 0.004, 0.051)
    bulb = ellipse(nose, 0.0085 * size, 0.0075 * size)
    hull = cv2.convexHull(np.concatenate((bulb, bridge[None])).astype(np.float32))[:, 0]
    canvas.polygon(hull, darker(look.skin, 0.93), PART["head"], convex=True)
    canvas.polygon(ellipse(nose + 0.003 * size * np.array(canvas.light), 0.004 * size, 0.004 * size),
                   darker(look.skin, 1.08), convex=True)  # fmt: skip
    if _turned(d, 0, -0.4, 1.0) > 0.05:
        lips = np.stack([_spot(d, x, y, z) for x, y, z in
                         ((-0.014, -0.037, 0.043), (0.0, -0.041, 0.050), (0.014, -0.037, 0.043))])  # fmt: skip
        canvas.line(lips, mix(darker(look.skin, 0.7), (70, 60, 170), 0.35), 0.0075 * size)


def _draw_peak(d: "Drawing", colour: Colour) -> None:
    """A cap's peak, over the forehead."""
    if _turned(d, 0, 0.2, 1) < -0.35:
        return
    points = [_spot(d, x, 0.032, z) for x, z in
              ((-0.038, 0.03), (-0.030, 0.075), (0.0, 0.092), (0.030, 0.075), (0.038, 0.03))]  # fmt: skip
    points += [_spot(d, x, 0.044, 0.044) for x in (0.03, 0.0, -0.03)]
    hull = cv2.convexHull(np.stack(points).astype(np.float32))[:, 0]
    d.canvas.polygon(hull, darker(colour, 0.78), PART["hair"], convex=True)


__all__ = ["CIRCLE", "draw_back_hair", "draw_hair_over_back", "draw_head", "head_outline"]
