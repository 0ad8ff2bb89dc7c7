"""Curves through noisy points: a law with its band where the points decide one, else an envelope.

Every function takes the points' places ``x`` (n,) and draws ``y`` (B, n) of their values (see
`mspn.report.draws`), and gives a curve a draw: (B, G) at the G places of ``grid``. What is left to chance is
then read off the draws: the band is what lies between their percentiles.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

ENOUGH = 4  # points: one more than the law has numbers
# Exponents tried, each with the a and b of least squares: the whole range, so that no start can mislead.
EXPONENTS = np.geomspace(0.05, 8.0, 120)
# The law is identified where this share of the draws has its exponent inside the range.
SURE = 0.95
LEVEL = (2.5, 97.5)  # percentiles: a 95 % band

Kind = Literal["law", "envelope", "lines"]


@dataclass(frozen=True)
class Curve:
    """A curve of each draw: (B, G) ``draws`` at ``grid`` (G,), and how it was come by.

    ``exponent`` is that of the law with the ends of its interval; None for the other kinds.
    """

    grid: np.ndarray
    draws: np.ndarray
    kind: Kind
    exponent: tuple[float, float, float] | None = None

    @property
    def middle(self) -> np.ndarray:
        """(G,) the median curve."""
        middle: np.ndarray = np.median(self.draws, axis=0)
        return middle

    @property
    def band(self) -> tuple[np.ndarray, np.ndarray]:
        """(G,) and (G,): the ends of the 95 % band."""
        low, high = np.percentile(self.draws, LEVEL, axis=0)
        return low, high


def places(x: np.ndarray, count: int = 60) -> np.ndarray:
    """(count,) places from the smallest to the largest of ``x``, evenly on a logarithmic axis."""
    grid = np.geomspace(x.min(), x.max(), count)
    grid[0], grid[-1] = x.min(), x.max()
    return grid


def fit(x: np.ndarray, y: np.ndarray, grid: np.ndarray | None = None) -> Curve:
    """The law y = a - b x^-c, b >= 0, c > 0, fitted to each draw; where it is not identified, the envelope.

    It is not where there are fewer points than `ENOUGH`, or where more than one draw in twenty is as well or
    better served by no rise at all, or by an exponent at the end of the range.
    """
    grid = places(x) if grid is None else grid
    if len(np.unique(x)) >= ENOUGH:
        a, b, c = _law(x, y)
        inside = (b > 0) & (c > EXPONENTS[0]) & (c < EXPONENTS[-1])
        if inside.mean() >= SURE:
            middle, (low, high) = float(np.median(c)), np.percentile(c, LEVEL)
            scaled = grid / _scale(x)
            curves = a[:, None] - b[:, None] * scaled ** -c[:, None]
            return Curve(grid, curves, "law", (middle, float(low), float(high)))
    return Curve(grid, envelope(x, y, grid), "envelope")


def _scale(x: np.ndarray) -> float:
    return float(np.exp(np.log(x).mean()))


def _law(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(B,) a, b and c of least squares over `EXPONENTS`; x is in units of its geometric mean."""
    best = np.full(len(y), np.inf)
    a, b, c = (np.zeros(len(y)) for _ in range(3))
    for exponent in EXPONENTS:
        falling = -((x / _scale(x)) ** -exponent)
        centred = falling - falling.mean()
        slope = np.maximum(y @ centred / (centred @ centred), 0)  # y - mean(y) is orthogonal to the rest
        level = y.mean(axis=1) - slope * falling.mean()
        error = ((y - level[:, None] - slope[:, None] * falling) ** 2).sum(axis=1)
        better = error < best
        best[better], a[better], b[better], c[better] = error[better], level[better], slope[better], exponent
    return a, b, c


def envelope(x: np.ndarray, y: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """(B, G) the lowest rising and concave curve that no point lies above, of each draw.

    A network between two others is no better than their mixture says, and a larger one no worse.
    """
    curve = np.full((len(y), len(grid)), -np.inf)
    for i, start in enumerate(x):
        curve = np.where(grid >= start, np.maximum(curve, y[:, i : i + 1]), curve)
        for j, end in enumerate(x):
            if start < end:
                part = (grid - start) / (end - start)
                chord = y[:, i : i + 1] + part * (y[:, j : j + 1] - y[:, i : i + 1])
                curve = np.where((grid >= start) & (grid <= end), np.maximum(curve, chord), curve)
    return curve


def lines(x: np.ndarray, y: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """(B, G) straight lines between the points of each draw, over the logarithm of ``x``; no law at all."""
    order = np.argsort(x)
    spans = np.array([np.interp(np.log(grid), np.log(x[order]), unit) for unit in np.eye(len(x))])
    between: np.ndarray = y[:, order] @ spans
    return between


def difference(
    x: np.ndarray, y: np.ndarray, other_x: np.ndarray, other_y: np.ndarray, law: bool = True
) -> Curve | None:
    """One family's curve minus another's at equal ``x``, draw by draw; None where their ranges do not meet.

    The laws where both are identified and a ``law`` is wanted, else the lines between the points: an envelope
    lies above its points the more the noisier they are. Draws must be paired.
    """
    low, high = max(x.min(), other_x.min()), min(x.max(), other_x.max())
    if low >= high:
        return None
    grid = places(np.array([low, high]))
    one, other = fit(x, y, grid), fit(other_x, other_y, grid)
    if law and one.kind == other.kind == "law":
        return Curve(grid, one.draws - other.draws, "law")
    return Curve(grid, lines(x, y, grid) - lines(other_x, other_y, grid), "lines")


def pareto(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(n,) the share of draws in which a point is on the front: none that costs no more reaches as much."""
    order = np.lexsort((-y.mean(axis=0), x))
    shares = np.zeros(len(x))
    best = np.full(len(y), -np.inf)
    for i in order:
        shares[i] = (y[:, i] > best).mean()
        best = np.maximum(best, y[:, i])
    return shares
