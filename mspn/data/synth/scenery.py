"""Pieces that places are built of: surfaces, leaves, windows, shelves, houses, cars."""

import cv2
import numpy as np

from mspn.data.synth.canvas import CIRCLE, Canvas, Colour, darker, mix
from mspn.data.synth.look import CLOTH, choose

_LEAVES: tuple[Colour, ...] = (
    (52, 96, 58),
    (44, 116, 78),
    (60, 132, 104),
    (48, 84, 44),
    (58, 140, 132),
    (40, 110, 160),
)


def gradient(picture: np.ndarray, top: float, bottom: float, above: Colour, below: Colour) -> None:
    """Fill the rows from ``top`` to ``bottom`` from one colour to the other."""
    y0, y1 = max(0, round(top)), min(picture.shape[0], round(bottom))
    if y1 > y0 and picture.shape[1]:
        column = np.linspace(above, below, y1 - y0).astype(np.uint8)[:, None]
        picture[y0:y1] = cv2.resize(column, (picture.shape[1], y1 - y0), interpolation=cv2.INTER_NEAREST)


def box(c: Canvas, x0: float, y0: float, x1: float, y1: float, colour: Colour) -> None:
    cv2.rectangle(c.picture, (round(x0), round(y0)), (round(x1), round(y1)), colour, -1)


def bright(rng: np.random.Generator) -> Colour:
    return darker(choose(rng, CLOTH), float(rng.uniform(0.6, 1.1)))


def foliage(
    c: Canvas, x: float, y: float, radius: float, rng: np.random.Generator, part: int | None = None
) -> None:
    """A clump of leaves: round blots, the lit ones last."""
    base = choose(rng, _LEAVES)
    count = 16
    turn, out = rng.uniform(0, 2 * np.pi, count), np.sqrt(rng.random(count)) * 0.75
    places = np.stack((x + radius * out * np.cos(turn), y + radius * 0.85 * out * np.sin(turn)), axis=1)
    order = np.argsort(-places @ np.array(c.light) * -1.0)
    for k, (place, size) in enumerate(
        zip(places[order], rng.uniform(0.28, 0.5, count).tolist(), strict=True)
    ):
        tone = 0.72 + 0.5 * k / count
        c.polygon(place + CIRCLE * (size * radius), darker(base, tone), part, convex=True)


def tree(
    c: Canvas, x: float, ground: float, height: float, rng: np.random.Generator, part: int | None = None
) -> None:
    wide = 0.05 * height
    bark: Colour = (48, 70, 92)
    trunk = np.array(((-1.0, 0.0), (-0.6, -0.6), (0.6, -0.6), (1.0, 0.0))) * (wide, height) + (x, ground)
    c.polygon(trunk, bark, part, convex=True)
    foliage(c, x, ground - 0.70 * height, 0.33 * height, rng, part)


def window(
    c: Canvas, x0: float, y0: float, x1: float, y1: float, frame: Colour, rng: np.random.Generator
) -> None:
    box(c, x0 - 3, y0 - 3, x1 + 3, y1 + 3, frame)
    xs = slice(max(0, round(x0)), max(0, round(x1)))
    if xs.stop > xs.start:
        gradient(c.picture[:, xs], y0, y1, (232, 205, 172), (238, 228, 214))
    if rng.random() < 0.6:
        foliage(c, x0 + 0.3 * (x1 - x0), y1 - 0.15 * (y1 - y0), 0.2 * (x1 - x0), rng)
        box(c, x0 - 3, y1, x1 + 3, y1 + 4, frame)
    box(c, (x0 + x1) / 2 - 1, y0, (x0 + x1) / 2 + 1, y1, frame)
    box(c, x0, (y0 + y1) / 2 - 1, x1, (y0 + y1) / 2 + 1, frame)


