"""A figure over several seeds: the noise of the image sample and the spread of seeds in one interval.

Imports neither torch nor pycocotools.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import stdtr, stdtrit


@dataclass(frozen=True)
class Estimate:
    """A figure, or a difference, with both kinds of noise.

    The rule: the figure is the mean over seeds. Its variance is the image bootstrap's variance of that mean
    (the same drawn images for every seed) plus the variance between seeds / number of seeds. The interval
    is Student's, with Welch and Satterthwaite's degrees of freedom: the image part counts as known, the seed
    part has one degree less than it has seeds. With one seed the spread of seeds is unknown and not in the
    interval: ``seeds`` says so.
    """

    value: float
    low: float
    high: float
    image_sd: float
    seed_sd: float  # of the mean over seeds; NaN with one seed
    degrees: float  # of freedom
    seeds: int

    def probability_above(self, threshold: float = 0.0) -> float:
        """The probability that the true figure lies above ``threshold`` under this noise."""
        sd = np.sqrt(self.image_sd**2 + np.nan_to_num(self.seed_sd) ** 2)
        if sd == 0:
            return float(self.value > threshold)
        return float(stdtr(self.degrees, (self.value - threshold) / sd))


def estimate(values: Sequence[float], samples: np.ndarray) -> Estimate:
    """A figure of S seeds: ``values`` (S,) and their replicates (S, count), all on the same resamples."""
    return _combine([(np.asarray(values, float), np.asarray(samples, float), 1.0)])


def estimate_difference(
    values_a: Sequence[float], samples_a: np.ndarray, values_b: Sequence[float], samples_b: np.ndarray
) -> Estimate:
    """The difference a - b of two networks' figures, paired over images, independent over seeds."""
    a = (np.asarray(values_a, float), np.asarray(samples_a, float), 1.0)
    b = (np.asarray(values_b, float), np.asarray(samples_b, float), -1.0)
    return _combine([a, b])


def _combine(terms: list[tuple[np.ndarray, np.ndarray, float]], level: float = 0.95) -> Estimate:
    value = sum(sign * values.mean() for values, _, sign in terms)
    replicate: Any = sum(sign * samples.mean(axis=0) for _, samples, sign in terms)
    image_variance = float(np.nanvar(replicate, ddof=1))
    seeds = min(len(values) for values, _, _ in terms)
    if seeds < 2:
        seed_variance, degrees = float("nan"), np.inf
        total = image_variance
    else:
        parts = [(values.var(ddof=1) / len(values), len(values) - 1) for values, _, _ in terms]
        seed_variance = float(sum(part for part, _ in parts))
        total = image_variance + seed_variance
        spread = sum(part**2 / degree for part, degree in parts)
        degrees = total**2 / spread if spread > 0 else np.inf
    # stdtrit has no infinite degrees of freedom; from a million on it is the normal distribution.
    degrees = float(min(degrees, 1e6))
    half = float(stdtrit(degrees, (1 + level) / 2)) * np.sqrt(total)
    return Estimate(
        float(value),
        float(value - half),
        float(value + half),
        float(np.sqrt(image_variance)),
        float(np.sqrt(seed_variance)),
        degrees,
        seeds,
    )
