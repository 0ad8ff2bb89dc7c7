"""PCK of a length between two annotated joints, as a joint set names it: by kind of joint, and the mean.

A joint is right if it lies within a share of the length of its annotation. The mean is over all annotated
joints of the persons that have the length, as LSP's eval_pck.m has it. Imports no torch.
"""

import numpy as np

from mspn.data.skeletons import Pck, Skeleton
from mspn.evaluation.metrics import distances
from mspn.evaluation.metrics.distances import Distances, Measure


def measure(pck: Pck, skeleton: Skeleton) -> Measure:
    """The figures: each kind of joint ("PCK@0.2 wrist", the plain mean of left and right), mean and area."""
    kinds: dict[str, tuple[int, ...]] = {}
    for k, joint in enumerate(skeleton.joints):
        kind = f"{pck.name} {joint.removeprefix('left_').removeprefix('right_')}"
        kinds[kind] = (*kinds.get(kind, ()), k)
    every = tuple(range(len(skeleton.joints)))
    return Measure(pck.share, kinds, every, mean=pck.name, area=f"{pck.name} AUC")


def pack(pck: Pck, truth: np.ndarray, image_ids: np.ndarray, joints: np.ndarray) -> Distances:
    """Distances of predicted joints (N, K, 2+) to annotated ones (N, K, 3), in the persons' lengths.

    Persons that lack one of the two joints, or have both at one place, do not count
    (`Distances.without_length`).
    """
    first, second = (np.asarray(truth, np.float64)[:, joint] for joint in pck.ends)
    there = (first[:, 2] > 0) & (second[:, 2] > 0)
    lengths = np.where(there, np.linalg.norm(first[:, :2] - second[:, :2], axis=-1), np.nan)
    return distances.pack(truth, lengths, image_ids, joints)