def boards(c: Canvas, top: float, horizon: float, colour: Colour, rng: np.random.Generator) -> None:
    """Lines on the ground that run to the vanishing point, and a few across."""
    width, height = c.size
    vanish = np.array((width * rng.uniform(0.3, 0.7), horizon - 0.06 * height))
    for x in np.linspace(-1.2 * width, 2.2 * width, int(rng.integers(16, 30))).tolist():
        foot = np.array((x, height + 5.0))
        start = vanish + (foot - vanish) * (top - vanish[1]) / (foot[1] - vanish[1])
        c.line(np.stack((start, foot)), colour, 1)
    if rng.random() < 0.4:
        for k in range(1, 6):
            y = top + (height - top) * (k / 6) ** 1.8
            c.line(np.array(((0.0, y), (width, y))), colour, 1)


def shelf(c: Canvas, x0: float, y0: float, x1: float, y1: float, rng: np.random.Generator) -> None:
    wood: Colour = (60, 92, 128)
    box(c, x0, y0, x1, y1, darker(wood, 0.6))
    rows = 4
    for row in range(rows):
        low = y0 + (row + 1) * (y1 - y0) / rows
        x = x0 + 2
        while x < x1 - 3:
            wide = float(rng.uniform(2.5, 7))
            tall = float(rng.uniform(0.5, 0.85)) * (y1 - y0) / rows
            box(c, x, low - tall, min(x + wide, x1 - 2), low, bright(rng))
            x += wide + 1
        box(c, x0, low - 1, x1, low + 1, wood)
    cv2.rectangle(c.picture, (round(x0), round(y0)), (round(x1), round(y1)), wood, 2)


def building(c: Canvas, x0: float, x1: float, top: float, ground: float, rng: np.random.Generator) -> None:
    wall = mix(bright(rng), (150, 168, 188), 0.6)
    box(c, x0, top, x1, ground, wall)
    columns, rows = (
        max(2, int((x1 - x0) / rng.uniform(14, 26))),
        max(2, int((ground - top) / rng.uniform(18, 30))),
    )
    glass = mix((120, 96, 70), (210, 200, 190), float(rng.random()))
    dx, dy = (x1 - x0) / columns, (ground - top) / rows
    for i in range(columns):
        for j in range(rows):
            x, y = x0 + (i + 0.25) * dx, top + (j + 0.2) * dy
            box(c, x, y, x + 0.5 * dx, y + 0.6 * dy, glass)
    box(c, x0, top - 3, x1, top, darker(wall, 0.8))
    if rng.random() < 0.6:
        box(c, x0, ground - 0.7 * dy, x1, ground, darker(wall, 0.55))
        box(c, x0, ground - 0.8 * dy, x1, ground - 0.6 * dy, bright(rng))


def car(c: Canvas, x: float, ground: float, size: float, rng: np.random.Generator) -> None:
    paint = bright(rng)
    body = np.array(
        (
            (-1, -0.1),
            (-1, -0.35),
            (-0.62, -0.42),
            (-0.38, -0.68),
            (0.32, -0.68),
            (0.6, -0.42),
            (1, -0.34),
            (1, -0.1),
        )
    )
    c.polygon(np.array((x, ground)) + size * body, paint)
    glass = np.array(((-0.5, -0.42), (-0.33, -0.62), (0.28, -0.62), (0.48, -0.42)))
    c.polygon(np.array((x, ground)) + size * glass, (96, 84, 70))
    for wheel in (-0.58, 0.58):
        middle = np.array((x + wheel * size, ground - 0.1 * size))
        c.polygon(middle + CIRCLE * (0.17 * size), (34, 32, 30), convex=True)
        c.polygon(middle + CIRCLE * (0.08 * size), (160, 158, 156), convex=True)


def sky(c: Canvas, horizon: float, rng: np.random.Generator) -> None:
    width = c.size[0]
    dull = float(rng.random())
    gradient(
        c.picture,
        0,
        horizon + 2,
        mix((214, 158, 104), (200, 196, 190), dull),
        mix((240, 222, 200), (224, 224, 222), dull),
    )
    for _ in range(int(rng.integers(0, 4))):
        x, y = rng.uniform(0, width), rng.uniform(0, horizon * 0.6)
        for dx, size in ((-0.07, 0.03), (0.0, 0.05), (0.06, 0.035), (0.12, 0.02)):
            c.polygon(
                np.array((x + dx * width, y)) + CIRCLE * (size * width * 1.6, size * width * 0.7),
                (246, 244, 242),
                convex=True,
            )
