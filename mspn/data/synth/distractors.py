"""What looks like a person and is none: statues, mannequins, posters, coat-stands. They carry no labels."""

from dataclasses import replace

import cv2
import numpy as np

from mspn.data.synth.body import draw_person
from mspn.data.synth.canvas import CIRCLE, Canvas, Colour, darker, ellipse
from mspn.data.synth.look import CLOTH, choose, lifeless, sample_look
from mspn.data.synth.pose import camera, pose_figure, sample_angles, sample_body
from mspn.data.synth.things import THING, cuboid

_STONE: tuple[Colour, ...] = ((168, 172, 174), (190, 198, 202), (120, 142, 120), (92, 112, 132))
_PLASTIC: tuple[Colour, ...] = ((206, 216, 226), (70, 68, 66), (226, 226, 226))
_STILL = ("stand", "stand at ease", "hands on hips", "one hand on hip", "point", "wave")


def draw_distractor(
    c: Canvas, number: int, x: float, ground: float, scale: float, rng: np.random.Generator
) -> None:
    """A statue on its plinth, a mannequin or a coat-stand; ``number`` is a person number that nobody has."""
    kind = rng.random()
    if kind < 0.3:
        _coat_stand(c, x, ground, scale, rng)
        return
    stone = kind < 0.65
    plinth = 0.22 * scale if stone else 0.02 * scale
    material = choose(rng, _STONE if stone else _PLASTIC)
    cuboid(c, x, ground, 0.34 * scale, plinth, 0.14 * scale, darker(material, 0.85))
    look = sample_look(rng)
    plain = lifeless(look, material)
    if not stone and rng.random() < 0.5:  # a dressed mannequin
        plain = replace(plain, top_colour=look.top_colour, bottom_colour=look.bottom_colour, hairstyle="bald")
    angles = sample_angles(rng, choose(rng, _STILL), 0.8)
    figure = pose_figure(sample_body(rng), angles, camera(float(rng.uniform(-180, 180)), 6))
    size = scale * float(rng.uniform(0.75, 1.0))
    lowest = min(float(point[1]) for point in figure.points.values())
    c.who = number
    draw_person(c, figure, plain, (x, ground - plinth + size * lowest), size, rng)
    c.who = 0


def _coat_stand(c: Canvas, x: float, ground: float, s: float, rng: np.random.Generator) -> None:
    wood: Colour = (52, 78, 108)
    cuboid(c, x, ground, 0.03 * s, 0.95 * s, 0.02 * s, wood)
    cuboid(c, x, ground, 0.26 * s, 0.03 * s, 0.08 * s, wood)
    colour = darker(choose(rng, CLOTH), 0.9)
    right = np.array(((0.10, -0.86), (0.16, -0.62), (0.15, -0.42), (0.10, -0.40), (0.11, -0.22)))
    coat = np.concatenate((((0.0, -0.90),), right, right[::-1] * (-1, 1)))
    c.polygon(coat * s + (x, ground), colour, THING)
    c.line(np.array(((0.0, -0.86), (0.01, -0.24))) * s + (x, ground), darker(colour, 0.65), 0.012 * s)
    for side in (-0.11, 0.11):
        c.line(
            np.array(((side * 0.8, -0.8), (side, -0.42))) * s + (x, ground), darker(colour, 0.75), 0.012 * s
        )
    if rng.random() < 0.6:
        hat = choose(rng, CLOTH)
        c.polygon(ellipse(np.array((x, ground - 0.955 * s)), 0.05 * s, 0.05 * s), hat, THING, convex=True)
        c.polygon(
            ellipse(np.array((x, ground - 0.935 * s)), 0.09 * s, 0.018 * s),
            darker(hat, 0.8),
            THING,
            convex=True,
        )


def hang_poster(c: Canvas, horizon: float, rng: np.random.Generator) -> None:
    """A flat picture of a person on the backdrop."""
    width, height = c.size
    tall = int(height * rng.uniform(0.22, 0.42))
    wide = int(tall * rng.uniform(0.6, 0.8))
    x, y = int(rng.integers(0, max(1, width - wide))), int(max(0, horizon - tall * rng.uniform(0.6, 0.95)))
    small = Canvas(np.full((tall, wide, 3), darker(choose(rng, CLOTH), 1.0), np.uint8))
    small.polygon(np.array((wide / 2, tall / 2)) + CIRCLE * (0.4 * wide), (230, 232, 234), convex=True)
    small.who = 1
    figure = pose_figure(
        sample_body(rng), sample_angles(rng, "wave", 1.5), camera(float(rng.normal(0, 50)), 4)
    )
    size = tall * float(rng.uniform(0.9, 1.6))
    draw_person(small, figure, sample_look(rng), (wide / 2, 0.12 * tall + 0.45 * size), size, rng)
    cv2.rectangle(small.picture, (0, 0), (wide - 1, tall - 1), (238, 238, 238), 2)
    room = c.picture[y : y + tall, x : x + wide]
    room[:] = small.picture[: room.shape[0], : room.shape[1]]
