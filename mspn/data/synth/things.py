"""Things that stand about, before and behind the persons, and the shadows on the ground."""

from collections.abc import Callable

import cv2
import numpy as np

from mspn.data.synth.canvas import CIRCLE, Canvas, Colour, darker
from mspn.data.synth.look import CLOTH, choose
from mspn.data.synth.scenery import foliage, tree

THING = 1  # the owner map's value for a thing
_SHADOW = 0.42  # how dark shadows on the ground are


def cuboid(c: Canvas, x: float, ground: float, wide: float, tall: float, deep: float, colour: Colour) -> None:
    """A box seen slightly from above: front, top and one side; pixels. ``x`` is the front's middle."""
    x0, x1, top = x - wide / 2, x + wide / 2, ground - tall
    shift = 0.5 * deep
    lit_left = c.light[0] < 0
    roof = np.array(((x0, top), (x1, top), (x1 + shift, top - 0.6 * deep), (x0 + shift, top - 0.6 * deep)))
    side = np.array(
        ((x1, top), (x1 + shift, top - 0.6 * deep), (x1 + shift, ground - 0.6 * deep), (x1, ground))
    )
    front = np.array(((x0, top), (x1, top), (x1, ground), (x0, ground)))
    c.polygon(side, darker(colour, 0.62 if lit_left else 0.95), THING, convex=True)
    c.polygon(roof, darker(colour, 1.18), THING, convex=True)
    c.polygon(front, darker(colour, 0.95 if lit_left else 0.78), THING, convex=True)


def _paint(rng: np.random.Generator) -> Colour:
    return darker(choose(rng, CLOTH), float(rng.uniform(0.6, 1.0)))


def _wood(rng: np.random.Generator) -> Colour:
    return darker((78, 118, 164), float(rng.uniform(0.5, 1.3)))


def chair(c: Canvas, x: float, ground: float, s: float, rng: np.random.Generator) -> None:
    wood = _wood(rng)
    for dx, dy in ((-0.11, 0.0), (0.11, 0.0), (-0.09, -0.05), (0.13, -0.05)):
        cuboid(c, x + dx * s, ground + dy * s, 0.025 * s, 0.25 * s, 0.02 * s, darker(wood, 0.8))
    cuboid(c, x, ground - 0.24 * s, 0.26 * s, 0.03 * s, 0.10 * s, wood)
    back = ground - 0.28 * s
    for k in (0.06, 0.15, 0.24):
        cuboid(c, x + 0.02 * s, back - k * s, 0.26 * s, 0.045 * s, 0.01 * s, darker(wood, 0.95))


def stool(c: Canvas, x: float, ground: float, s: float, rng: np.random.Generator, tall: float) -> None:
    cuboid(c, x, ground, 0.24 * s, tall * s, 0.12 * s, _paint(rng))


def table(c: Canvas, x: float, ground: float, s: float, rng: np.random.Generator) -> None:
    wood, wide = _wood(rng), float(rng.uniform(0.5, 0.85))
    for side in (-0.45, 0.45):
        cuboid(c, x + side * wide * s, ground, 0.035 * s, 0.38 * s, 0.02 * s, darker(wood, 0.75))
    cuboid(c, x, ground - 0.38 * s, wide * s, 0.035 * s, 0.16 * s, wood)
    for _ in range(int(rng.integers(1, 4))):
        at = x + float(rng.uniform(-0.4, 0.4)) * wide * s
        cuboid(c, at, ground - 0.44 * s, 0.05 * s, float(rng.uniform(0.04, 0.12)) * s, 0.03 * s, _paint(rng))


def box(c: Canvas, x: float, ground: float, s: float, rng: np.random.Generator) -> None:
    wide, tall = float(rng.uniform(0.18, 0.36)), float(rng.uniform(0.16, 0.4))
    colour = _paint(rng)
    cuboid(c, x, ground, wide * s, tall * s, 0.13 * s, colour)
    tape = np.array(((-0.02, 0.0), (0.02, 0.0), (0.02, -tall), (-0.02, -tall))) * s + (x, ground)
    c.polygon(tape, darker(colour, 0.7), THING, convex=True)


