"""The paper's ten claims, each as parts that can be measured (``mspn.report.claims`` judges them)."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from mspn.experiment.paper import FLOPS

SIMILAR_FLOPS = 0.10  # "similar" FLOPs: within this share of the larger network's
MATCHES_AP = 0.5  # "matches": at most this many AP below

Number = Any  # a float, or an array of draws
Ask = Callable[[str, str], Number]  # (run, detector or GFLOPs) -> its value


@dataclass(frozen=True)
class Part:
    """A quantity that the claim says is positive, or small; ``needs`` are the (run, detector) it is made
    of.
    """

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
        "Smaller modules compose: 2 × Res-18 matches Res-50 at fewer FLOPs; 4 × S-XCP beats L-XCP at "
        "similar FLOPs.",
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
        "Coarse-to-fine supervision (CTF) and cross stage aggregation (CSFA) help; CSFA helps Hourglass "
        "more.",
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
        "The larger input, external data and the ensemble each add (the paper: on test-dev; here: on "
        "validation).",
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
        hidden="MPII's test labels are on its server: no local run can be ranked among the cited rows; the "
        "validation figure stands beside Table 9",
    ),
)
