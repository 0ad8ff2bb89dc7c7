"""Drawing images with repetition, the same draws for all networks; and intervals of what comes out."""

import numpy as np


def resamples(images: int, seed: int, count: int) -> np.ndarray:
    """(count, images) how often each image is drawn; the same for every network evaluated on those images."""
    rng = np.random.default_rng(np.random.SeedSequence([seed, images]))
    drawn = np.zeros((count, images), np.int32)
    for row in drawn:
        row[:] = np.bincount(rng.integers(0, images, images), minlength=images)
    return drawn


def interval(values: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """The percentile interval of bootstrap replicates (count,); NaN replicates are left out."""
    kept = np.asarray(values)[~np.isnan(values)]
    if not len(kept):
        return float("nan"), float("nan")
    low, high = np.quantile(kept, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
