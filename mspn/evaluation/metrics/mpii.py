"""MPII's metric: PCKh, by joint group and over all joints, and the area under its curve up to 0.5.

By the official evaluation's definition (Andriluka et al. 2014; evaluatePCKh.m): a joint is right if it lies
within half a head size of its annotation; pelvis and thorax do not count; a group is the plain mean of its
two joints' rates; the mean is over all annotated joints, so weighted by their counts. Imports no torch.
"""

import numpy as np

from mspn.data.skeletons import MPII
from mspn.errors import UserError
from mspn.evaluation.metrics import distances
from mspn.evaluation.metrics.distances import Distances, Measure

# Figure -> its joints, in the order of the tables. "Head top" alone is what most repositories print as "Head"
# on the validation set; beside, never instead.
GROUPS = {
    "Head": ("upper_neck", "head_top"),
    "Shoulder": ("right_shoulder", "left_shoulder"),
    "Elbow": ("right_elbow", "left_elbow"),
    "Wrist": ("right_wrist", "left_wrist"),
    "Hip": ("right_hip", "left_hip"),
    "Knee": ("right_knee", "left_knee"),
    "Ankle": ("right_ankle", "left_ankle"),
    "Head top": ("head_top",),
}
_NOT_COUNTED = ("pelvis", "thorax")
PCKH = Measure(
    threshold=0.5,
    groups={name: tuple(map(MPII.joints.index, joints)) for name, joints in GROUPS.items()},
    counted=tuple(k for k, joint in enumerate(MPII.joints) if joint not in _NOT_COUNTED),
    mean="Mean",
    area="AUC",
)
FIGURES = PCKH.figures


def pack(truth: np.ndarray, head_sizes: np.ndarray, image_ids: np.ndarray, joints: np.ndarray) -> Distances:
    """`distances.pack`, where every person must have a head size above 0, else UserError."""
    if not np.all(head_sizes > 0):
        raise UserError("PCKh needs a head size for every person; the annotations have none for some")
    return distances.pack(truth, head_sizes, image_ids, joints)


def figures(packed: Distances, weights: np.ndarray | None = None) -> np.ndarray:
    """(10,) the figures of `FIGURES`, 0 to 1; see `distances.figures`."""
    return distances.figures(PCKH, packed, weights)


def check_truth_scores_one(
    truth: np.ndarray, head_sizes: np.ndarray, image_ids: np.ndarray, source: str
) -> None:
    """The annotated joints as predictions must score PCKh 100; anything else means a broken data path."""
    mean = figures(pack(truth, head_sizes, image_ids, truth))[FIGURES.index(PCKH.mean)]
    if not mean == 1:
        raise UserError(
            f"{source}: the annotated joints as predictions score PCKh {100 * mean:.2f} instead of 100; "
            "make the data set again"
        )
