"""PCK of a length between two annotated joints, for joint sets of one's own: by kind of joint, and the mean.

LSP's own measure is the share of joints within 0.2 torsos of their annotation, the torso being the distance
from left shoulder to right hip (Sapp and Taskar, MODEC, CVPR 2013; on LSP as in Yang and others' eval_pck.m:
the mean is over all joints of all persons). PCKh's text (Andriluka et al. 2014) is half the length of the
head's segment, here from neck to head top: MPII's files have a head box in its place, LSP's have none.
"""

from dataclasses import dataclass

import numpy as np

from mspn.data.skeletons import Skeleton
from mspn.errors import UserError
from mspn.evaluation.metrics import distances
from mspn.evaluation.metrics.distances import Distances, Measure


@dataclass(frozen=True)
class Pck:
    """A joint is right within ``share`` times the distance of the joints ``ends``."""

    name: str
    ends: tuple[str, str]
    share: float


TORSO = Pck("PCK@0.2", ("left_shoulder", "right_hip"), 0.2)
HEAD = Pck("PCKh@0.5", ("neck", "head_top"), 0.5)


def measure(pck: Pck, skeleton: Skeleton) -> Measure:
    """The figures: each kind of joint ("PCK@0.2 wrist", the plain mean of left and right), mean and area."""
    kinds: dict[str, tuple[int, ...]] = {}
    for k, joint in enumerate(skeleton.joints):
        kind = f"{pck.name} {joint.removeprefix('left_').removeprefix('right_')}"
        kinds[kind] = (*kinds.get(kind, ()), k)
    every = tuple(range(len(skeleton.joints)))
    return Measure(pck.share, kinds, every, mean=pck.name, area=f"{pck.name} AUC")


def pack(
    pck: Pck, skeleton: Skeleton, truth: np.ndarray, image_ids: np.ndarray, joints: np.ndarray
) -> Distances:
    """Distances of predicted joints (N, K, 2+) to annotated ones (N, K, 3), in the persons' lengths.

    Persons that lack one of the two joints, or have both at one place, do not count
    (`Distances.without_length`). UserError where the joint set has no such joint.
    """
    missing = [name for name in pck.ends if name not in skeleton.joints]
    if missing:
        raise UserError(f"{pck.name}: joint set {skeleton.name} has no joint {', '.join(missing)}")
    first, second = (np.asarray(truth, np.float64)[:, skeleton.joints.index(name)] for name in pck.ends)
    there = (first[:, 2] > 0) & (second[:, 2] > 0)
    lengths = np.where(there, np.linalg.norm(first[:, :2] - second[:, :2], axis=-1), np.nan)
    return distances.pack(truth, lengths, image_ids, joints)
