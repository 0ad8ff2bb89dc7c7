"""Places for the persons to be in: a room, a street, a park, a beach, a hall."""

from collections.abc import Callable
from functools import cache

import cv2
import numpy as np

from mspn.synth.canvas import CIRCLE, Canvas, Colour, darker, mix
from mspn.synth.look import CLOTH

_LEAVES: tuple[Colour, ...] = (
    (52, 96, 58),
    (44, 116, 78),
    (60, 132, 104),
    (48, 84, 44),
    (58, 140, 132),
    (40, 110, 160),
)


@cache
def _grain() -> np.ndarray:
    """(640, 640) uint8 around 128: surfaces are never quite even. The same in every process."""
    rng = np.random.Generator(np.random.Philox(7))
    fine = rng.normal(0.0, 1.0, (640, 640)).astype(np.float32)
    coarse = cv2.resize(
        rng.normal(0.0, 1.0, (40, 40)).astype(np.float32), (640, 640), interpolation=cv2.INTER_CUBIC
    )
    noise = 4.0 * cv2.GaussianBlur(fine, (0, 0), 1.0) + 3.5 * coarse
    return np.clip(128 + noise, 90, 166).astype(np.uint8)


def roughen(picture: np.ndarray, rng: np.random.Generator) -> None:
    """Multiply the picture by a piece of the grain."""
    height, width = picture.shape[:2]
    grain = _grain()
    if height > grain.shape[0] or width > grain.shape[1]:
        grain = cv2.resize(grain, (max(width, 640), max(height, 640)))
    y, x = int(rng.integers(grain.shape[0] - height + 1)), int(rng.integers(grain.shape[1] - width + 1))
    piece = grain[y : y + height, x : x + width]
    cv2.multiply(picture, cv2.merge((piece, piece, piece)), dst=picture, scale=1 / 128)


def _gradient(picture: np.ndarray, top: float, bottom: float, above: Colour, below: Colour) -> None:
    """Fill the rows from ``top`` to ``bottom`` from one colour to the other."""
    y0, y1 = max(0, round(top)), min(picture.shape[0], round(bottom))
    if y1 > y0:
        share = np.linspace(0.0, 1.0, y1 - y0)[:, None]
        picture[y0:y1] = (np.array(above) * (1 - share) + np.array(below) * share).astype(np.uint8)[:, None]


def _box(c: Canvas, x0: float, y0: float, x1: float, y1: float, colour: Colour) -> None:
    cv2.rectangle(c.picture, (round(x0), round(y0)), (round(x1), round(y1)), colour, -1)


def _bright(rng: np.random.Generator) -> Colour:
    return darker(CLOTH[int(rng.integers(len(CLOTH)))], float(rng.uniform(0.6, 1.1)))


def foliage(
    c: Canvas, x: float, y: float, radius: float, rng: np.random.Generator, part: int | None = None
) -> None:
    """A clump of leaves: round blots, the lit ones last."""
    base = _LEAVES[int(rng.integers(len(_LEAVES)))]
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
    """A trunk with a crown."""
    wide = 0.05 * height
    bark: Colour = (48, 70, 92)
    trunk = np.array(((x - wide, ground), (x - 0.6 * wide, ground - 0.6 * height), (x + 0.6 * wide, ground - 0.6 * height),
                      (x + wide, ground)))  # fmt: skip
    c.polygon(trunk, bark, part, convex=True)
    foliage(c, x, ground - 0.70 * height, 0.33 * height, rng, part)


def _window(
    c: Canvas, x0: float, y0: float, x1: float, y1: float, frame: Colour, rng: np.random.Generator
) -> None:
    _box(c, x0 - 3, y0 - 3, x1 + 3, y1 + 3, frame)
    xs = slice(max(0, round(x0)), max(0, round(x1)))
    if xs.stop > xs.start:
        _gradient(c.picture[:, xs], y0, y1, (232, 205, 172), (238, 228, 214))
    if rng.random() < 0.6:
        foliage(c, x0 + 0.3 * (x1 - x0), y1 - 0.15 * (y1 - y0), 0.2 * (x1 - x0), rng)
        _box(c, x0 - 3, y1, x1 + 3, y1 + 4, frame)
    _box(c, (x0 + x1) / 2 - 1, y0, (x0 + x1) / 2 + 1, y1, frame)
    _box(c, x0, (y0 + y1) / 2 - 1, x1, (y0 + y1) / 2 + 1, frame)


def _boards(c: Canvas, top: float, horizon: float, colour: Colour, rng: np.random.Generator) -> None:
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


