"""Runs of one network at several budgets, and what the last doubling of the budget gained."""

import math
from collections.abc import Callable
from dataclasses import replace

from mspn.experiment.grid import Run
from mspn.report.results import Results


def budgets(results: Results, run: Run) -> dict[int, str]:
    """Samples seen -> run, rising: the scale's runs that equal ``run`` but for their number of iterations.

    An ensemble is trained at no budget: it has none.
    """
    experiment = results.experiment
    same = [other for other in experiment.trained if _trained_alike(other) == _trained_alike(run)]
    samples = {experiment.recipe(r).iterations * experiment.recipe(r).batch: r.run for r in same}
    return dict(sorted(samples.items()))


def _trained_alike(run: Run) -> Run:
    changes = tuple(change for change in run.changes if change[0] != "iterations")
    return replace(run, run="", row="", detectors=(), changes=changes)


def last_doubling(results: Results, run: Run, ap: Callable[[str], float | None]) -> float | None:
    """AP gained over the last doubling of the run's budget; None where it was not measured.

    Where the budget before is not half of the whole, the gain is taken as even in the budget's logarithm. An
    ensemble's is its members' largest.
    """
    if run.members:
        gains = [last_doubling(results, results.experiment.grid[name], ap) for name in run.members]
        return None if None in gains else max(gain for gain in gains if gain is not None)
    points = [(samples, ap(name)) for samples, name in budgets(results, run).items()]
    known = [(samples, value) for samples, value in points if value is not None]
    if len(known) < 2:
        return None
    (before, low), (after, high) = known[-2:]
    return (high - low) / math.log2(after / before)
