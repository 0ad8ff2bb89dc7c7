"""Distances of predicted joints in units of a length of the person, and the shares that are near: PCK.

A joint is right if it lies within a share of its person's length (head, torso) of its annotation. Imports no
torch.
"""

from dataclasses import dataclass

import numpy as np

from mspn.evaluation.metrics.resampling import resamples


@dataclass(frozen=True)
class Distances:
    """What PCK needs of one evaluation: N persons with K joints, on I images.

    NaN where a joint does not count: not annotated, or of a person whose length is not known.
    """

    image_ids: np.ndarray  # (I,) int64, ascending
    image: np.ndarray  # (N,) int32, the person's place in image_ids
    distances: np.ndarray  # (N, K) float64

    @property
    def without_length(self) -> int:
        """How many persons do not count at all."""
        return int(np.isnan(self.distances).all(axis=1).sum())


@dataclass(frozen=True)
class Measure:
    """The figures to take of distances; joints by their places.

    A group's figure is the plain mean of its joints' rates at ``threshold``. ``mean`` is over all annotated
    joints of ``counted``, so weighted by their counts. ``area`` is that under the mean's curve: under the
    straight lines between its values at 0, 1/50, ..., 1 of the threshold, on a unit axis.
    """

    threshold: float
    groups: dict[str, tuple[int, ...]]
    counted: tuple[int, ...]
    mean: str
    area: str

    @property
    def figures(self) -> tuple[str, ...]:
        """The figures' names, in the order of every function here."""
        return (*self.groups, self.mean, self.area)


def pack(truth: np.ndarray, lengths: np.ndarray, image_ids: np.ndarray, joints: np.ndarray) -> Distances:
    """Distances of predicted joints (N, K, 2+) to annotated ones (N, K, 3), in lengths (N,).

    A joint that is not annotated (v = 0) is NaN, as is every joint of a person whose length is not above 0;
    a prediction that is NaN is infinitely far.
    """
    away = np.linalg.norm(
        np.asarray(joints, np.float64)[..., :2] - np.asarray(truth, np.float64)[..., :2], axis=-1
    )
    known = np.where(lengths > 0, lengths, np.nan).astype(np.float64)
    away = np.where(np.isnan(away), np.inf, away) / known[:, None]
    away = np.where(truth[..., 2] > 0, away, np.nan)
    images, place = np.unique(image_ids, return_inverse=True)
    return Distances(images.astype(np.int64), place.astype(np.int32), away)


def figures(measure: Measure, distances: Distances, weights: np.ndarray | None = None) -> np.ndarray:
    """(F,) the measure's figures, 0 to 1, of the images taken ``weights`` (I,) times each; NaN of nobody."""
    counts = np.ones(len(distances.image_ids)) if weights is None else np.asarray(weights)
    return _figures(measure, distances, counts[None])[0]


def replicates(measure: Measure, distances: Distances, seed: int, count: int) -> np.ndarray:
    """(count, F) bootstrap replicates over images; NaN where a joint of the group was never drawn."""
    return _figures(measure, distances, resamples(len(distances.image_ids), seed, count))


def _figures(measure: Measure, distances: Distances, weights: np.ndarray) -> np.ndarray:
    """(B, F) for weights (B, I). The sums are whole numbers, so the order of adding does not matter."""
    weights = weights.astype(np.float64)
    counted = list(measure.counted)
    annotated = ~np.isnan(distances.distances)
    near = np.where(annotated, distances.distances, np.inf)
    shares = measure.threshold * np.arange(51) / 50
    drawn = weights @ _by_image(distances, annotated)  # (B, K)
    right = weights @ _by_image(distances, near <= measure.threshold)  # (B, K)
    along = weights @ _by_image(distances, (near[:, counted, None] <= shares).sum(axis=1))  # (B, 51)
    total = drawn[:, counted].sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        rate = right / drawn
        mean = right[:, counted].sum(axis=1) / total
        curve = along / total[:, None]
    area = ((curve[:, 1:] + curve[:, :-1]) / 2).mean(axis=1)
    groups = [sum(rate[:, k] for k in joints) / len(joints) for joints in measure.groups.values()]
    return np.stack([*groups, mean, area], axis=1)


def _by_image(distances: Distances, rows: np.ndarray) -> np.ndarray:
    """Sums (I, M) of the persons' rows (N, M)."""
    sums = np.zeros((len(distances.image_ids), rows.shape[1]))
    np.add.at(sums, distances.image, rows)
    return sums