def plant(c: Canvas, x: float, ground: float, s: float, rng: np.random.Generator) -> None:
    pot = np.array(((-0.08, 0.0), (-0.11, -0.17), (0.11, -0.17), (0.08, 0.0))) * s + (x, ground)
    foliage(c, x, ground - 0.34 * s, 0.20 * s, rng, THING)
    c.polygon(pot, _paint(rng), THING, convex=True)


def bush(c: Canvas, x: float, ground: float, s: float, rng: np.random.Generator) -> None:
    foliage(c, x - 0.12 * s, ground - 0.14 * s, 0.22 * s, rng, THING)
    foliage(c, x + 0.14 * s, ground - 0.12 * s, 0.20 * s, rng, THING)


def trunk(c: Canvas, x: float, ground: float, s: float, rng: np.random.Generator) -> None:
    tree(c, x, ground, s * float(rng.uniform(1.5, 2.1)), rng, THING)


def bench(c: Canvas, x: float, ground: float, s: float, rng: np.random.Generator) -> None:
    wood = _wood(rng)
    for side in (-0.3, 0.3):
        cuboid(c, x + side * s, ground, 0.03 * s, 0.24 * s, 0.06 * s, (64, 62, 60))
    for low in (0.36, 0.44):
        cuboid(c, x + 0.03 * s, ground - low * s, 0.72 * s, 0.05 * s, 0.01 * s, darker(wood, 0.9))
    cuboid(c, x, ground - 0.24 * s, 0.72 * s, 0.03 * s, 0.12 * s, wood)


def post(c: Canvas, x: float, ground: float, s: float, rng: np.random.Generator) -> None:
    tall = float(rng.choice((0.45, 1.4)))
    cuboid(c, x, ground, 0.045 * s, tall * s, 0.03 * s, (96, 98, 100))
    if tall > 1:
        disc = np.array((x, ground - 1.35 * s)) + CIRCLE * (0.13 * s)
        c.polygon(disc, _paint(rng), THING, convex=True)
        c.line(disc, (240, 240, 240), 0.02 * s, closed=True)


def fence(c: Canvas, x: float, ground: float, s: float, rng: np.random.Generator) -> None:
    colour, wide = _wood(rng), float(rng.uniform(0.6, 1.1))
    for low in (0.12, 0.32):
        cuboid(c, x, ground - low * s, wide * s, 0.035 * s, 0.01 * s, colour)
    for k in np.linspace(-0.5, 0.5, 9).tolist():
        cuboid(c, x + k * wide * s, ground, 0.05 * s, 0.42 * s, 0.01 * s, colour)


def ball(c: Canvas, x: float, ground: float, s: float, rng: np.random.Generator) -> None:
    colour, r = _paint(rng), 0.07 * s
    place = np.array((x, ground - r))
    for tone, share in ((0.75, 1.0), (1.0, 0.8), (1.25, 0.4)):
        shift = np.array(c.light) * r * (1 - share) * 0.8
        c.polygon(place + shift + CIRCLE * (r * share), darker(colour, tone), THING, convex=True)


THINGS: dict[str, tuple[Callable[[Canvas, float, float, float, np.random.Generator], None], ...]] = {
    "room": (chair, table, plant, box, chair, table),
    "street": (box, post, bush, bench, trunk, post),
    "park": (bush, bench, trunk, bush, fence, ball),
    "beach": (box, ball, fence, bush, post),
    "hall": (box, ball, bench, post, chair),
}


def shadows(c: Canvas, spots: list[tuple[float, float, float, float]]) -> None:
    """Soft dark ellipses (x, y, half width, half height in pixels) on the ground."""
    width, height = c.size
    layer = np.full((height // 2, width // 2), 255, np.uint8)
    for x, y, a, b in spots:
        centre = np.array((x, y)) / 2
        outline = np.rint(centre + CIRCLE * (a / 2, b / 2)).astype(np.int32)
        cv2.fillConvexPoly(layer, outline, 255 * (1 - _SHADOW))
    full = cv2.resize(cv2.blur(layer, (9, 5)), (width, height), interpolation=cv2.INTER_LINEAR)
    cv2.multiply(c.picture, cv2.merge((full, full, full)), dst=c.picture, scale=1 / 255)
