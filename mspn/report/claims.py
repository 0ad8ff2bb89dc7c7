"""The paper's claims as checks on what was measured.

A claim has parts; a part is a quantity of which the claim says that it is positive (such as one run's AP minus
another's) or small (at most twice what the paper prints). The same function gives the quantity from the paper's
printed figures, from our means over seeds, and from the draws that carry the noise of seeds and images.

Verdicts:

- *not enough runs*: a run that the claim needs has not been evaluated, or one of them has fewer than two seeds,
  so that the noise of training is unknown; or the claim is about data that nobody can measure locally.
- *contradicted*: some part is true with a probability of at most 0.05.
- *holds in direction*: all parts together are true with a probability of at least 0.95.
- *holds*: as that, and every positive part is at least half the size that the paper prints.
- *within noise*: anything else.

The probability is the share of draws in which all parts are true; see ``mspn.report.draws``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from mspn.report.draws import Draws
from mspn.report.paper import FLOPS, Figures
from mspn.report.results import Results

VERDICTS = ("holds", "holds in direction", "within noise", "contradicted", "not enough runs")
SURE, REFUTED = 0.95, 0.05
SIMILAR_FLOPS = 0.10  # "similar" FLOPs: within this share of the larger network's
MATCHES_AP = 0.5  # "matches": at most this many AP below
SMALL = 2.0  # "small": at most this many times what the paper prints

Number = Any  # a float, or an array of draws
Ask = Callable[[str, str], Number]  # (run, detector or GFLOPs) -> its value


@dataclass(frozen=True)
class Part:
    """A quantity that the claim says is positive, or small; ``needs`` are the (run, detector) it is made of."""

    words: str
    needs: tuple[tuple[str, str], ...]
    quantity: Callable[[Ask], Number]
    kind: Literal["positive", "small"] = "positive"
    split: str = "COCO minival"  # where the paper's figures for this part stand
    unit: str = "AP"
    slack: float = 0.0  # positive means: above minus this


@dataclass(frozen=True)
class Claim:
    """A claim of the paper: its words and the parts that must all be true."""

    number: int
    words: str
    parts: tuple[Part, ...]
    hidden: str = ""  # why it cannot be checked locally at all


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


DET = "det-49.4"


def _gain(words: str, better: str, worse: str, **more: Any) -> Part:
    needs = ((better, DET), (worse, DET))
    return Part(words, needs, lambda ask: ask(better, DET) - ask(worse, DET), **more)


def _fewer_flops(words: str, small: str, large: str) -> Part:
    needs = ((small, FLOPS), (large, FLOPS))
    return Part(words, needs, lambda ask: ask(large, FLOPS) - ask(small, FLOPS), unit="GFLOPs")


def _rate(ask: Ask, small: str, large: str) -> Number:
    return (ask(large, DET) - ask(small, DET)) / (ask(large, FLOPS) - ask(small, FLOPS))


def _falling_rate(first: str, second: str, third: str) -> Part:
    runs = (first, second, third)
    needs = tuple((run, what) for run in runs for what in (DET, FLOPS))
    words = f"AP per added GFLOP, {first} to {second}, minus that of {second} to {third}"
    return Part(
        words, needs, lambda ask: _rate(ask, first, second) - _rate(ask, second, third), unit="AP/GFLOP"
    )


MSPN_CURVE = ("mspn-1", "mspn-2", "mspn-3", "mspn-4")
HOURGLASS_CURVE = ("hourglass-1", "hourglass-2", "hourglass-4", "hourglass-8")
RESNET_CURVE = ("mspn-1", "resnet-101", "resnet-152", "resnet-254")


def _margin(others: tuple[str, ...]) -> Callable[[Ask], Number]:
    """The least distance of MSPN's curve, linear between its points, above the others' inside its range."""

    def least(ask: Ask) -> Number:
        flops = [float(ask(run, FLOPS)) for run in MSPN_CURVE]
        aps = [np.asarray(ask(run, DET)) for run in MSPN_CURVE]
        margins = []
        for run in others:
            x = float(ask(run, FLOPS))
            for (x0, x1), (y0, y1) in zip(pairwise(flops), pairwise(aps), strict=True):
                if run not in MSPN_CURVE and x0 <= x <= x1:
                    margins.append(y0 + (y1 - y0) * (x - x0) / (x1 - x0) - ask(run, DET))
        return np.min(margins, axis=0)

    return least


def _above(words: str, others: tuple[str, ...]) -> Part:
    needs = tuple((run, what) for run in (*MSPN_CURVE, *others) for what in (DET, FLOPS))
    return Part(words, tuple(dict.fromkeys(needs)), _margin(others))


def _difference_of_gains(words: str, a: tuple[str, str], b: tuple[str, str]) -> Part:
    needs = tuple((run, DET) for run in (*a, *b))
    return Part(
        words, needs, lambda ask: (ask(a[0], DET) - ask(a[1], DET)) - (ask(b[0], DET) - ask(b[1], DET))
    )


TEST_DEV = "COCO test-dev"
CLAIMS = (
    Claim(
        1,
        "Single-stage capacity saturates: AP per added GFLOP falls from Res-50 to 101 to 152 to 254.",
        (
            _falling_rate("mspn-1", "resnet-101", "resnet-152"),
            _falling_rate("resnet-101", "resnet-152", "resnet-254"),
        ),
    ),
    Claim(
        2,
        "Hourglass saturates after two stages, MSPN does not.",
        (
            _gain("Hourglass, 4 to 8 stages", "hourglass-8", "hourglass-4", kind="small"),
            _gain("MSPN, 2 to 4 stages", "mspn-4", "mspn-2"),
            _difference_of_gains(
                "MSPN's gain minus Hourglass's", ("mspn-4", "mspn-2"), ("hourglass-8", "hourglass-4")
            ),
        ),
    ),
    Claim(
        3,
        "MSPN with 2 stages beats the widened Hourglass with 2 stages at fewer FLOPs.",
        (
            _gain("MSPN 2 minus widened Hourglass 2", "mspn-2", "hourglass-2-wide"),
            _fewer_flops("FLOPs saved", "mspn-2", "hourglass-2-wide"),
        ),
    ),
    Claim(
        4,
        "MSPN has the better accuracy for its FLOPs over the whole range of Figure 1.",
        (
            _above("Least distance above Hourglass's points", HOURGLASS_CURVE),
            _above("Least distance above the single-stage points", RESNET_CURVE),
        ),
    ),
    Claim(
        5,
        "Smaller modules compose: 2 × Res-18 matches Res-50 at fewer FLOPs; 4 × S-XCP beats L-XCP at similar FLOPs.",
        (
            _gain(
                "2 × Res-18 minus Res-50 (matches: above −0.5)", "mspn-2xres18", "mspn-1", slack=MATCHES_AP
            ),
            _fewer_flops("FLOPs saved by 2 × Res-18", "mspn-2xres18", "mspn-1"),
            _gain("4 × S-XCP minus L-XCP", "mspn-4xs-xcp", "l-xcp"),
            Part(
                "FLOPs of 4 × S-XCP within a tenth of L-XCP's: what is left of the tenth",
                (("mspn-4xs-xcp", FLOPS), ("l-xcp", FLOPS)),
                lambda ask: (
                    SIMILAR_FLOPS * ask("l-xcp", FLOPS)
                    - abs(ask("l-xcp", FLOPS) - ask("mspn-4xs-xcp", FLOPS))
                ),
                unit="GFLOPs",
            ),
        ),
    ),
    Claim(
        6,
        "Coarse-to-fine supervision (CTF) and cross stage aggregation (CSFA) help; CSFA helps Hourglass more.",
        (
            _gain("CTF, MSPN", "mspn-2-ctf", "mspn-2-base"),
            _gain("CTF, Hourglass", "hourglass-4-ctf", "hourglass-4"),
            _gain("CSFA, MSPN", "mspn-2", "mspn-2-ctf"),
            _gain("CSFA, Hourglass", "hourglass-4-ctf-csfa", "hourglass-4-ctf"),
            _difference_of_gains(
                "CSFA, Hourglass's gain minus MSPN's",
                ("hourglass-4-ctf-csfa", "hourglass-4-ctf"),
                ("mspn-2", "mspn-2-ctf"),
            ),
        ),
    ),
    Claim(
        7,
        "Kernels 7 then 5 beat 7, 7, which beat 5, 5.",
        (
            _gain("7, 5 minus 7, 7", "mspn-2", "mspn-2-k77"),
            _gain("7, 7 minus 5, 5", "mspn-2-k77", "mspn-2-k55"),
        ),
    ),
    Claim(
        8,
        "The detector matters little to MSPN with 4 stages.",
        (
            Part(
                "Boxes of 49.4 AP minus boxes of 41.1 AP",
                (("mspn-4", DET), ("mspn-4", "det-41.1")),
                lambda ask: ask("mspn-4", DET) - ask("mspn-4", "det-41.1"),
                kind="small",
            ),
            Part(
                "True boxes minus boxes of 49.4 AP",
                (("mspn-4", "gt"), ("mspn-4", DET)),
                lambda ask: ask("mspn-4", "gt") - ask("mspn-4", DET),
                kind="small",
            ),
        ),
    ),
    Claim(
        9,
        "The larger input, external data and the ensemble each add (the paper: on test-dev; here: on validation).",
        (
            _gain("384×288 minus 256×192", "mspn-4-384x288", "mspn-4", split=TEST_DEV),
            _gain("External data", "mspn-4-384x288-ext", "mspn-4-384x288", split=TEST_DEV),
            _gain("Ensemble", "mspn-4-384x288-ensemble", "mspn-4-384x288-ext", split=TEST_DEV),
        ),
    ),
    Claim(
        10,
        "PCKh@0.5 on MPII test is the best of the cited rows.",
        (),
        hidden="MPII's test labels are on its server, so that no local run can be ranked among the cited rows; the "
        "validation figure stands beside Table 9",
    ),
)


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
    if any(not draws.has(*need) for need in part.needs):
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
    interval = (None, None) if exact else (float(low), float(high))
    return PartResult(part, ours, *interval, float(truth.mean()), paper), truth


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
