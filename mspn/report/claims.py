"""The paper's claims judged on what was measured, statement by statement.

docs/verdicts.md tells what each verdict means; ``workflow/config/claims.yaml`` has the margins and levels. A
verdict is about the population of images; where the one on these images alone differs it stands beside.
"""

import contextlib
from dataclasses import dataclass, replace

import numpy as np

from mspn.experiment.experiment import Experiment
from mspn.experiment.paper import FLOPS, Figures
from mspn.report.budgets import budgets, last_doubling
from mspn.report.claim_parts import (
    CLAIMS,
    COSTS,
    DET,
    SIMILAR_FLOPS,
    TRAINED,
    Ask,
    Claim,
    Statement,
    Weights,
    contrast_of,
)
from mspn.report.draws import Draws
from mspn.report.results import Results, is_partial
from mspn.report.verdicts import evidence, holm, interval

VERDICTS = (
    "supported", "contradicted", "undecided", "budget-limited", "about these weights", "below the floor",
    "not comparable", "not run", "not checkable here",
)  # fmt: skip


@dataclass(frozen=True)
class Judged:
    """A verdict for one target, with its interval and the level (0 to 1, two equal tails) of both."""

    verdict: str
    low: float
    high: float
    level: float


@dataclass(frozen=True)
class StatementResult:
    """A statement's verdict and what it rests on; None where there is nothing.

    ``ours``, ``low``, ``high``, ``margin`` and ``paper`` are in the statement's unit; ``level`` is the
    interval's. ``here`` is the verdict on these images alone. ``trend`` has the contrast at each budget that
    all runs share, as (samples, value).
    """

    name: str
    statement: Statement
    verdict: str
    reason: str
    ours: float | None = None
    low: float | None = None
    high: float | None = None
    level: float | None = None
    margin: float | None = None
    paper: float | None = None
    seeds: tuple[int, ...] = ()
    here: Judged | None = None
    trend: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True)
class ClaimResult:
    """A claim and its statements' verdicts."""

    claim: Claim
    statements: tuple[StatementResult, ...]

    @property
    def summary(self) -> str:
        """How many of the statements have each verdict: ``2 supported, 1 undecided``."""
        counts = count_verdicts([self])
        return ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)


def paper_ask(figures: Figures, split: str) -> Ask:
    """The paper's printed value of a run; KeyError where it prints none on that split."""
    table = {
        (f.run, FLOPS if f.column == FLOPS else f.detector): f.number
        for f in reversed(list(figures.values()))
        if f.column == FLOPS
        or (f.split == split and f.column in ("AP", "Hourglass AP", "MSPN AP", "CPN", "Ours", "GT"))
        if f.run
    }
    return lambda run, what: table[run, FLOPS if what == TRAINED else what]


def evaluate(
    results: Results, figures: Figures, draws: Draws, ceiling: float | None = None
) -> list[ClaimResult]:
    """All claims on what was measured. ``ceiling`` is the AP of perfect heat maps, where it is known."""
    judge = _Judge(results, figures, draws, ceiling)
    return [ClaimResult(claim, judge.judge(claim)) for claim in CLAIMS]


def count_verdicts(claims: list[ClaimResult]) -> dict[str, int]:
    """Every verdict, in the order of VERDICTS, and how many of the statements have it."""
    found = [result.verdict for claim in claims for result in claim.statements]
    return {verdict: found.count(verdict) for verdict in VERDICTS}


def stood_in(experiment: Experiment, statement: Statement) -> dict[str, str]:
    """Of the sources of boxes that a statement compares, those that others stand in for, and which."""
    compared = dict.fromkeys(what for _, what in statement.needs if what not in COSTS)
    stand_in = experiment.scale.stand_in
    return {name: stand_in[name] for name in compared if name in stand_in} if len(compared) > 1 else {}


def is_planned(experiment: Experiment, statement: Statement) -> bool:
    """Whether the scale can ever judge a statement: by its configuration, before any result.

    Those of a claim are the family of Holm's procedure.
    """
    return not (statement.hidden or stood_in(experiment, statement)) and all(
        run in experiment.grid and experiment.boxes_for(what) in experiment.detectors(experiment.grid[run])
        for run, what in statement.needs
        if what not in COSTS
    )


