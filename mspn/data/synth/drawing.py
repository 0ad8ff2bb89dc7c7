"""A figure on the picture: what its parts draw on, and where its points lie."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from mspn.data.synth.canvas import Canvas, Colour
from mspn.data.synth.look import Look
from mspn.data.synth.pose import Figure


@dataclass
class Stroke:
    """A limb, or the cloth on its first part; pixels."""

    start: np.ndarray
    end: np.ndarray
    radii: np.ndarray  # (5,)
    colour: Colour
    part: int
    bulge: float = 1.0


@dataclass
class Drawing:
    """A figure on the picture: 2D points in pixels by name, limbs' strokes, and what is to be drawn when."""

    canvas: Canvas
    figure: Figure
    look: Look
    scale: float  # pixels per standing height
    flat: dict[str, np.ndarray]
    strokes: list[Stroke] = field(default_factory=list)
    items: list[tuple[float, Callable[[], None]]] = field(default_factory=list)


def project(figure: Figure, origin: tuple[float, float], scale: float) -> dict[str, np.ndarray]:
    """Every point of the figure in the picture, (2,) pixels; the hips' middle falls on ``origin``."""
    places = np.array(list(figure.points.values()))[:, :2] * (scale, -scale) + origin
    return dict(zip(figure.points, places, strict=True))
