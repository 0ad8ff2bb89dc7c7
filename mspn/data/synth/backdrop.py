"""Places for the persons to be in: a room, a street, a park, a beach, a hall."""

from collections.abc import Callable

import cv2
import numpy as np

from mspn.data.synth.canvas import CIRCLE, Canvas, Colour, darker, mix
from mspn.data.synth.scenery import boards, box, bright, building, car, gradient, shelf, sky, tree, window


def _room(c: Canvas, horizon: float, rng: np.random.Generator) -> None:
    width, height = c.size
    floor = horizon + height * rng.uniform(0.10, 0.22)
    wall = mix(bright(rng), (222, 226, 230), float(rng.uniform(0.5, 0.85)))
    gradient(c.picture, 0, floor, wall, darker(wall, 0.86))
    if rng.random() < 0.35:
        for x in np.arange(0, width, rng.uniform(10, 30)).tolist():
            box(c, x, 0, x + 4, floor, darker(wall, 0.93))
    planks: Colour = mix((70, 112, 158), (150, 160, 172), float(rng.random()))
    gradient(c.picture, floor, height, darker(planks, 0.78), darker(planks, 1.1))
    boards(c, floor, horizon, darker(planks, 0.7), rng)
    for slot in rng.permutation(4)[: int(rng.integers(2, 5))].tolist():
        x0 = width * (slot / 4 + rng.uniform(0.0, 0.05))
        x1 = x0 + width * rng.uniform(0.13, 0.22)
        kind = rng.random()
        if kind < 0.35:
            window(c, x0, floor * 0.12, x1, floor * rng.uniform(0.55, 0.7), darker(wall, 1.12), rng)
        elif kind < 0.6:
            y0 = floor * rng.uniform(0.12, 0.3)
            box(c, x0, y0, x1, y0 + floor * 0.3, darker(bright(rng), 0.6))
            box(c, x0 + 4, y0 + 4, x1 - 4, y0 + floor * 0.3 - 4, (228, 232, 234))
            box(c, x0 + 9, y0 + 8, x1 - 9, y0 + floor * 0.3 - 8, bright(rng))
        elif kind < 0.82:
            shelf(c, x0, floor * rng.uniform(0.2, 0.45), x1, floor + 2, rng)
        else:
            wood = darker((88, 128, 168), float(rng.uniform(0.6, 1.3)))
            box(c, x0, floor * 0.16, x1, floor, wood)
            box(c, x0 + 5, floor * 0.24, x1 - 5, floor * 0.5, darker(wood, 0.85))
            box(c, x0 + 5, floor * 0.58, x1 - 5, floor * 0.92, darker(wood, 0.85))
    box(c, 0, floor - 4, width, floor, darker(wall, 1.1))
    if rng.random() < 0.5:
        rug = bright(rng)
        middle = np.array((width * rng.uniform(0.3, 0.7), (floor + height) / 2 + 0.08 * height))
        c.polygon(middle + CIRCLE * (0.34 * width, 0.10 * height), rug)
        c.polygon(middle + CIRCLE * (0.30 * width, 0.08 * height), darker(rug, 1.25))


def _street(c: Canvas, horizon: float, rng: np.random.Generator) -> None:
    width, height = c.size
    kerb = horizon + 0.10 * height
    sky(c, horizon, rng)
    x = -rng.uniform(0, 40)
    while x < width:
        wide = rng.uniform(0.16, 0.36) * width
        building(c, x, x + wide, horizon * rng.uniform(-0.2, 0.55), horizon + 0.03 * height, rng)
        x += wide
    paving = mix((150, 156, 160), (120, 140, 158), float(rng.random()))
    gradient(c.picture, horizon + 0.03 * height, height, darker(paving, 0.8), darker(paving, 1.1))
    if rng.random() < 0.6:
        gradient(c.picture, horizon + 0.04 * height, kerb, (104, 100, 98), (118, 114, 112))
        for x in rng.uniform(0, width, int(rng.integers(0, 3))).tolist():
            car(c, x, kerb, 0.11 * height + 0.08 * width, rng)
        box(c, 0, kerb, width, kerb + 3, darker(paving, 1.2))
    boards(c, kerb + 3, horizon, darker(paving, 0.85), rng)
    for x in rng.uniform(0, width, int(rng.integers(0, 3))).tolist():
        tree(c, x, kerb, height * rng.uniform(0.35, 0.6), rng)
    if rng.random() < 0.5:
        x = rng.uniform(0, width)
        box(c, x - 2, 0.05 * height, x + 2, kerb, (70, 72, 74))
        c.polygon(np.array((x, 0.06 * height)) + CIRCLE * (9, 6), (210, 230, 240), convex=True)


