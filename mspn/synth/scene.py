"""One picture: a place, persons and things in it, drawn from far to near, and what is to be known of each person."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import exp, log

import cv2
import numpy as np

from mspn.synth import backdrop, lens, things
from mspn.synth.body import Drawing, draw_person, project
from mspn.synth.canvas import PARTS_PER_PERSON, Canvas
from mspn.synth.difficulty import Difficulty
from mspn.synth.distractors import draw_distractor, hang_poster
from mspn.synth.head import head_outline
from mspn.synth.look import Look, sample_look
from mspn.synth.pose import (
    ACTIVITIES, AIRBORNE, SEATED, Body, Figure, camera, pose_figure, sample_angles, sample_body,
)  # fmt: skip
from mspn.synth.truth import Truth, truth_of

SIZES = ((320, 240), (400, 300), (360, 270), (384, 288), (300, 400), (270, 360), (320, 320))  # width, height
SPLITS = ("train", "val")
_RARE = ("lie", "crawl", "handstand")
_COMMON = tuple(name for name in ACTIVITIES if name not in _RARE)
_SMALLEST_PX = 44  # standing height of the farthest person


@dataclass
class Actor:
    """A person to be drawn: its pose, clothes, and place; pixels."""

    figure: Figure
    look: Look
    activity: str
    origin: tuple[float, float]  # the hips' middle
    ground: float
    scale: float  # pixels per standing height


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
    """Draw one picture."""
    width, height = SIZES[int(rng.integers(len(SIZES)))]
    canvas = Canvas(np.zeros((height, width, 3), np.uint8))
    side = 0.75 if rng.random() < 0.5 else -0.75
    canvas.light = (side * float(rng.uniform(0.5, 1.0)), -0.66)
    horizon = height * float(rng.uniform(0.24, 0.46))
    place = list(backdrop.PLACES)[int(rng.integers(len(backdrop.PLACES)))]
    backdrop.PLACES[place](canvas, horizon, rng)
    distractors = int(rng.poisson(difficulty.distractors)) if difficulty.distractors else 0
    posters = sum(rng.random(distractors) < 0.3) if distractors else 0
    for _ in range(posters):
        hang_poster(canvas, horizon, rng)
    cv2.GaussianBlur(canvas.picture, (3, 3), 0, dst=canvas.picture)
    backdrop.roughen(canvas.picture, rng)
    actors = _cast(canvas, horizon, rng, difficulty)
    _stage(canvas, horizon, place, actors, distractors - posters, rng, difficulty)
    persons = [truth_of(canvas, number + 1, actor.figure, project(actor.figure, actor.origin, actor.scale),
                        head_outline(Drawing(canvas, actor.figure, actor.look, actor.scale,
                                             project(actor.figure, actor.origin, actor.scale))))
               for number, actor in enumerate(actors)]  # fmt: skip
    picture = lens.expose(canvas, rng, difficulty)
    low, high = difficulty.jpeg_quality
    return Scene(picture, int(rng.integers(low, high + 1)), [person for person in persons if person])


def _yaw(rng: np.random.Generator) -> float:
    """Degrees: frontal, back, side or three quarter view."""
    chance = rng.random()
    sign = 1.0 if rng.random() < 0.5 else -1.0
    if chance < 0.36:
        return float(rng.normal(0.0, 16.0))
    if chance < 0.56:
        return float(rng.normal(180.0, 20.0))
    if chance < 0.78:
        return sign * float(rng.normal(90.0, 14.0))
    return sign * float(rng.choice((45.0, 135.0)) + rng.normal(0.0, 12.0))


def _cast(canvas: Canvas, horizon: float, rng: np.random.Generator, difficulty: Difficulty) -> list[Actor]:
    """The picture's persons with their places, the farthest first."""
    width, height = canvas.size
    eye_level = float(
        rng.uniform(0.55, 0.92)
    )  # the camera's height in standing heights: where the horizon cuts
    elevation = float(rng.uniform(*difficulty.elevation_deg))
    count = int(rng.integers(difficulty.persons[0], difficulty.persons[1] + 1))
    low, high = (log(h) for h in difficulty.height)
    scales = [height * exp(float(rng.uniform(low, high))) for _ in range(count)]
    if rng.random() < difficulty.near:
        scales[0] = height * float(rng.uniform(*difficulty.near_height))
    actors: list[Actor] = []
    for scale in sorted(max(scale, _SMALLEST_PX) for scale in scales):
        body, look = sample_body(rng), sample_look(rng)
        if actors and rng.random() < difficulty.same_clothes:
            look = replace(actors[-1].look, skin=look.skin, hair=look.hair, hairstyle=look.hairstyle)
        names = _RARE if rng.random() < difficulty.rare else _COMMON
        activity = names[int(rng.integers(len(names)))]
        angles = sample_angles(rng, activity, difficulty.spread)
        view = camera(_yaw(rng), elevation, float(rng.normal(0.0, difficulty.roll_deg)))
        figure = pose_figure(body, angles, view)
        near = actors[-1] if actors and rng.random() < difficulty.group else None
        if near is not None:
            scale = max(min(scale, 1.12 * near.scale), 0.9 * near.scale)
        x = _place(width, scale, actors, near, rng, difficulty)
        actors.append(_stand(figure, look, activity, x, horizon + eye_level * scale, scale, body, rng))
        if difficulty.camouflage:
            actors[-1].look = _camouflage(canvas, actors[-1], rng, difficulty)
    return sorted(actors, key=lambda actor: actor.ground)


