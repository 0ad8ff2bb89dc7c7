"""MPII's metric: PCKh, by joint group and over all joints, and the area under its curve up to 0.5.

By the official evaluation's definition (Andriluka et al. 2014; evaluatePCKh.m): a joint is right if it lies
within a share of the head size of its annotation; pelvis and thorax do not count; a group is the plain mean
of its two joints' rates; the mean is over all annotated joints, so weighted by their counts; the area is that
under the straight lines between the rates at 0, 0.01, ..., 0.5, on a unit axis. Imports no torch.
"""

from dataclasses import dataclass

import numpy as np

from mspn.data.skeletons import MPII
from mspn.errors import UserError
from mspn.evaluation.metrics.resampling import resamples

# Group -> its joints, in the order of the tables.
GROUPS = {
    "Head": ("upper_neck", "head_top"),
    "Shoulder": ("right_shoulder", "left_shoulder"),
    "Elbow": ("right_elbow", "left_elbow"),
    "Wrist": ("right_wrist", "left_wrist"),
    "Hip": ("right_hip", "left_hip"),
    "Knee": ("right_knee", "left_knee"),
    "Ankle": ("right_ankle", "left_ankle"),
}
# "Head top" alone is what most repositories print as "Head" on the validation set; beside, never instead.
FIGURES = (*GROUPS, "Mean", "AUC", "Head top")
THRESHOLD = 0.5
CURVE = np.arange(51) / 100
_NOT_COUNTED = ("pelvis", "thorax")
_COUNTED = np.array([joint not in _NOT_COUNTED for joint in MPII.joints])


@dataclass(frozen=True)
class Distances:
    """What PCKh needs of one evaluation: (N, 16) distances in head sizes, NaN where not annotated."""

    image_ids: np.ndarray  # (I,) int64, ascending
    image: np.ndarray  # (N,) int32, the person's place in image_ids
    distances: np.ndarray  # (N, 16) float64


def pack(truth: np.ndarray, head_sizes: np.ndarray, image_ids: np.ndarray, joints: np.ndarray) -> Distances:
    """Distances of predicted joints (N, 16, 2+) to annotated ones (N, 16, 3), in head sizes (N,).

    A joint that is not annotated (v = 0) is NaN; a prediction that is NaN is infinitely far.
    """
    if not np.all(head_sizes > 0):
        raise UserError("PCKh needs a head size for every person; the annotations have none for some")
    away = np.linalg.norm(
        np.asarray(joints, np.float64)[..., :2] - np.asarray(truth, np.float64)[..., :2], axis=-1
    )
    away = np.where(np.isnan(away), np.inf, away) / np.asarray(head_sizes, np.float64)[:, None]
    away = np.where(truth[..., 2] > 0, away, np.nan)
    images, place = np.unique(image_ids, return_inverse=True)
    return Distances(images.astype(np.int64), place.astype(np.int32), away)


def figures(distances: Distances, weights: np.ndarray | None = None) -> np.ndarray:
    """(10,) the figures of `FIGURES`, 0 to 1, of the images taken ``weights`` (I,) times each."""
    counts = np.ones(len(distances.image_ids)) if weights is None else weights
    return _figures(_Sums(distances), np.asarray(counts)[None])[0]


def replicates(distances: Distances, seed: int, count: int) -> np.ndarray:
    """(count, 10) bootstrap replicates over images; NaN where a joint of the group was never drawn."""
    return _figures(_Sums(distances), resamples(len(distances.image_ids), seed, count))


class _Sums:
    """Each image's right and annotated joints: by joint at 0.5, and all that count along the curve."""

    def __init__(self, distances: Distances) -> None:
        images, joints = len(distances.image_ids), distances.distances.shape[1]
        annotated = ~np.isnan(distances.distances)
        near = np.where(annotated, distances.distances, np.inf)
        self.annotated = np.zeros((images, joints))
        self.right = np.zeros((images, joints))
        self.curve = np.zeros((images, len(CURVE)))
        np.add.at(self.annotated, distances.image, annotated)
        np.add.at(self.right, distances.image, near <= THRESHOLD)
        along = (near[:, _COUNTED, None] <= CURVE).sum(axis=1)
        np.add.at(self.curve, distances.image, along)


def _figures(sums: _Sums, weights: np.ndarray) -> np.ndarray:
    """(B, 10) for weights (B, I). The sums are whole numbers, so the order of adding does not matter."""
    weights = weights.astype(np.float64)
    annotated, right = weights @ sums.annotated, weights @ sums.right  # (B, 16)
    with np.errstate(invalid="ignore", divide="ignore"):
        rate = right / annotated
        total = annotated[:, _COUNTED].sum(axis=1)
        mean = right[:, _COUNTED].sum(axis=1) / total
        curve = (weights @ sums.curve) / total[:, None]  # (B, 51)
    area = ((curve[:, 1:] + curve[:, :-1]) / 2).mean(axis=1)
    names = MPII.joints
    groups = [
        sum(rate[:, names.index(joint)] for joint in joints) / len(joints) for joints in GROUPS.values()
    ]
    return np.stack([*groups, mean, area, rate[:, names.index("head_top")]], axis=1)


def check_truth_scores_one(
    truth: np.ndarray, head_sizes: np.ndarray, image_ids: np.ndarray, source: str
) -> None:
    """The annotated joints as predictions must score PCKh 100; anything else means a broken data path."""
    mean = figures(pack(truth, head_sizes, image_ids, truth))[FIGURES.index("Mean")]
    if not mean == 1:
        raise UserError(
            f"{source}: the annotated joints as predictions score PCKh {100 * mean:.2f} instead of 100; "
            "make the data set again"
        )