def _park(c: Canvas, horizon: float, rng: np.random.Generator) -> None:
    width, height = c.size
    sky(c, horizon, rng)
    for layer in range(2):
        xs = np.linspace(-10, width + 10, 9)
        ys = horizon - height * rng.uniform(0.0, 0.14 - 0.05 * layer, 9)
        hill = np.concatenate(
            (np.stack((xs, ys), axis=1), ((width + 10.0, horizon + 9.0), (-10.0, horizon + 9.0)))
        )
        c.polygon(hill, mix((112, 140, 118), (160, 150, 130), 0.6 - 0.5 * layer))
    grass = mix((62, 140, 112), (78, 150, 156), float(rng.random()))
    gradient(c.picture, horizon + 2, height, darker(grass, 0.85), darker(grass, 1.08))
    if rng.random() < 0.6:
        bend, foot = width * rng.uniform(0.2, 0.8), width * rng.uniform(0.1, 0.9)
        path = np.array(
            (
                (bend - 6, horizon + 4),
                (bend + 6, horizon + 4),
                (foot + 0.24 * width, height + 4),
                (foot - 0.24 * width, height + 4),
            )
        )
        c.polygon(path, (150, 178, 196))
    for x in np.sort(rng.uniform(-0.05, 1.05, int(rng.integers(3, 9)))).tolist():
        depth = rng.uniform(0.02, 0.16)
        tree(c, x * width, horizon + depth * height, height * rng.uniform(0.18, 0.3) * (1 + 4 * depth), rng)
    tufts = np.stack((rng.uniform(0, width, 40), rng.uniform(horizon + 0.1 * height, height, 40)), axis=1)
    for x, y in tufts.tolist():
        cv2.line(c.picture, (int(x), int(y)), (int(x) + 2, int(y) - 3), darker(grass, 0.8), 1)


def _beach(c: Canvas, horizon: float, rng: np.random.Generator) -> None:
    width, height = c.size
    shore = horizon + height * rng.uniform(0.08, 0.2)
    sky(c, horizon, rng)
    sea = mix((170, 130, 60), (160, 150, 100), float(rng.random()))
    gradient(c.picture, horizon, shore, darker(sea, 0.85), darker(sea, 1.2))
    for y in np.linspace(horizon + 4, shore, 5).tolist():
        x = rng.uniform(0, width)
        c.line(np.array(((x, y), (x + 0.3 * width, y + 1))), (236, 232, 222), 1)
    sand = mix((150, 196, 220), (168, 190, 204), float(rng.random()))
    gradient(c.picture, shore, height, darker(sand, 0.92), darker(sand, 1.06))
    for x in rng.uniform(0, width, int(rng.integers(0, 4))).tolist():
        size, y = height * rng.uniform(0.08, 0.16), shore + height * rng.uniform(0.02, 0.08)
        box(c, x - 1, y - 1.3 * size, x + 1, y, (220, 224, 226))
        shade, other = bright(rng), (238, 240, 242)
        for k in range(6):
            a0, a1 = np.pi * (1 + k / 6), np.pi * (1 + (k + 1) / 6)
            edge = [(x + size * np.cos(a), y - 1.0 * size + 0.6 * size * np.sin(a)) for a in (a0, a1)]
            c.polygon(np.array(((x, y - 1.0 * size), *edge)), shade if k % 2 else other)
    if rng.random() < 0.5:
        x = rng.uniform(0.1, 0.9) * width
        c.polygon(
            np.array(((x, horizon), (x, horizon - 0.12 * height), (x + 0.07 * width, horizon))),
            (240, 240, 240),
        )


def _hall(c: Canvas, horizon: float, rng: np.random.Generator) -> None:
    width, height = c.size
    floor = horizon + 0.08 * height
    wall = mix(bright(rng), (190, 196, 200), 0.6)
    gradient(c.picture, 0, floor, darker(wall, 1.1), darker(wall, 0.85))
    for x in np.arange(rng.uniform(-20, 0), width, 0.16 * width).tolist():
        box(c, x + 6, 0, x + 0.12 * width, 0.3 * floor, (236, 226, 210))
    seats = bright(rng)
    for k in range(4):
        y = floor * (0.5 + 0.11 * k)
        box(c, 0, y, width, y + floor * 0.09, darker(seats, 0.6 + 0.12 * k))
        for x in np.arange(4, width, 9).tolist():
            if rng.random() < 0.75:
                box(c, x, y + 1, x + 6, y + floor * 0.06, darker(seats, 0.85 + 0.1 * k))
    box(c, 0, floor * 0.94, width, floor, darker(wall, 0.6))
    planks = mix((92, 146, 196), (120, 140, 110), float(rng.random()))
    gradient(c.picture, floor, height, darker(planks, 0.82), darker(planks, 1.12))
    boards(c, floor, horizon, darker(planks, 0.9), rng)
    paint = (240, 240, 240) if rng.random() < 0.6 else (60, 60, 190)
    y = floor + 0.2 * (height - floor)
    c.line(np.array(((0.0, y), (width, y))), paint, 3)
    x = rng.uniform(0.1, 0.9) * width
    c.line(np.array(((x, y), (x + rng.uniform(-0.6, 0.6) * width, height))), paint, 4)
    c.line(np.array((x, y + 0.25 * height)) + CIRCLE * (0.22 * width, 0.06 * height), paint, 3, closed=True)


PLACES: dict[str, Callable[[Canvas, float, np.random.Generator], None]] = {
    "room": _room,
    "street": _street,
    "park": _park,
    "beach": _beach,
    "hall": _hall,
}
