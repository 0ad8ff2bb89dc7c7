"""Drawing images with repetition, the same draws for all networks; and intervals of what comes out."""

from collections.abc import Iterator

import numpy as np


def resamples(images: int, seed: int, count: int) -> np.ndarray:
    """(count, images) how often each image is drawn; the same for every network evaluated on those images."""
    return np.concatenate(
        [np.empty((0, images), np.int32), *resample_blocks(images, seed, count, count or 1)]
    )


def resample_blocks(images: int, seed: int, count: int, size: int) -> Iterator[np.ndarray]:
    """The rows of `resamples` in blocks of ``size``: 10,000 for COCO's images are 200 MB at once."""
    rng = np.random.default_rng(np.random.SeedSequence([seed, images]))
    for start in range(0, count, size):
        drawn = np.zeros((min(size, count - start), images), np.int32)
        for row in drawn:
            row[:] = np.bincount(rng.integers(0, images, images), minlength=images)
        yield drawn


def interval(values: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """The percentile interval of bootstrap replicates (count,); NaN replicates are left out."""
    kept = np.asarray(values)[~np.isnan(values)]
    if not len(kept):
        return float("nan"), float("nan")
    low, high = np.quantile(kept, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