class _Judge:
    """What all statements of a scale are judged with: plan, floor, spread."""

    def __init__(self, results: Results, figures: Figures, draws: Draws, ceiling: float | None) -> None:
        self.results, self.figures, self.draws = results, figures, draws
        self.rules, self.plan = draws.rules, draws.rules.plan(results.experiment)
        floor = self.rules.floor
        self.floor = floor.ap if ceiling is None else floor.share_of_ceiling * ceiling
        self.aps = {
            name: draws.mean(name, DET)
            for name in self.plan.runs
            if draws.has(name, DET) and not is_partial(results.experiment.grid[name])
        }
        learnt = [ap for ap in self.aps.values() if ap >= self.floor]
        self.spread = max(learnt) - min(learnt) if learnt else 0.0

    def judge(self, claim: Claim) -> tuple[StatementResult, ...]:
        """The claim's statements: first those that cannot be judged, then the rest by Holm's procedure."""
        found = {s: self._describe(claim.name(s), s) for s in claim.statements}
        open_ones = [s for s, result in found.items() if not result.verdict]
        family = [s for s in claim.statements if not s.exact and is_planned(self.results.experiment, s)]
        contrasts = [self.draws.contrast(self._weights(s), found[s].seeds) for s in open_ones]
        population = self._verdicts(open_ones, [c.population for c in contrasts], len(family))
        here = self._verdicts(open_ones, [c.here for c in contrasts], len(family))
        for s, judged, on_these in zip(open_ones, population, here, strict=True):
            if judged is None:
                reason = "the noise of training is unknown: no two trained runs have two seeds in common"
                found[s] = replace(found[s], verdict="undecided", reason=reason)
                continue
            verdict, reason = self._final(found[s], judged)
            found[s] = replace(
                found[s], verdict=verdict, reason=reason, low=judged.low, high=judged.high,
                level=judged.level, here=on_these if verdict == judged.verdict else None,
            )  # fmt: skip
        return tuple(found.values())

    def margin(self, statement: Statement) -> float:
        if statement.exact:
            similar = SIMILAR_FLOPS * max(self.draws.flops(*need) for need in statement.needs)
            return similar if statement.kind == "similar" else 0.0
        return self.rules.margins[statement.kind] * self.spread  # type: ignore[index]

    def _weights(self, statement: Statement) -> Weights:
        return statement.weights(lambda run: self.draws.flops(run, TRAINED))

    def _describe(self, name: str, statement: Statement) -> StatementResult:
        """The result but for the interval; its verdict is empty where the interval decides."""
        try:
            paper: float | None = contrast_of(statement, paper_ask(self.figures, statement.split))
        except KeyError:
            paper = None
        paper = None if statement.hidden else paper
        result = StatementResult(name, statement, *self._unmeasured(statement), paper=paper)
        if result.verdict:
            return result
        ours, margin = contrast_of(statement, self.draws.mean), self.margin(statement)
        result = replace(result, ours=ours, margin=margin)
        if statement.exact:
            true = ours > 0 if statement.kind == "fewer" else abs(ours) <= margin
            return replace(result, verdict="supported" if true else "contradicted", reason="exact")
        return self._with_seeds(replace(result, trend=self._trend(statement)))

    def _unmeasured(self, statement: Statement) -> tuple[str, str]:
        """The verdict and reason where there is no contrast to look at; empty otherwise."""
        if statement.hidden:
            return "not checkable here", statement.hidden
        if stand_ins := stood_in(self.results.experiment, statement):
            taken = ", ".join(f"{name} by {other}" for name, other in stand_ins.items())
            return "not comparable", f"boxes are stood in for: {taken}"
        missing = [need for need in statement.needs if not self.draws.has(*need)]
        if missing:
            return "not run", "not there: " + ", ".join(f"{run} ({what})" for run, what in missing)
        return "", ""

    def _with_seeds(self, result: StatementResult) -> StatementResult:
        """The seeds that the statement is judged on, or why it is not."""
        weights = self._weights(result.statement)
        low = {run: ap for run, what in weights if (ap := self.draws.mean(run, what)) < self.floor}
        if low:
            words = ", ".join(f"{run} has {ap:.1f} AP" for run, ap in low.items())
            return replace(
                result, verdict="below the floor", reason=f"{words}; the floor is {self.floor:.1f}"
            )
        seeds = self.draws.seeds(weights)
        if len(seeds) < 2:
            few = [run for run, what in weights if len(self.draws.by_seed(run, what)) < 2]
            if not few or not seeds:
                reason = "its runs have no two seeds in common"
                return replace(result, verdict="undecided", reason=reason, seeds=seeds)
            ends = interval(self.draws.images(weights, seeds), 1 - self.rules.level)
            reason = (
                f"a single seed of {', '.join(dict.fromkeys(few))}: the noise of training is unknown, the "
                "interval is of the images alone"
            )
            return replace(
                result, verdict="about these weights", reason=reason, ours=self.draws.value(weights, seeds),
                seeds=seeds, low=ends[0], high=ends[1], level=self.rules.level,
            )  # fmt: skip
        used = seeds[: self.plan.look(len(seeds))]
        if not used:
            reason = f"{len(seeds)} seeds; the first look is at {self.plan.looks[0]}"
            return replace(result, verdict="undecided", reason=reason)
        ours = self.draws.value(weights, used)
        return replace(result, ours=ours, seeds=used)

    def _verdicts(
        self, statements: list[Statement], draws: list[np.ndarray | None], family: int
    ) -> list[Judged | None]:
        """The verdict on each statement's draws, None where there are none."""
        there = [(s, d) for s, d in zip(statements, draws, strict=True) if d is not None]
        if not there:
            return [None] * len(statements)
        looks = len(self.plan.looks)
        p = np.array([evidence(s.kind, d, self.margin(s)) for s, d in there])  # type: ignore[arg-type]
        levels = holm(p.min(axis=1) * looks, 1 - self.rules.level, family) / looks
        judged = []
        for (_, d), (supported, contradicted), level in zip(there, p, levels, strict=True):
            verdict = (
                "supported"
                if supported <= level
                else "contradicted"
                if contradicted <= level
                else "undecided"
            )
            judged.append(Judged(verdict, *interval(d, level), 1 - level))
        rest = iter(judged)
        return [None if d is None else next(rest) for d in draws]

    def _final(self, result: StatementResult, judged: Judged) -> tuple[str, str]:
        """The verdict with convergence considered, and the reason."""
        gains = {
            run: last_doubling(self.results, self.results.experiment.grid[run], self._ap)
            for run in result.statement.runs
        }
        limit = self.rules.converged * self.spread
        growing = [
            f"{run} by {gain:.1f}" for run, gain in gains.items() if gain is not None and gain >= limit
        ]
        if growing:
            words = f"AP still rose over the last doubling of the budget, {', '.join(growing)}"
            return "budget-limited", f"{words}; converged is below {limit:.1f}"
        reasons = []
        unknown = [run for run, gain in gains.items() if gain is None]
        if unknown:
            every = len(unknown) == len(gains)
            reasons.append("convergence not measured" + ("" if every else f" of {', '.join(unknown)}"))
        if judged.verdict == "supported" and result.statement.kind == "gain" and self._is_slight(result):
            reasons.append("as a share of the spread less than half of the paper's")
        return judged.verdict, "; ".join(reasons)

    def _ap(self, run: str) -> float | None:
        return self.draws.mean(run, DET) if self.draws.has(run, DET) else None

    def _is_slight(self, result: StatementResult) -> bool:
        """Whether a gain is less than half of the paper's, each as a share of the same runs' spread."""
        ask, printed = paper_ask(self.figures, "COCO minival"), []
        for run in self.aps:
            with contextlib.suppress(KeyError):
                printed.append(ask(run, DET))
        if result.paper is None or result.ours is None or len(printed) < 2 or not self.spread:
            return False
        return result.ours / self.spread < result.paper / (max(printed) - min(printed)) / 2

    def _trend(self, statement: Statement) -> tuple[tuple[int, float], ...]:
        """The contrast at every budget that its runs share, over common seeds, where there are several."""
        grid = self.results.experiment.grid
        at = {run: budgets(self.results, grid[run]) for run in statement.runs}
        shared = sorted(set.intersection(*(set(found) for found in at.values())))
        weights, points = self._weights(statement), []
        for samples in shared:
            there = {(at[run][samples], what): weight for (run, what), weight in weights.items()}
            if seeds := self.draws.seeds(there):
                points.append((samples, self.draws.value(there, seeds)))
        return tuple(points) if len(points) > 1 else ()
