"""Which errors a network makes: jitter, swapped sides, another person's joint, miss; by size and crowding.

The kinds and thresholds are Ronchi and Perona's (Benchmarking and Error Diagnosis in Multi-Instance Pose
Estimation, ICCV 2017): a predicted joint is compared with every annotated joint it could have been meant for,
by the similarity that one joint adds to OKS. MPII has no OKS: there a distance of half a head size, PCKh's
own limit, stands for the similarity 0.85. Imports no torch.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from mspn.data.persons import Persons

MATCH = 0.1  # OKS from which a detection is about a person at all
GOOD = 0.85  # similarity of a joint from which it is right
NEAR = 0.5  # below, it is not about that joint
KINDS = ("good", "jitter", "swap_sides", "swap_person", "miss", "not_found")
CROWDED = 0.1  # IoU of two boxes from which they overlap
SIZES = ((0, 32**2, "small"), (32**2, 96**2, "medium"), (96**2, np.inf, "large"))  # COCO's areas, pixels
CROWDS = ((0, 1, "alone"), (1, 3, "1-2 overlapping"), (3, np.inf, "3 or more overlapping"))


@dataclass(frozen=True)
class Verdicts:
    """For each annotated person: its detection, how alike they are, and the kind of each joint."""

    detection: np.ndarray  # (G,) row of the detections, -1 where the person was not found
    similarity: np.ndarray  # (G,) OKS with it (MPII: mean joint similarity), 0 where not found
    kind: np.ndarray  # (G, K) index into KINDS, -1 where not annotated


def judge(truth: Persons, image_ids: np.ndarray, joints: np.ndarray, scores: np.ndarray) -> Verdicts:
    """Match detections, (D,) image ids, (D, K, 3) joints, (D,) scores, to the annotated persons and judge.

    In each image, by falling score, a detection takes the free person it resembles most, from MATCH on. On
    MPII detections and persons are the same rows.
    """
    count, k = truth.joints.shape[:2]
    result = Verdicts(np.full(count, -1), np.zeros(count), np.full((count, k), -1))
    result.kind[truth.joints[..., 2] > 0] = KINDS.index("not_found")
    one_to_one = truth.skeleton.sigmas is None
    persons_of = _rows_by_image(truth.image_ids)
    detections_of = _rows_by_image(image_ids)
    for image, persons in persons_of.items():
        detections = detections_of.get(image)
        if detections is None:
            continue
        own, other_side = _similarities(truth, persons, joints[detections])
        labelled = truth.joints[persons, :, 2] > 0
        alike = np.where(labelled, own, 0).sum(-1) / labelled.sum(-1).clip(min=1)
        same = [(i, i) for i in range(len(persons))]
        for d, g in same if one_to_one else _greedy(alike, scores[detections]):
            result.detection[persons[g]] = detections[d]
            result.similarity[persons[g]] = alike[d, g]
            kinds = _kinds(own[d], other_side[d], g)
            result.kind[persons[g]] = np.where(labelled[g], kinds, -1)
    return result


def _rows_by_image(image_ids: np.ndarray) -> dict[int, np.ndarray]:
    order = np.argsort(image_ids, kind="stable")
    ids, starts = np.unique(image_ids[order], return_index=True)
    return dict(zip(ids.tolist(), np.split(order, starts[1:]), strict=True))


def _similarities(truth: Persons, persons: np.ndarray, joints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(D, G, K) each predicted joint with each person's same joint, and with its mirror joint.

    -1 where that joint is not annotated or, for the mirror, has no other side.
    """
    skeleton = truth.skeleton
    mirrored = skeleton.mirrored
    annotated = truth.joints[persons].astype(np.float64)  # (G, K, 3)
    if skeleton.sigmas is not None:
        variances = (2 * np.array(skeleton.sigmas)) ** 2
        area = truth.areas[persons].astype(np.float64) + np.spacing(1)
        scale = 1 / (2 * variances * area[:, None])  # (G, K)
    else:
        half_head = 0.5 * truth.head_sizes[persons].astype(np.float64)
        scale = np.broadcast_to((-np.log(GOOD) / half_head**2)[:, None], annotated.shape[:2])
    points = np.asarray(joints, np.float64)[:, None, :, :2]
    found = []
    for order in (np.arange(len(mirrored)), mirrored):
        # The constant is that of the annotated joint; both sides share it.
        squared = ((points - annotated[None, :, order, :2]) ** 2).sum(-1)
        there = annotated[:, order, 2] > 0
        if order is mirrored:
            there = there & (mirrored != np.arange(len(mirrored)))
        found.append(np.where(there, np.exp(-squared * scale), -1))
    return found[0], found[1]


