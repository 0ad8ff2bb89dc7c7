"""How sure a figure is: the image bootstrap on per-image matches, paired between networks.

Imports neither torch nor pycocotools. A replicate draws as many images as there are, with repetition, and is
COCOeval.accumulate()'s own result on the drawn images, to the last digit. The drawn images stand in the data
set's order, an image drawn twice stands there twice in a row.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from mspn.evaluation.metrics.resampling import resample_blocks, resamples

# In the order of pycocotools' `stats`.
COCO_FIGURES = ("AP", "AP50", "AP75", "APM", "APL", "AR", "AR50", "AR75", "ARM", "ARL")
_RECALLS = np.linspace(0.0, 1.0, 101)  # pycocotools' Params.recThrs
_AT_50, _AT_75 = 0, 5  # places among the ten OKS thresholds 0.5, 0.55, ...
# Detections times replicates accumulated at once: enough to make a call worth it, few enough for the cache.
_BLOCK = 100_000
_ALL, _MEDIUM, _LARGE = 0, 1, 2  # places among the area ranges


@dataclass(frozen=True)
class Matches:
    """What COCO's accumulation needs of one evaluation, sorted by falling score.

    T = 10 OKS thresholds, A = 3 area ranges (all, medium, large), D detections, I images. Detections with
    equal scores keep the order of images, then pycocotools' order inside the image.
    """

    image_ids: np.ndarray  # (I,) int64, ascending
    image: np.ndarray  # (D,) int32, the detection's place in image_ids
    scores: np.ndarray  # (D,) float64
    hit: np.ndarray  # (A, T, D) bool, matched to an annotated person
    ignored: np.ndarray  # (A, T, D) bool, counts neither as right nor as wrong
    persons: np.ndarray  # (A, I) int32, annotated persons that count


def pack(evaluation: Any) -> Matches:
    """The per-image matches of a COCOeval (one category, evaluated) as arrays."""
    images = np.asarray(evaluation.params.imgIds, np.int64)
    areas = len(evaluation.params.areaRng)
    limit = evaluation.params.maxDets[-1]
    entries = [evaluation.evalImgs[a * len(images) : (a + 1) * len(images)] for a in range(areas)]
    persons = np.array(
        [[0 if e is None else int((e["gtIgnore"] == 0).sum()) for e in row] for row in entries]
    )
    there = [i for i, e in enumerate(entries[0]) if e is not None]
    thresholds = len(evaluation.params.iouThrs)
    if not there:
        empty = np.zeros((areas, thresholds, 0), bool)
        return Matches(images, np.zeros(0, np.int32), np.zeros(0), empty, empty, persons.astype(np.int32))
    scores = np.concatenate([entries[0][i]["dtScores"][:limit] for i in there]).astype(np.float64)
    counts = [len(entries[0][i]["dtScores"][:limit]) for i in there]
    image = np.repeat(np.array(there, np.int32), counts)
    stacked = {
        key: np.stack([np.concatenate([row[i][key][:, :limit] for i in there], axis=1) for row in entries])
        for key in ("dtMatches", "dtIgnore")
    }
    order = np.argsort(-scores, kind="stable")
    ignored = stacked["dtIgnore"].astype(bool)[:, :, order]
    hit = (stacked["dtMatches"] != 0)[:, :, order] & ~ignored
    return Matches(images, image[order], scores[order], hit, ignored, persons.astype(np.int32))


def figures(matches: Matches, weights: np.ndarray | None = None) -> np.ndarray:
    """(10,) pycocotools' figures, 0 to 1, of the images taken ``weights`` (I,) times each; -1 for none."""
    if weights is None:
        weights = np.ones(len(matches.image_ids), np.int32)
    return _Accumulator(matches).figures(np.asarray(weights)[None])[0]


