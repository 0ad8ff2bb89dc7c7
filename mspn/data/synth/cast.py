"""Who is in a picture: persons with their poses, clothes and places."""

from dataclasses import dataclass, replace
from math import exp, log

import numpy as np

from mspn.data.synth.canvas import Canvas
from mspn.data.synth.difficulty import Difficulty
from mspn.data.synth.look import Look, choose, sample_look
from mspn.data.synth.pose import ACTIVITIES, AIRBORNE, Figure, camera, pose_figure, sample_angles, sample_body

_RARE = ("lie", "crawl", "handstand")
_COMMON = tuple(name for name in ACTIVITIES if name not in _RARE)
_UPRIGHT = ("stand", "stand at ease", "walk", "hands on hips")
_SMALLEST_PX = 44  # standing height of the farthest person
_MARGIN = 0.10  # of the width: who stands alone keeps this far from the border, unless ``outside`` is large


@dataclass
class Actor:
    """A person to be drawn: its pose, clothes and place; pixels."""

    figure: Figure
    look: Look
    activity: str
    origin: tuple[float, float]  # the hips' middle
    ground: float  # the row of the ground that it stands on
    scale: float  # pixels per standing height


def sample_yaw(rng: np.random.Generator) -> float:
    """Degrees: a view from the front, the back, a side, or in between."""
    chance = rng.random()
    sign = 1.0 if rng.random() < 0.5 else -1.0
    if chance < 0.36:
        return float(rng.normal(0.0, 16.0))
    if chance < 0.56:
        return float(rng.normal(180.0, 20.0))
    if chance < 0.78:
        return sign * float(rng.normal(90.0, 14.0))
    return sign * float((45.0 if rng.random() < 0.5 else 135.0) + rng.normal(0.0, 12.0))


def sample_cast(
    canvas: Canvas, horizon: float, rng: np.random.Generator, difficulty: Difficulty
) -> list[Actor]:
    """The picture's persons, the farthest first; the place is drawn already."""
    width, height = canvas.size
    eye_level = float(rng.uniform(0.55, 0.92))  # the camera's height in standing heights
    elevation = float(rng.uniform(*difficulty.elevation_deg))
    count = int(rng.integers(difficulty.persons[0], difficulty.persons[1] + 1))
    low, high = (log(h) for h in difficulty.height)
    scales = [height * exp(float(rng.uniform(low, high))) for _ in range(count)]
    if rng.random() < difficulty.near:
        scales[0] = height * float(rng.uniform(*difficulty.near_height))
    actors: list[Actor] = []
    for wanted in sorted(scales):
        near = actors[-1] if actors and rng.random() < difficulty.group else None
        scale = max(wanted, _SMALLEST_PX)
        if near is not None:
            scale = max(min(scale, 1.12 * near.scale), 0.9 * near.scale)
        x = _across(width, scale, actors, near, rng, difficulty)
        actors.append(_stand(x, horizon + eye_level * scale, scale, elevation, rng, difficulty))
        if len(actors) > 1 and rng.random() < difficulty.same_clothes:
            actors[-1].look = _dressed_alike(actors[-1].look, actors[-2].look)
        if difficulty.camouflage:
            _camouflage(canvas, actors[-1], rng, difficulty.camouflage)
    return sorted(actors, key=lambda actor: actor.ground)


def _across(
    width: int, scale: float, actors: list[Actor], near: Actor | None, rng: np.random.Generator,
    difficulty: Difficulty,
) -> float:  # fmt: skip
    """Where across the picture a person stands: beside ``near``, or where there is room."""
    low, high = -difficulty.outside * width, (1 + difficulty.outside) * width
    if near is not None:
        sign = 1.0 if rng.random() < 0.5 else -1.0
        x = near.origin[0] + sign * difficulty.closeness * scale * float(rng.uniform(0.7, 1.6))
        return min(max(x, low), high)
    margin = max(0.0, _MARGIN - difficulty.outside) * width
    tries = rng.uniform(low + margin, high - margin, 4).tolist()
    return float(max(tries, key=lambda x: min((abs(x - actor.origin[0]) for actor in actors), default=0.0)))


def _stand(
    x: float, ground: float, scale: float, elevation: float, rng: np.random.Generator, difficulty: Difficulty
) -> Actor:
    """A person whose lowest point is on the ground, or above it in a jump."""
    names = _RARE if rng.random() < difficulty.rare else _COMMON
    yaw = sample_yaw(rng)
    if rng.random() < difficulty.upright:
        names, yaw = _UPRIGHT, float(rng.normal(0.0 if rng.random() < 0.7 else 180.0, 14.0))
    activity = choose(rng, names)
    angles = sample_angles(rng, activity, difficulty.spread)
    view = camera(yaw, elevation, float(rng.normal(0.0, difficulty.roll_deg)))
    body = sample_body(rng)
    figure = pose_figure(body, angles, view)
    lowest = min(float(point[1]) for point in figure.points.values())
    middle = 0.5 * float(figure.points["thorax"][0] + figure.points["pelvis"][0])
    lift = scale * float(rng.uniform(0.05, 0.2)) if activity in AIRBORNE else 0.0
    thickness = 0.05 * body.girth if activity == "lie" else 0.012
    origin = (x - scale * middle, ground + scale * (lowest - thickness) - lift)
    return Actor(figure, sample_look(rng), activity, origin, ground, scale)


def _dressed_alike(look: Look, other: Look) -> Look:
    return replace(
        other,
        skin=look.skin,
        hair=look.hair,
        hairstyle=look.hairstyle,
        beard=look.beard,
        glasses=look.glasses,
    )


def _camouflage(canvas: Canvas, actor: Actor, rng: np.random.Generator, chance: float) -> None:
    width, height = canvas.size
    for garment, dy in (("top_colour", -0.2), ("bottom_colour", 0.25)):
        if rng.random() < chance:
            x = min(max(int(actor.origin[0] + 0.2 * actor.scale), 0), width - 1)
            y = min(max(int(actor.origin[1] + dy * actor.scale), 0), height - 1)
            behind = tuple(float(value) for value in canvas.picture[y, x])
            actor.look = replace(actor.look, **{garment: behind})  # type: ignore[arg-type]
