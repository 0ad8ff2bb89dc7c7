"""Draws of every run's AP that carry the noise of the image sample and of training.

A draw resamples the images, the same for every run (paired), averages the seeds' AP on them and adds the
noise of the seeds' mean: Student's t times the standard deviation over seeds, pooled over all runs that have
two seeds or more, over the square root of the run's number of seeds. A run's training noise is shared by its
detectors.
"""

import math
import zlib

import numpy as np

from mspn.experiment.paper import FLOPS
from mspn.report.replicates import replicates
from mspn.report.results import Evaluation, Results

METRIC = "AP"


class Draws:
    """Means and draws of AP by (run, detector), and exact FLOPs by (run, "GFLOPs")."""

    def __init__(self, results: Results, protocol: str = "paper") -> None:
        self.results, self.protocol = results, protocol
        self.size = results.experiment.scale.bootstrap
        self._boxes = results.experiment.boxes_for
        self._cache: dict[tuple[str, str], np.ndarray] = {}

    def has(self, run: str, what: str) -> bool:
        """Whether the run has FLOPs, or an AP on the detector ``what``."""
        if what == FLOPS:
            return run in self.results.flops
        return self.results.estimate(run, self._boxes(what), METRIC, self.protocol) is not None

    def compares(self, needs: tuple[tuple[str, str], ...]) -> bool:
        """Whether all that a part is made of differs, also where a detector stands in for another."""
        return len({(run, self._boxes(what)) for run, what in needs}) == len(set(needs))

    def seeds(self, run: str, detector: str) -> tuple[int, ...]:
        """The seeds that the run has been evaluated with."""
        estimate = self.results.estimate(run, self._boxes(detector), METRIC, self.protocol)
        return estimate.seeds if estimate else ()

    def evaluations(self, run: str, detector: str) -> list[Evaluation]:
        """The evaluations that the run's AP is the mean of, a seed each."""
        boxes = self._boxes(detector)
        return [self.results.evaluations[run, boxes, seed] for seed in self.seeds(run, detector)]

    def mean(self, run: str, what: str) -> float:
        """The mean AP over seeds, in percent; or the FLOPs."""
        if what == FLOPS:
            return float(self.results.flops[run]["gflops_paper_convention"])
        estimate = self.results.estimate(run, self._boxes(what), METRIC, self.protocol)
        assert estimate is not None
        return estimate.value

    def draw(self, run: str, what: str) -> np.ndarray | float:
        """(B,) draws of the AP, in percent; or the FLOPs, which have no noise."""
        if what == FLOPS:
            return self.mean(run, what)
        if (run, what) not in self._cache:
            found = self.evaluations(run, what)
            images = [replicates(self.results, e, self.protocol, self.size) for e in found]
            self._cache[run, what] = np.mean(images, axis=0) + self._training_noise(run, len(found))
        return self._cache[run, what]

    def _training_noise(self, run: str, seeds: int) -> np.ndarray:
        deviation, freedom = self.spread
        if not freedom:
            return np.zeros(self.size)
        generator = np.random.default_rng(zlib.crc32(run.encode()))
        noise: np.ndarray = generator.standard_t(freedom, self.size)
        return noise * deviation / math.sqrt(seeds)

    @property
    def spread(self) -> tuple[float, int]:
        """The standard deviation of AP over seeds and its degrees of freedom: `Results.spread`."""
        return self.results.spread(METRIC, self.protocol)