def _shelf(c: Canvas, x0: float, y0: float, x1: float, y1: float, rng: np.random.Generator) -> None:
    wood: Colour = (60, 92, 128)
    _box(c, x0, y0, x1, y1, darker(wood, 0.6))
    rows = 4
    for row in range(rows):
        low = y0 + (row + 1) * (y1 - y0) / rows
        x = x0 + 2
        while x < x1 - 3:
            wide = float(rng.uniform(2.5, 7))
            tall = float(rng.uniform(0.5, 0.85)) * (y1 - y0) / rows
            _box(c, x, low - tall, min(x + wide, x1 - 2), low, _bright(rng))
            x += wide + 1
        _box(c, x0, low - 1, x1, low + 1, wood)
    cv2.rectangle(c.picture, (round(x0), round(y0)), (round(x1), round(y1)), wood, 2)


def _room(c: Canvas, horizon: float, rng: np.random.Generator) -> None:
    width, height = c.size
    floor = horizon + height * rng.uniform(0.10, 0.22)
    wall = mix(_bright(rng), (222, 226, 230), float(rng.uniform(0.5, 0.85)))
    _gradient(c.picture, 0, floor, wall, darker(wall, 0.86))
    if rng.random() < 0.35:
        for x in np.arange(0, width, rng.uniform(10, 30)).tolist():
            _box(c, x, 0, x + 4, floor, darker(wall, 0.93))
    boards: Colour = mix((70, 112, 158), (150, 160, 172), float(rng.random()))
    _gradient(c.picture, floor, height, darker(boards, 0.78), darker(boards, 1.1))
    _boards(c, floor, horizon, darker(boards, 0.7), rng)
    for slot in rng.permutation(4)[: int(rng.integers(2, 5))].tolist():
        x0 = width * (slot / 4 + rng.uniform(0.0, 0.05))
        x1 = x0 + width * rng.uniform(0.13, 0.22)
        kind = rng.random()
        if kind < 0.35:
            _window(c, x0, floor * 0.12, x1, floor * rng.uniform(0.55, 0.7), darker(wall, 1.12), rng)
        elif kind < 0.6:
            y0 = floor * rng.uniform(0.12, 0.3)
            _box(c, x0, y0, x1, y0 + floor * 0.3, darker(_bright(rng), 0.6))
            _box(c, x0 + 4, y0 + 4, x1 - 4, y0 + floor * 0.3 - 4, (228, 232, 234))
            _box(c, x0 + 9, y0 + 8, x1 - 9, y0 + floor * 0.3 - 8, _bright(rng))
        elif kind < 0.82:
            _shelf(c, x0, floor * rng.uniform(0.2, 0.45), x1, floor + 2, rng)
        else:
            wood = darker((88, 128, 168), float(rng.uniform(0.6, 1.3)))
            _box(c, x0, floor * 0.16, x1, floor, wood)
            _box(c, x0 + 5, floor * 0.24, x1 - 5, floor * 0.5, darker(wood, 0.85))
            _box(c, x0 + 5, floor * 0.58, x1 - 5, floor * 0.92, darker(wood, 0.85))
    _box(c, 0, floor - 4, width, floor, darker(wall, 1.1))
    if rng.random() < 0.5:
        rug = _bright(rng)
        middle = np.array((width * rng.uniform(0.3, 0.7), (floor + height) / 2 + 0.08 * height))
        c.polygon(middle + CIRCLE * (0.34 * width, 0.10 * height), rug)
        c.polygon(middle + CIRCLE * (0.30 * width, 0.08 * height), darker(rug, 1.25))


