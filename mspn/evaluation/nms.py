"""Suppression of near copies by OKS, as Simple Baseline and HRNet test; not part of the paper's protocol."""

import numpy as np

# Simple Baseline's and HRNet's threshold: a person this similar to a better one is a copy of it.
THRESHOLD = 0.9


def oks_nms(
    image_ids: np.ndarray,
    joints: np.ndarray,
    scores: np.ndarray,
    areas: np.ndarray,
    sigmas: np.ndarray,
    threshold: float = THRESHOLD,
) -> np.ndarray:
    """(N,) bool, the persons that stay: greedily by falling score, one image at a time.

    ``joints`` (N, K, 2+) in pixels, ``scores`` (N,), ``areas`` (N,) of the persons' boxes, ``sigmas`` (K,)
    COCO's constants. The similarity of two persons is OKS over all joints with the mean of both areas.
    """
    keep = np.ones(len(scores), bool)
    order = np.lexsort((np.arange(len(scores)), -np.asarray(scores, float), image_ids))
    borders = np.flatnonzero(np.diff(image_ids[order])) + 1
    for rows in np.split(order, borders):
        if len(rows) < 2:
            continue
        similar = _oks(joints[rows, :, :2], areas[rows], sigmas) > threshold
        for i in range(len(rows)):
            if keep[rows[i]]:
                keep[rows[i + 1 :][similar[i, i + 1 :]]] = False
    return keep


def _oks(points: np.ndarray, areas: np.ndarray, sigmas: np.ndarray) -> np.ndarray:
    """(P, P) OKS between each two of the persons (P, K, 2)."""
    points = np.asarray(points, np.float64)
    squared = ((points[:, None] - points[None]) ** 2).sum(axis=-1)  # (P, P, K)
    area = (areas[:, None] + areas[None]) / 2 + np.spacing(1)
    similarity = np.exp(-squared / (2 * np.asarray(sigmas)) ** 2 / area[..., None] / 2)
    return np.asarray(similarity.mean(axis=-1))
