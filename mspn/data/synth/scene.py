"""One picture: a place, persons and things in it, drawn from far to near, and the truth about the persons."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np

from mspn.data.synth import lens, things
from mspn.data.synth.backdrop import PLACES
from mspn.data.synth.body import Drawing, draw_person
from mspn.data.synth.canvas import Canvas
from mspn.data.synth.cast import Actor, sample_cast
from mspn.data.synth.difficulty import Difficulty
from mspn.data.synth.distractors import draw_distractor, hang_poster
from mspn.data.synth.head import head_outline
from mspn.data.synth.look import choose
from mspn.data.synth.pose import SEATED
from mspn.data.synth.truth import Truth, truth_of

# Width and height in pixels.
SIZES = ((320, 240), (400, 300), (360, 270), (384, 288), (300, 400), (270, 360), (320, 320))
SPLITS = ("train", "val")
_POSTERS = 0.3  # share of the distractors that hang on a wall


@dataclass(frozen=True)
class Scene:
    """A finished picture (H, W, 3) uint8 BGR, the JPEG quality that it is kept at, and its persons."""

    picture: np.ndarray
    jpeg_quality: int
    persons: list[Truth]


def stream(seed: int, split: str, index: int) -> np.random.Generator:
    """The picture's own random numbers: a function of the three and of nothing else."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence((seed, SPLITS.index(split), index))))


def make_scene(rng: np.random.Generator, difficulty: Difficulty) -> Scene:
    width, height = choose(rng, SIZES)
    canvas = Canvas(np.zeros((height, width, 3), np.uint8))
    side = 0.75 if rng.random() < 0.5 else -0.75
    canvas.light = (side * float(rng.uniform(0.5, 1.0)), -0.66)
    horizon = height * float(rng.uniform(0.24, 0.46))
    place = choose(rng, list(PLACES))
    PLACES[place](canvas, horizon, rng)
    distractors = int(rng.poisson(difficulty.distractors))
    posters = int(rng.binomial(distractors, _POSTERS))
    for _ in range(posters):
        hang_poster(canvas, horizon, rng)
    cv2.GaussianBlur(canvas.picture, (3, 3), 0, dst=canvas.picture)
    lens.roughen(canvas.picture, rng)
    actors = sample_cast(canvas, horizon, rng, difficulty)
    drawings = _stage(canvas, horizon, place, actors, distractors - posters, rng, difficulty)
    persons = [
        truth_of(canvas, number, d.figure, d.flat, head_outline(d)) for number, d in sorted(drawings.items())
    ]
    low, high = difficulty.jpeg_quality
    picture = lens.expose(canvas, rng, difficulty)
    return Scene(picture, int(rng.integers(low, high + 1)), [person for person in persons if person])


def _stage(
    canvas: Canvas, horizon: float, place: str, actors: list[Actor], distractors: int,
    rng: np.random.Generator, difficulty: Difficulty,
) -> dict[int, Drawing]:  # fmt: skip
    """Draw shadows, then persons, things and distractors, far ones first; persons' drawings by number."""
    width, height = canvas.size
    drawings: dict[int, Drawing] = {}
    queue: list[tuple[float, Callable[[], None]]] = []
    spots = []
    for number, actor in enumerate(actors, start=1):
        queue.append((actor.ground, partial(_draw_actor, canvas, number, actor, rng, drawings)))
        x = actor.origin[0] - 0.12 * actor.scale * canvas.light[0]
        spots.append((x, actor.ground, 0.24 * actor.scale, 0.05 * actor.scale))
    eye_level = (actors[-1].ground - horizon) / actors[-1].scale
    behind, before = (
        int(rng.integers(low, high + 1)) for low, high in (difficulty.things_behind, difficulty.things_before)
    )
    for k in range(behind + before):
        scale, x = height * float(rng.uniform(0.3, 0.6)), float(rng.uniform(0, width))
        if k >= behind:  # nearer than somebody, and over that person
            hidden = choose(rng, actors)
            scale = hidden.scale * float(rng.uniform(1.02, 1.12))
            x = hidden.origin[0] + hidden.scale * float(rng.normal(0.0, 0.2))
        ground = horizon + eye_level * scale
        draw = choose(rng, things.THINGS[place])
        spots.append((x, ground, 0.2 * scale, 0.04 * scale))
        queue.append((ground, partial(draw, canvas, x, ground, scale, rng)))
    for number in range(len(actors) + 1, len(actors) + 1 + distractors):
        scale, x = height * float(rng.uniform(0.35, 0.8)), width * float(rng.uniform(0.05, 0.95))
        ground = horizon + eye_level * scale
        spots.append((x, ground, 0.2 * scale, 0.04 * scale))
        queue.append((ground, partial(draw_distractor, canvas, number, x, ground, scale, rng)))
    things.shadows(canvas, spots)
    for _, draw_item in sorted(queue, key=lambda item: item[0]):
        draw_item()
    return drawings


def _draw_actor(
    canvas: Canvas, number: int, actor: Actor, rng: np.random.Generator, drawings: dict[int, Drawing]
) -> None:
    s = actor.scale
    if actor.activity in SEATED:
        tall = max((actor.ground - actor.origin[1]) / s - 0.055, 0.05)
        things.stool(canvas, actor.origin[0], actor.ground - 0.02 * s, s, rng, tall)
    canvas.who = number
    drawings[number] = draw_person(canvas, actor.figure, actor.look, actor.origin, s, rng)
    canvas.who = 0
