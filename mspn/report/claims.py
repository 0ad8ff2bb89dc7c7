"""The paper's claims as checks on what was measured.

A claim has parts; a part is a quantity of which the claim says that it is positive (such as one run's AP
minus another's) or small (at most twice what the paper prints). The same function gives the quantity from
the paper's printed figures, from our means over seeds, and from the draws that carry the noise of seeds and
images.

Verdicts:

- *not enough runs*: a run that the claim needs has not been evaluated, or one of them has fewer than two
  seeds, so that the noise of training is unknown; or the claim is about data that nobody can measure locally.
- *contradicted*: some part is true with a probability of at most 0.05.
- *holds in direction*: all parts together are true with a probability of at least 0.95.
- *holds*: as that, and every positive part is at least half the size that the paper prints.
- *within noise*: anything else.

The probability is the share of draws in which all parts are true; see ``mspn.report.draws``.
"""

from dataclasses import dataclass

import numpy as np

from mspn.experiment.paper import FLOPS, Figures
from mspn.report.claim_parts import CLAIMS, Ask, Claim, Part
from mspn.report.draws import Draws
from mspn.report.results import Results

VERDICTS = ("holds", "holds in direction", "within noise", "contradicted", "not enough runs")
SURE, REFUTED = 0.95, 0.05
SMALL = 2.0  # "small": at most this many times what the paper prints


@dataclass(frozen=True)
class PartResult:
    """A part's quantity: ours with its 95 % interval and probability, and the paper's."""

    part: Part
    ours: float | None
    low: float | None
    high: float | None
    probability: float | None
    paper: float | None


@dataclass(frozen=True)
class ClaimResult:
    """A claim's verdict; ``probability`` is that of all parts together."""

    claim: Claim
    verdict: str
    reason: str
    probability: float | None
    parts: tuple[PartResult, ...]


def paper_ask(figures: Figures, split: str) -> Ask:
    """The paper's printed value of a run; KeyError where it prints none on that split."""
    table = {
        (f.run, FLOPS if f.column == FLOPS else f.detector): f.number
        for f in reversed(list(figures.values()))
        if f.column == FLOPS
        or (f.split == split and f.column in ("AP", "Hourglass AP", "MSPN AP", "CPN", "Ours", "GT"))
        if f.run
    }
    return lambda run, what: table[run, what]


def evaluate(results: Results, figures: Figures, draws: Draws) -> list[ClaimResult]:
    """All claims on what was measured."""
    return [_evaluate(claim, results, figures, draws) for claim in CLAIMS]


def _evaluate(claim: Claim, results: Results, figures: Figures, draws: Draws) -> ClaimResult:
    parts, truths = [], []
    for part in claim.parts:
        result, truth = _measure(part, figures, draws)
        parts.append(result)
        truths.append(truth)
    complete = [truth for truth in truths if truth is not None]
    known = bool(truths) and len(complete) == len(truths)
    probability = float(np.mean(np.logical_and.reduce(np.broadcast_arrays(*complete)))) if known else None
    verdict, reason = _verdict(claim, parts, probability, draws)
    return ClaimResult(claim, verdict, reason, probability, tuple(parts))


def _measure(part: Part, figures: Figures, draws: Draws) -> tuple[PartResult, np.ndarray | None]:
    """A part's quantity by our means and by every draw, and in which draws the part is true."""
    try:
        paper: float | None = float(part.quantity(paper_ask(figures, part.split)))
    except KeyError:
        paper = None
    if not draws.compares(part.needs) or any(not draws.has(*need) for need in part.needs):
        return PartResult(part, None, None, None, None, paper), None
    ours = float(part.quantity(draws.mean))
    many = np.atleast_1d(part.quantity(draws.draw))
    low, high = np.percentile(many, (2.5, 97.5))
    if part.kind == "small":
        bound = SMALL * abs(paper if paper is not None else 0.0)
        truth = np.abs(many) <= bound
    else:
        truth = many > -part.slack
    exact = all(what == FLOPS for _, what in part.needs)
    ends = (None, None) if exact else (float(low), float(high))
    return PartResult(part, ours, ends[0], ends[1], float(truth.mean()), paper), truth


def _verdict(
    claim: Claim, parts: list[PartResult], probability: float | None, draws: Draws
) -> tuple[str, str]:
    if claim.hidden:
        return "not enough runs", claim.hidden
    needs = dict.fromkeys(need for part in claim.parts for need in part.needs)
    missing = [need for need in needs if not draws.has(*need)]
    if missing:
        return "not enough runs", "not there: " + ", ".join(f"{run} ({what})" for run, what in missing)
    single = dict.fromkeys(run for run, what in needs if what != FLOPS and len(draws.seeds(run, what)) < 2)
    if single:
        return "not enough runs", f"a single seed of {', '.join(single)}: the noise of training is unknown"
    if any(part.probability is not None and part.probability <= REFUTED for part in parts):
        false = [p.part.words for p in parts if p.probability is not None and p.probability <= REFUTED]
        return "contradicted", "not so: " + "; ".join(false)
    if probability is None or probability < SURE:
        unsure = [p.part.words for p in parts if p.probability is not None and p.probability < SURE]
        return "within noise", "undecided: " + ("; ".join(unsure) or "all parts together")
    small = [
        p.part.words
        for p in parts
        if p.part.kind == "positive" and not p.part.slack and p.paper is not None and p.ours is not None
        and p.ours < p.paper / 2
    ]  # fmt: skip
    if small:
        return "holds in direction", "less than half of the paper's: " + "; ".join(small)
    return "holds", ""