def replicates(matches: Matches, seed: int, count: int) -> np.ndarray:
    """(count, 10) bootstrap replicates of the ten figures, 0 to 1; NaN where nobody was drawn."""
    accumulator = _Accumulator(matches)
    weights = resamples(len(matches.image_ids), seed, count)
    size = max(1, _BLOCK // max(1, len(matches.scores)))
    blocks = [accumulator.figures(weights[i : i + size]) for i in range(0, count, size)]
    values = np.concatenate([np.empty((0, len(COCO_FIGURES))), *blocks])
    return np.where(values < 0, np.nan, values)


def ap_replicates(matches: Matches, seed: int, count: int) -> np.ndarray:
    """(count,) the first column of `replicates`, AP, at a third of its time."""
    accumulator = _Accumulator(matches)
    if accumulator.tied:
        return replicates(matches, seed, count)[:, 0]
    size = max(1, _BLOCK // max(1, len(matches.scores)))
    values = [np.empty(0)]
    for weights in resample_blocks(len(matches.image_ids), seed, count, size):
        counts = weights[:, matches.image].astype(np.int64)
        precision, _ = accumulator.areas[_ALL].tables(counts, weights @ matches.persons[_ALL])
        values.append(precision.reshape(len(weights), -1).mean(axis=1))
    figures = np.concatenate(values)
    return np.where(figures < 0, np.nan, figures)


class _Accumulator:
    """COCOeval.accumulate() and summarize() with a weight per image, prepared once for many weights.

    The precision that counts is only ever read where the recall rises, at hits, and between two hits it only
    falls: it is enough to know it at the hits, and of the other detections only how many precede each.
    """

    def __init__(self, matches: Matches) -> None:
        self.matches = matches
        # Detections of one image with one score: when the image is drawn twice, pycocotools sees the group
        # twice in a row and not each detection twice. That matters only where they differ.
        same = (np.diff(matches.scores) == 0) & (np.diff(matches.image) == 0)
        differ = np.any(matches.hit[..., 1:] != matches.hit[..., :-1], axis=(0, 1)) | np.any(
            matches.ignored[..., 1:] != matches.ignored[..., :-1], axis=(0, 1)
        )
        self.tied = bool(np.any(same & differ))
        starts = np.flatnonzero(np.concatenate([[True], ~same])) if len(matches.scores) else np.zeros(0, int)
        self.run_start = starts
        self.run_length = np.diff(np.concatenate([starts, [len(matches.scores)]]))
        self.areas = [_Area(*rows) for rows in zip(matches.hit, matches.ignored, strict=True)]

    def figures(self, weights: np.ndarray) -> np.ndarray:
        """(B, 10) for weights (B, I)."""
        if self.tied and np.any(weights > 1):
            return np.concatenate([self._expanded(row) for row in weights])
        counts = weights[:, self.matches.image].astype(np.int64)
        return _summarize(self.areas, counts, weights @ self.matches.persons.T)

    def _expanded(self, weights: np.ndarray) -> np.ndarray:
        """(1, 10) with every detection as often as its image is drawn, in the order that pycocotools sees."""
        matches = self.matches
        times = weights[matches.image[self.run_start]]
        sizes = self.run_length * times
        begin = np.repeat(np.cumsum(sizes) - sizes, sizes)
        within = (np.arange(sizes.sum()) - begin) % np.repeat(self.run_length, sizes)
        order = np.repeat(self.run_start, sizes) + within
        areas = [
            _Area(hit[:, order], ignored[:, order])
            for hit, ignored in zip(matches.hit, matches.ignored, strict=True)
        ]
        return _summarize(areas, np.ones((1, len(order)), np.int64), (matches.persons @ weights)[None])


def _summarize(areas: "list[_Area]", counts: np.ndarray, persons: np.ndarray) -> np.ndarray:
    """(B, 10) pycocotools' means, for counts (B, D) of the detections and persons (B, A) that count."""
    tables = [area.tables(counts, persons[:, a]) for a, area in enumerate(areas)]
    columns = []
    for kind in (0, 1):  # precision (B, T, 101), recall (B, T, 1)
        every = tables[_ALL][kind]
        chosen = (every, every[:, _AT_50], every[:, _AT_75], tables[_MEDIUM][kind], tables[_LARGE][kind])
        columns += [np.ascontiguousarray(part).reshape(len(counts), -1).mean(axis=1) for part in chosen]
    return np.stack(columns, axis=1)


class _Area:
    """One area range: the hits at each threshold, and how many detections that count precede each."""

    def __init__(self, hit: np.ndarray, ignored: np.ndarray) -> None:
        never = ignored.all(axis=0)
        self.counted = np.flatnonzero(~never)
        self.hits = [np.flatnonzero(row) for row in hit]
        # What is ignored at this threshold only, for the match there is with somebody who does not count.
        self.skipped = [np.flatnonzero(row & ~never) for row in ignored]
        self.counted_until = [np.searchsorted(self.counted, hits, side="right") for hits in self.hits]
        self.skipped_until = [
            np.searchsorted(skipped, hits, side="right")
            for skipped, hits in zip(self.skipped, self.hits, strict=True)
        ]

    def tables(self, counts: np.ndarray, persons: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Precision (B, T, 101) at the recall levels and recall (B, T, 1); -1 where no person counts.

        ``counts`` (B, D) is how often each detection stands there, ``persons`` (B,) how many count.
        """
        batch, levels = len(counts), len(_RECALLS)
        precision = np.zeros((batch, len(self.hits), levels))
        recall = np.zeros((batch, len(self.hits), 1))
        counted = _sums(counts[:, self.counted])
        needed = _needed(persons)
        rows = np.arange(batch)[:, None]
        stride = int(persons.max(initial=0)) + int(needed.max(initial=0)) + 1
        for t, hits in enumerate(self.hits):
            if not len(hits):
                continue
            right = np.cumsum(counts[:, hits], axis=1)
            skipped = _sums(counts[:, self.skipped[t]])[:, self.skipped_until[t]]
            taken = counted[:, self.counted_until[t]] - skipped
            rate = right / (taken + np.spacing(1))
            envelope = np.maximum.accumulate(rate[:, ::-1], axis=1)[:, ::-1]
            # The first hit that reaches each level, for all rows in one search: rows lie a stride apart.
            flat = (right + rows * stride).ravel()
            at = np.searchsorted(flat, (needed + rows * stride).ravel()).reshape(batch, levels)
            at -= rows * len(hits)
            inside = at < len(hits)
            precision[:, t] = np.where(inside, envelope[rows, np.minimum(at, len(hits) - 1)], 0)
            recall[:, t, 0] = right[:, -1] / np.maximum(persons, 1)
        precision[persons == 0], recall[persons == 0] = -1, -1
        return precision, recall


def _sums(counts: np.ndarray) -> np.ndarray:
    """Cumulative sums along the last axis with a leading zero."""
    return np.concatenate([np.zeros((len(counts), 1), counts.dtype), np.cumsum(counts, axis=1)], axis=1)


def _needed(persons: np.ndarray) -> np.ndarray:
    """(B, 101) the fewest hits whose recall, hits / persons in floating point, reaches each level."""
    total = np.maximum(persons, 1)[:, None]
    hits = np.ceil(_RECALLS * total).astype(np.int64)
    hits = np.where((hits - 1) / total >= _RECALLS, hits - 1, hits)
    return np.where(hits / total < _RECALLS, hits + 1, hits)