def _place(
    width: int, scale: float, actors: list[Actor], near: Actor | None, rng: np.random.Generator,
    difficulty: Difficulty,
) -> float:  # fmt: skip
    """Where across the picture a person stands: beside ``near``, or where there is room."""
    low, high = -difficulty.outside * width, (1 + difficulty.outside) * width
    if near is not None:
        sign = 1.0 if rng.random() < 0.5 else -1.0
        return float(
            np.clip(near.origin[0] + sign * difficulty.closeness * scale * rng.uniform(0.7, 1.6), low, high)
        )
    margin = 0.10 * width if difficulty.outside < 0.05 else 0.0
    tries = rng.uniform(low + margin, high - margin, 4 if actors else 1).tolist()
    return float(max(tries, key=lambda x: min((abs(x - actor.origin[0]) for actor in actors), default=0.0)))


def _stand(
    figure: Figure, look: Look, activity: str, x: float, ground: float, scale: float, body: Body,
    rng: np.random.Generator,
) -> Actor:  # fmt: skip
    """Put a figure's lowest point on the ground, or above it in a jump."""
    lowest = min(float(point[1]) for point in figure.points.values())
    middle = 0.5 * float(figure.points["thorax"][0] + figure.points["pelvis"][0])
    lift = scale * float(rng.uniform(0.05, 0.2)) if activity in AIRBORNE else 0.0
    thickness = 0.05 * body.girth if activity == "lie" else 0.012
    origin = (x - scale * middle, ground + scale * (lowest - thickness) - lift)
    return Actor(figure, look, activity, origin, ground, scale)


def _camouflage(canvas: Canvas, actor: Actor, rng: np.random.Generator, difficulty: Difficulty) -> Look:
    """Now and then a top or trousers of the colour that is behind them."""
    width, height = canvas.size
    look = actor.look
    for name, dy in (("top_colour", -0.2), ("bottom_colour", 0.25)):
        if rng.random() < difficulty.camouflage:
            x = int(np.clip(actor.origin[0] + 0.2 * actor.scale, 0, width - 1))
            y = int(np.clip(actor.origin[1] + dy * actor.scale, 0, height - 1))
            b, g, r = (float(v) for v in canvas.picture[y, x])
            look = replace(look, **{name: (b, g, r)})
    return look


def _stage(
    canvas: Canvas, horizon: float, place: str, actors: list[Actor], distractors: int, rng: np.random.Generator,
    difficulty: Difficulty,
) -> None:  # fmt: skip
    """Draw shadows, then persons, things and distractors from far to near."""
    width, height = canvas.size
    queue: list[tuple[float, Callable[[], None]]] = []
    spots = [(actor.origin[0] + 0.12 * actor.scale * -canvas.light[0], actor.ground, 0.24 * actor.scale, 0.05 * actor.scale)
             for actor in actors]  # fmt: skip
    for number, actor in enumerate(actors):
        queue.append((actor.ground, lambda n=number + 1, a=actor: _draw_actor(canvas, n, a, rng)))  # type: ignore[misc]
    eye = (actors[-1].ground - horizon) / actors[-1].scale
    behind = int(rng.integers(difficulty.things_behind[0], difficulty.things_behind[1] + 1))
    before = int(rng.integers(difficulty.things_before[0], difficulty.things_before[1] + 1))
    for k in range(behind + before):
        scale = height * float(rng.uniform(0.3, 0.6))
        x = float(rng.uniform(0, width))
        if k >= behind:  # nearer than somebody, and over the person
            hidden = actors[int(rng.integers(len(actors)))]
            scale = hidden.scale * float(rng.uniform(1.02, 1.12))
            x = hidden.origin[0] + hidden.scale * float(rng.normal(0.0, 0.2))
        ground = horizon + eye * scale
        draw = things.THINGS[place][int(rng.integers(len(things.THINGS[place])))]
        spots.append((x, ground, 0.2 * scale, 0.04 * scale))
        queue.append((ground, lambda d=draw, x=x, g=ground, s=scale: d(canvas, x, g, s, rng)))  # type: ignore[misc]
    for k in range(distractors):
        scale = height * float(rng.uniform(0.35, 0.8))
        x, ground = float(rng.uniform(0.05, 0.95)) * width, horizon + eye * scale
        spots.append((x, ground, 0.2 * scale, 0.04 * scale))
        number = len(actors) + 1 + k
        queue.append(
            (ground, lambda n=number, x=x, g=ground, s=scale: draw_distractor(canvas, n, x, g, s, rng))
        )  # type: ignore[misc]
    things.shadows(canvas, spots, strength=0.42)
    for _, draw_item in sorted(queue, key=lambda item: item[0]):
        draw_item()


def _draw_actor(canvas: Canvas, number: int, actor: Actor, rng: np.random.Generator) -> None:
    if actor.activity in SEATED:
        tall = (actor.ground - actor.origin[1]) / actor.scale - 0.055
        things.stool(
            canvas, actor.origin[0], actor.ground - 0.02 * actor.scale, actor.scale, rng, max(tall, 0.05)
        )
    canvas.who = number
    draw_person(canvas, actor.figure, actor.look, actor.origin, actor.scale, rng)
    canvas.who = 0


__all__ = ["PARTS_PER_PERSON", "SIZES", "SPLITS", "Actor", "Scene", "make_scene", "stream"]
