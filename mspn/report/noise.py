"""The noise of training: what is left of APs when runs and seeds are taken out, less the noise of images."""

import math
from dataclasses import dataclass

import numpy as np

# (row, seed) -> the AP, and its replicates (B,) over images
Table = dict[tuple[str, int], tuple[float, np.ndarray]]


@dataclass(frozen=True)
class Spread:
    """The variance of AP from training to training, and how much of it is the sample of images.

    ``freedom`` is its degrees of freedom; 0 where no two trainings differ in their seed alone.
    """

    variance: float
    images: float
    freedom: int

    @property
    def here(self) -> float:
        """The standard deviation on these images, where the noise of the images is part of the answer."""
        return math.sqrt(self.variance)

    @property
    def population(self) -> float:
        """The standard deviation without the images' noise, which the bootstrap adds by itself."""
        return math.sqrt(max(0.0, self.variance - self.images))


def additive_residuals(keys: list[tuple[str, int]]) -> tuple[np.ndarray, int]:
    """The projection (N, N) onto what a row's mean plus a seed's effect does not explain, and its rank.

    A seed is a block: it decides the order of the data, which all runs of that seed share.
    """
    rows, seeds = (sorted({key[i] for key in keys}) for i in (0, 1))
    design = np.zeros((len(keys), len(rows) + len(seeds)))
    for n, (row, seed) in enumerate(keys):
        design[n, rows.index(row)] = design[n, len(rows) + seeds.index(seed)] = 1
    projection = np.eye(len(keys)) - design @ np.linalg.pinv(design)
    return projection, round(np.trace(projection)) if keys else 0


def spread(tables: list[Table]) -> Spread:
    """The pooled spread of several tables, each with rows and seeds of its own.

    For two seeds of one row without a common effect the images' part is Var(AP of seed 1 - AP of seed 2) / 2
    over the replicates; here the same is done with the residuals.
    """
    squares = images = 0.0
    freedom = 0
    for table in tables:
        projection, rank = additive_residuals(list(table))
        if not rank:
            continue
        values = np.array([value for value, _ in table.values()])
        many = np.stack([replicates for _, replicates in table.values()])
        many = many[:, ~np.isnan(many).any(axis=0)]  # nobody was drawn: a handful of images
        squares += float(values @ projection @ values)
        images += float(np.trace(projection @ np.atleast_2d(np.cov(many))))
        freedom += rank
    return Spread(squares / freedom, images / freedom, freedom) if freedom else Spread(0.0, 0.0, 0)