def _greedy(alike: np.ndarray, scores: np.ndarray) -> list[tuple[int, int]]:
    free = np.ones(alike.shape[1], bool)
    pairs = []
    for d in np.argsort(-scores, kind="stable"):
        candidates = np.where(free, alike[d], -1)
        g = int(candidates.argmax())
        if candidates[g] >= MATCH:
            free[g] = False
            pairs.append((int(d), g))
    return pairs


def _kinds(own: np.ndarray, other_side: np.ndarray, person: int) -> np.ndarray:
    """(K,) kinds of a detection's joints, given its similarities (G, K) and which person it is about."""
    others = np.delete(np.concatenate([own, other_side]), [person, person + len(own)], axis=0)
    best_other = others.max(axis=0, initial=-1)
    mine, side = own[person], other_side[person]
    best = np.maximum(np.maximum(mine, side), best_other)
    names = np.select(
        [best < NEAR, (mine == best) & (mine >= GOOD), mine == best, side == best],
        [KINDS.index(name) for name in ("miss", "good", "jitter", "swap_sides")],
        KINDS.index("swap_person"),
    )
    return np.asarray(names)


def overlapping(truth: Persons) -> np.ndarray:
    """(G,) how many other annotated persons' boxes overlap each person's, by an IoU of CROWDED or more."""
    counts = np.zeros(len(truth), int)
    for rows in _rows_by_image(truth.image_ids).values():
        corners = truth.boxes[rows].astype(np.float64)
        low, high = corners[:, :2], corners[:, :2] + corners[:, 2:]
        sides = np.minimum(high[:, None], high[None]) - np.maximum(low[:, None], low[None])
        shared = sides.clip(min=0).prod(-1)
        area = corners[:, 2:].prod(-1)
        iou = shared / (area[:, None] + area[None] - shared)
        counts[rows] = (iou >= CROWDED).sum(1) - 1
    return counts


def summary(truth: Persons, verdicts: Verdicts, detections: int) -> dict[str, Any]:
    """The error analysis as JSON: rows by all, joint, size and crowding, with each kind's share of joints."""
    everyone = np.ones(len(truth), bool)
    rows = [_row("all", "all", verdicts, everyone)]
    for k, joint in enumerate(truth.skeleton.joints):
        rows.append(_row("joint", joint, verdicts, everyone, k))
    if truth.skeleton.sigmas is not None:
        sizes, size_levels = truth.areas, SIZES
    else:  # MPII has no areas: thirds of the head sizes
        low, high = np.quantile(truth.head_sizes, [1 / 3, 2 / 3])
        sizes = truth.head_sizes
        size_levels = ((0, low, "small third"), (low, high, "middle third"), (high, np.inf, "large third"))
    for by, values, levels in (("size", sizes, size_levels), ("crowding", overlapping(truth), CROWDS)):
        for low, high, name in levels:
            rows.append(_row(by, name, verdicts, (values >= low) & (values < high)))
    found = int((verdicts.detection >= 0).sum())
    return {
        "protocol": "paper",
        "method": "Ronchi and Perona 2017",
        "thresholds": {"match": MATCH, "good": GOOD, "near": NEAR, "overlap": CROWDED},
        "persons": {"annotated": len(truth), "found": found, "detections": detections},
        "rows": [row for row in rows if row["persons"]],
    }


def _row(
    by: str, level: str, verdicts: Verdicts, persons: np.ndarray, joint: int | None = None
) -> dict[str, Any]:
    kinds = verdicts.kind[persons] if joint is None else verdicts.kind[persons][:, joint : joint + 1]
    labelled = kinds >= 0
    joints = int(labelled.sum())
    counts = np.bincount(kinds[labelled], minlength=len(KINDS))
    shares = {name: float(n / joints) if joints else 0.0 for name, n in zip(KINDS, counts, strict=True)}
    similarity = float(verdicts.similarity[persons].mean()) if persons.any() else 0.0
    return (
        {"by": by, "level": level, "persons": int(persons.sum()), "joints": joints}
        | shares
        | {"similarity": similarity}
    )
