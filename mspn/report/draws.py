"""Draws of contrasts of AP that carry the noise of the image sample and of training.

A draw resamples the images, the same for every run (paired), takes the mean over seeds on them, and adds the
noise of training, by names of trainings; docs/verdicts.md says how.

Two targets: the population that the images are a sample of, as above; and these images alone, without the
resampling, where the seeds' whole spread counts.
"""

import math
import zlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from mspn.evaluation.rescoring import MAIN
from mspn.experiment.paper import FLOPS
from mspn.report.claim_parts import COSTS, DET, Weights
from mspn.report.noise import Spread, Table, spread
from mspn.report.replicates import replicates
from mspn.report.results import Evaluation, Results, is_partial
from mspn.report.rules import Rules, load_rules

METRIC = "AP"


@dataclass(frozen=True)
class Contrast:
    """Draws (B,) of a weighted sum of APs for both targets; None where the noise of training is unknown."""

    population: np.ndarray | None
    here: np.ndarray | None


class Draws:
    """Means of AP by (run, detector), exact FLOPs by (run, a cost), and draws of contrasts of them."""

    def __init__(self, results: Results, rules: Rules | None = None) -> None:
        self.results, self.rules = results, rules or load_rules()
        self.size = self.rules.draws
        self._boxes = results.experiment.boxes_for
        self._images: dict[tuple[str, str, int], np.ndarray] = {}

    def has(self, run: str, what: str) -> bool:
        """Whether the run has FLOPs, or an AP on the detector ``what``."""
        return run in self._counted(what) if what in COSTS else bool(self.by_seed(run, what))

    def flops(self, run: str, what: str) -> float:
        """The GFLOPs, in the paper's convention, of the run's full-size or of its trained network."""
        return float(self._counted(what)[run]["gflops_paper_convention"])

    def _counted(self, what: str) -> dict[str, dict[str, Any]]:
        return self.results.flops if what == FLOPS else self.results.trained

    def by_seed(self, run: str, detector: str) -> dict[int, float]:
        """Seed -> AP, in percent; empty where the run has not been evaluated on the detector."""
        return self.results.by_seed(run, self._boxes(detector), METRIC, MAIN)

    def evaluations(self, run: str, detector: str) -> list[Evaluation]:
        """The run's evaluations on the detector's boxes, a seed each."""
        boxes = self._boxes(detector)
        return [self.results.evaluations[run, boxes, seed] for seed in self.by_seed(run, detector)]

    def mean(self, run: str, what: str) -> float:
        """The mean AP over seeds, in percent; or the FLOPs."""
        if what in COSTS:
            return self.flops(run, what)
        return float(np.mean(list(self.by_seed(run, what).values())))

    def seeds(self, weights: Weights) -> tuple[int, ...]:
        """The seeds that all of a contrast's evaluations have."""
        common = [set(self.by_seed(*need)) for need in weights]
        return tuple(sorted(set.intersection(*common))) if common else ()

    def value(self, weights: Weights, seeds: tuple[int, ...]) -> float:
        return float(sum(w * np.mean([self.by_seed(*need)[s] for s in seeds]) for need, w in weights.items()))

    def images(self, weights: Weights, seeds: tuple[int, ...]) -> np.ndarray:
        """(B,) draws of the contrast with the noise of images alone. One in which nobody was drawn, as may be
        with a handful of images, is drawn again from the others.
        """
        draws = np.zeros(self.size)
        for need, weight in weights.items():
            draws += weight * np.mean([self._replicates(*need, seed) for seed in seeds], axis=0)
        lost = np.isnan(draws)
        if lost.any():
            draws[lost] = np.random.default_rng(0).choice(draws[~lost], lost.sum())
        return draws

    def draw(self, run: str, what: str) -> np.ndarray:
        """(B,) draws of one run's AP over all its seeds, paired with every other's; of images alone where the
        noise of training is unknown.
        """
        weights, seeds = {(run, what): 1.0}, tuple(self.by_seed(run, what))
        known = self.contrast(weights, seeds).population
        return self.images(weights, seeds) if known is None else known

    def contrast(self, weights: Weights, seeds: tuple[int, ...]) -> Contrast:
        """Draws of the contrast over those seeds, for both targets."""
        noise = {here: self._training_noise(weights, here) / math.sqrt(len(seeds)) for here in (True, False)}
        known = self.spread.freedom > 0 or not self._by_training(weights)
        return Contrast(
            self.images(weights, seeds) + noise[False] if known else None,
            self.value(weights, seeds) + noise[True] if known and noise[True].any() else None,
        )

    def _replicates(self, run: str, detector: str, seed: int) -> np.ndarray:
        key = (run, self._boxes(detector), seed)
        if key not in self._images:
            evaluation = self.results.evaluations[key]
            self._images[key] = replicates(self.results, evaluation, MAIN, self.size)
        return self._images[key]

    # ---- the noise of training ----

    @cached_property
    def spread(self) -> Spread:
        """The spread from training to training, on the tables' boxes. Each training counts once: not again
        for other detectors, for ensembles, or for the partial budgets that it branched into.
        """
        experiment, rows = self.results.experiment, dict[str, tuple[str, str]]()
        for run in experiment.trained:
            if run.joint_set != "mpii" and not is_partial(run):
                training = experiment.training_id(run, experiment.scale.seeds[0])
                rows.setdefault(training, (run.run, self._boxes(DET)))
        return spread([self._table(rows)])

    @cached_property
    def spread_of_boxes(self) -> Spread:
        """The spread from training to training of what detectors of one training do not share."""
        experiment, tables = self.results.experiment, []
        for run in experiment.trained:
            if run.joint_set != "mpii" and not is_partial(run):
                tables.append(self._table({boxes: (run.run, boxes) for boxes in experiment.detectors(run)}))
        return spread([table for table in tables if len({row for row, _ in table}) > 1])

    def _table(self, rows: dict[str, tuple[str, str]]) -> Table:
        """The rows' APs by seed with their replicates; a row with a single seed tells nothing."""
        table: Table = {}
        for row, (run, boxes) in rows.items():
            found = self.by_seed(run, boxes)
            for seed, value in found.items() if len(found) > 1 else ():
                table[row, seed] = (value, self._replicates(run, boxes, seed))
        return table

    def _training_noise(self, weights: Weights, here: bool) -> np.ndarray:
        """(B,) draws of the contrast's noise of training, for one seed."""
        noise = np.zeros(self.size)
        for run, weight in self._by_training(weights).items():
            noise += weight * self._normal(run, self.spread, here)
        main, totals = self._boxes(DET), _by_run(weights)
        for (run, detector), weight in weights.items():
            boxes = self._boxes(detector)
            own = weight - (totals[run] if boxes == main else 0.0)
            noise += own * self._normal(f"{run}/{boxes}", self.spread_of_boxes, here) if own else 0.0
        return noise

    def _normal(self, name: str, spread: Spread, here: bool) -> np.ndarray:
        """(B,) normal numbers of that name, times the deviation as uncertain as its degrees of freedom."""
        if not spread.freedom:
            return np.zeros(self.size)
        # One chi-square number a draw for all names: they share one deviation.
        squares = np.random.default_rng(_CHI_SQUARE).chisquare(spread.freedom, self.size)
        deviation = (spread.here if here else spread.population) * np.sqrt(spread.freedom / squares)
        numbers: np.ndarray = np.random.default_rng(zlib.crc32(name.encode())).normal(size=self.size)
        return deviation * numbers

    def _by_training(self, weights: Weights) -> dict[str, float]:
        """Trained run -> its weight in the contrast, where it is not 0: over detectors and ensembles."""
        totals: dict[str, float] = {}
        for name, weight in _by_run(weights).items():
            members = self.results.experiment.grid[name].members or (name,)
            for member in members:
                totals[member] = totals.get(member, 0.0) + weight / len(members)
        return {run: weight for run, weight in totals.items() if weight}


_CHI_SQUARE = 0  # the seed of the chi-square numbers


def _by_run(weights: Weights) -> dict[str, float]:
    """Run -> its weight in the contrast, over detectors."""
    totals: dict[str, float] = {}
    for (run, _), weight in weights.items():
        totals[run] = totals.get(run, 0.0) + weight
    return totals
