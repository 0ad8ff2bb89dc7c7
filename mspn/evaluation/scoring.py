"""What predicted joints score under one protocol: matches for OKS-AP or PCKh, and for PCK of a joint set's
lengths.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from mspn.data.persons import Persons
from mspn.evaluation.metrics import bootstrap, coco, mpii, pck
from mspn.evaluation.metrics.bootstrap import Matches
from mspn.evaluation.metrics.distances import Distances
from mspn.evaluation.nms import oks_nms
from mspn.evaluation.protocols import Protocol

# One seed for all evaluations: figures of the same images are then paired replicate by replicate.
BOOTSTRAP_SEED = 0


@dataclass(frozen=True)
class Scored:
    """A run's persons under one protocol, and what their figures are computed from.

    ``matches`` are those of OKS-AP, or the distances of PCKh; ``pck`` has PCK's by the name of its length.
    """

    image_ids: np.ndarray  # (D,)
    joints: np.ndarray  # (D, K, 3) x, y in picture pixels, score
    scores: np.ndarray  # (D,)
    matches: Matches | Distances
    pck: dict[str, Distances]


def score_coco(
    annotations: Any, truth: Persons, boxes: Persons, joints: np.ndarray, protocol: Protocol
) -> Scored:
    """OKS-AP; and, where ``boxes`` are the annotated persons' own, PCK of the joint set's lengths.

    ``joints`` (D, K, 3) are those predicted on ``boxes``. Detections are not assigned to persons for PCK, nor
    does it depend on scores: it is left out of protocols that suppress persons or change their scores.
    """
    scores = joints[..., 2].mean(axis=1)
    if protocol.box_score:
        scores = scores * boxes.scores
    images, skeleton = boxes.image_ids, boxes.skeleton
    near: dict[str, Distances] = {}
    rows = _annotated_rows(truth, boxes)
    if protocol.box_score and not protocol.nms and rows is not None:
        near = {one.name: pck.pack(one, truth.joints[rows], images, joints) for one in skeleton.pck}
    if protocol.nms:
        areas = boxes.boxes[:, 2].astype(float) * boxes.boxes[:, 3]
        keep = oks_nms(images, joints, scores, areas, np.array(skeleton.sigmas))
        images, joints, scores = images[keep], joints[keep], scores[keep]
    evaluation = coco.evaluate(annotations, coco.results(images, joints, scores), skeleton=skeleton)
    matches = bootstrap.pack(evaluation)
    if bootstrap.figures(matches).tolist() != list(evaluation.stats):
        raise RuntimeError("the packed matches do not give pycocotools' figures; the package has changed")
    return Scored(images, joints, scores, matches, near)


def _annotated_rows(truth: Persons, boxes: Persons) -> np.ndarray | None:
    """(D,) the annotated person of each box, if the boxes are theirs, one each; else None."""
    order = np.argsort(truth.image_ids, kind="stable")  # as `detectors.as_detections` writes them
    same = len(boxes) == len(truth) and bool(
        (boxes.image_ids == truth.image_ids[order]).all() and (boxes.boxes == truth.boxes[order]).all()
    )
    return order if same else None


def score_mpii(truth: Persons, joints: np.ndarray) -> Scored:
    packed = mpii.pack(truth.joints, truth.head_sizes, truth.image_ids, joints)
    return Scored(truth.image_ids, joints, joints[..., 2].mean(axis=1), packed, {})


def matches_of(scored: dict[str, Scored]) -> dict[str, Matches | Distances]:
    """What every figure and its bootstrap are computed from: by protocol, PCK of a length beside OKS-AP as
    ``{protocol}:{PCK's name}``.
    """
    found: dict[str, Matches | Distances] = {}
    for name, one in scored.items():
        found[name] = one.matches
        found |= {f"{name}:{length}": near for length, near in one.pck.items()}
    return found