def _sky(c: Canvas, horizon: float, rng: np.random.Generator) -> None:
    width = c.size[0]
    dull = float(rng.random())
    _gradient(
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


def _building(c: Canvas, x0: float, x1: float, top: float, ground: float, rng: np.random.Generator) -> None:
    wall = mix(_bright(rng), (150, 168, 188), 0.6)
    _box(c, x0, top, x1, ground, wall)
    columns, rows = (
        max(2, int((x1 - x0) / rng.uniform(14, 26))),
        max(2, int((ground - top) / rng.uniform(18, 30))),
    )
    glass = mix((120, 96, 70), (210, 200, 190), float(rng.random()))
    dx, dy = (x1 - x0) / columns, (ground - top) / rows
    for i in range(columns):
        for j in range(rows):
            x, y = x0 + (i + 0.25) * dx, top + (j + 0.2) * dy
            _box(c, x, y, x + 0.5 * dx, y + 0.6 * dy, glass)
    _box(c, x0, top - 3, x1, top, darker(wall, 0.8))
    if rng.random() < 0.6:
        _box(c, x0, ground - 0.7 * dy, x1, ground, darker(wall, 0.55))
        _box(c, x0, ground - 0.8 * dy, x1, ground - 0.6 * dy, _bright(rng))


def _car(c: Canvas, x: float, ground: float, size: float, rng: np.random.Generator) -> None:
    paint = _bright(rng)
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
        c.polygon(
            np.array((x + wheel * size, ground - 0.1 * size)) + CIRCLE * (0.17 * size),
            (34, 32, 30),
            convex=True,
        )
        c.polygon(
            np.array((x + wheel * size, ground - 0.1 * size)) + CIRCLE * (0.08 * size),
            (160, 158, 156),
            convex=True,
        )


def _street(c: Canvas, horizon: float, rng: np.random.Generator) -> None:
    width, height = c.size
    kerb = horizon + 0.10 * height
    _sky(c, horizon, rng)
    x = -rng.uniform(0, 40)
    while x < width:
        wide = rng.uniform(0.16, 0.36) * width
        _building(c, x, x + wide, horizon * rng.uniform(-0.2, 0.55), horizon + 0.03 * height, rng)
        x += wide
    paving = mix((150, 156, 160), (120, 140, 158), float(rng.random()))
    _gradient(c.picture, horizon + 0.03 * height, height, darker(paving, 0.8), darker(paving, 1.1))
    if rng.random() < 0.6:
        _gradient(c.picture, horizon + 0.04 * height, kerb, (104, 100, 98), (118, 114, 112))
        for x in rng.uniform(0, width, int(rng.integers(0, 3))).tolist():
            _car(c, x, kerb, 0.11 * height + 0.08 * width, rng)
        _box(c, 0, kerb, width, kerb + 3, darker(paving, 1.2))
    _boards(c, kerb + 3, horizon, darker(paving, 0.85), rng)
    for x in rng.uniform(0, width, int(rng.integers(0, 3))).tolist():
        tree(c, x, kerb, height * rng.uniform(0.35, 0.6), rng)
    if rng.random() < 0.5:
        x = rng.uniform(0, width)
        _box(c, x - 2, 0.05 * height, x + 2, kerb, (70, 72, 74))
        c.polygon(np.array((x, 0.06 * height)) + CIRCLE * (9, 6), (210, 230, 240), convex=True)


def _park(c: Canvas, horizon: float, rng: np.random.Generator) -> None:
    width, height = c.size
    _sky(c, horizon, rng)
    for layer in range(2):
        xs = np.linspace(-10, width + 10, 9)
        ys = horizon - height * rng.uniform(0.0, 0.14 - 0.05 * layer, 9)
        hill = np.concatenate(
            (np.stack((xs, ys), axis=1), ((width + 10.0, horizon + 9.0), (-10.0, horizon + 9.0)))
        )
        c.polygon(hill, mix((112, 140, 118), (160, 150, 130), 0.6 - 0.5 * layer))
    grass = mix((62, 140, 112), (78, 150, 156), float(rng.random()))
    _gradient(c.picture, horizon + 2, height, darker(grass, 0.85), darker(grass, 1.08))
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
    _sky(c, horizon, rng)
    sea = mix((170, 130, 60), (160, 150, 100), float(rng.random()))
    _gradient(c.picture, horizon, shore, darker(sea, 0.85), darker(sea, 1.2))
    for y in np.linspace(horizon + 4, shore, 5).tolist():
        x = rng.uniform(0, width)
        c.line(np.array(((x, y), (x + 0.3 * width, y + 1))), (236, 232, 222), 1)
    sand = mix((150, 196, 220), (168, 190, 204), float(rng.random()))
    _gradient(c.picture, shore, height, darker(sand, 0.92), darker(sand, 1.06))
    for x in rng.uniform(0, width, int(rng.integers(0, 4))).tolist():
        size, y = height * rng.uniform(0.08, 0.16), shore + height * rng.uniform(0.02, 0.08)
        _box(c, x - 1, y - 1.3 * size, x + 1, y, (220, 224, 226))
        shade, other = _bright(rng), (238, 240, 242)
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
    wall = mix(_bright(rng), (190, 196, 200), 0.6)
    _gradient(c.picture, 0, floor, darker(wall, 1.1), darker(wall, 0.85))
    for x in np.arange(rng.uniform(-20, 0), width, 0.16 * width).tolist():
        _box(c, x + 6, 0, x + 0.12 * width, 0.3 * floor, (236, 226, 210))
    seats = _bright(rng)
    for k in range(4):
        y = floor * (0.5 + 0.11 * k)
        _box(c, 0, y, width, y + floor * 0.09, darker(seats, 0.6 + 0.12 * k))
        for x in np.arange(4, width, 9).tolist():
            if rng.random() < 0.75:
                _box(c, x, y + 1, x + 6, y + floor * 0.06, darker(seats, 0.85 + 0.1 * k))
    _box(c, 0, floor * 0.94, width, floor, darker(wall, 0.6))
    boards = mix((92, 146, 196), (120, 140, 110), float(rng.random()))
    _gradient(c.picture, floor, height, darker(boards, 0.82), darker(boards, 1.12))
    _boards(c, floor, horizon, darker(boards, 0.9), rng)
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
