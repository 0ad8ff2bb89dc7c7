"""What predicted joints score under one protocol: OKS-AP or PCKh, and PCK of the lengths of a joint set."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from mspn.data.persons import Persons
from mspn.evaluation.metrics import bootstrap, coco, distances, mpii, pck
from mspn.evaluation.metrics.distances import Distances, Measure
from mspn.evaluation.metrics.resampling import interval
from mspn.evaluation.nms import oks_nms
from mspn.evaluation.protocols import Protocol

# One seed for all evaluations: figures of the same images are then paired replicate by replicate.
BOOTSTRAP_SEED = 0


@dataclass(frozen=True)
class Near:
    """Distances in a length of the persons, and what is taken of them."""

    measure: Measure
    distances: Distances

    @property
    def figures(self) -> dict[str, float]:
        """By name, in percent; NaN where no person counts."""
        values = 100 * distances.figures(self.measure, self.distances)
        return dict(zip(self.measure.figures, values.tolist(), strict=True))


@dataclass(frozen=True)
class Scored:
    """A run's persons under one protocol, and what they score."""

    image_ids: np.ndarray  # (D,)
    joints: np.ndarray  # (D, K, 3) x, y in picture pixels, score
    scores: np.ndarray  # (D,)
    matches: bootstrap.Matches | None  # of OKS-AP
    average: dict[str, float]  # OKS-AP's figures, percent; NaN where no person counts
    pck: tuple[Near, ...]


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
    near: tuple[Near, ...] = ()
    rows = _annotated_rows(truth, boxes)
    if protocol.box_score and not protocol.nms and rows is not None:
        near = tuple(
            Near(pck.measure(one, skeleton), pck.pack(one, truth.joints[rows], images, joints))
            for one in skeleton.pck
        )
    if protocol.nms:
        areas = boxes.boxes[:, 2].astype(float) * boxes.boxes[:, 3]
        keep = oks_nms(images, joints, scores, areas, np.array(skeleton.sigmas))
        images, joints, scores = images[keep], joints[keep], scores[keep]
    evaluation = coco.evaluate(annotations, coco.results(images, joints, scores), skeleton=skeleton)
    matches = bootstrap.pack(evaluation)
    own = bootstrap.figures(matches)
    if own.tolist() != list(evaluation.stats):
        raise RuntimeError("the packed matches do not give pycocotools' figures; the package has changed")
    figures = {
        name: 100 * float(value) if value >= 0 else float("nan")
        for name, value in zip(coco.FIGURES, evaluation.stats, strict=True)
    }
    return Scored(images, joints, scores, matches, figures, near)


def _annotated_rows(truth: Persons, boxes: Persons) -> np.ndarray | None:
    """(D,) the annotated person of each box, if the boxes are theirs, one each; else None."""
    order = np.argsort(truth.image_ids, kind="stable")  # as `detectors.as_detections` writes them
    same = len(boxes) == len(truth) and bool(
        (boxes.image_ids == truth.image_ids[order]).all() and (boxes.boxes == truth.boxes[order]).all()
    )
    return order if same else None


def score_mpii(truth: Persons, joints: np.ndarray) -> Scored:
    """PCKh on the annotated persons."""
    packed = mpii.pack(truth.joints, truth.head_sizes, truth.image_ids, joints)
    return Scored(truth.image_ids, joints, joints[..., 2].mean(axis=1), None, {}, (Near(mpii.PCKH, packed),))


def matches_of(scored: dict[str, Scored]) -> dict[str, Any]:
    """What every figure and its bootstrap are computed from: by protocol, PCK of a length beside OKS-AP as
    ``{protocol}:{PCK's name}``.
    """
    found: dict[str, Any] = {}
    for name, one in scored.items():
        if one.matches is None:
            found[name] = one.pck[0].distances
            continue
        found[name] = one.matches
        found |= {f"{name}:{near.measure.mean}": near.distances for near in one.pck}
    return found


def figure_rows(scored: dict[str, Scored], count: int) -> list[dict[str, Any]]:
    """A row for each protocol and figure: value and bootstrap interval of ``count`` replicates, percent."""
    rows = []
    for name, one in scored.items():
        figures, samples = dict(one.average), []
        if one.matches is not None:
            samples.append(bootstrap.replicates(one.matches, BOOTSTRAP_SEED, count))
        for near in one.pck:
            figures |= near.figures
            samples.append(distances.replicates(near.measure, near.distances, BOOTSTRAP_SEED, count))
        columns = 100 * np.concatenate(samples, axis=1)
        for (metric, value), column in zip(figures.items(), columns.T, strict=True):
            low, high = interval(column)
            numbers = {"value": value, "low": low, "high": high}
            # JSON has no NaN: a figure of nobody is null.
            tidy = {key: None if np.isnan(number) else number for key, number in numbers.items()}
            rows.append({"protocol": name, "metric": metric, **tidy})
    return rows
