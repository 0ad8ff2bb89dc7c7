"""The paper's ten claims, each as statements that are judged one by one (``mspn.report.claims`` does).

A statement is about a contrast: a weighted sum of runs' APs, such as one run's minus another's, or a run's
minus the straight line through two others. It is Python, not configuration: the weights of a line follow
from FLOPs, and names are checked. The margins, and all that decides a verdict, are in
``workflow/config/claims.yaml``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from mspn.experiment.paper import FLOPS
from mspn.report.rules import Kind

SIMILAR_FLOPS = 0.10  # "similar" FLOPs: within this share of the larger network's

TRAINED = "GFLOPs as trained"  # of the trained network, at its input; FLOPS are the full-size network's
COSTS = (FLOPS, TRAINED)

Need = tuple[str, str]  # a run and a detector, or a run and one of the COSTS
Weights = dict[Need, float]
Ask = Callable[[str, str], float]  # a need -> its value
DET = "det-49.4"
MSPN_CURVE = ("mspn-1", "mspn-2", "mspn-3", "mspn-4")
HOURGLASS_CURVE = ("hourglass-1", "hourglass-2", "hourglass-4", "hourglass-8")
RESNET_CURVE = ("mspn-1", "resnet-101", "resnet-152", "resnet-254")


@dataclass(frozen=True)
class Statement:
    """What the claim says of one contrast.

    ``kind``: gain (above 0), matches (not below a margin), saturates (not above a margin), small (within a
    margin either way); fewer and similar are of FLOPs and have no noise. ``weights`` gives the contrast from
    the FLOPs of the trained networks; ``needs`` is all that must be there.
    """

    words: str
    kind: Kind | Literal["fewer", "similar"]
    needs: tuple[Need, ...]
    weights: Callable[[Callable[[str], float]], Weights]
    split: str = "COCO minival"  # where the paper's figures for it stand
    hidden: str = ""  # why it cannot be checked locally at all

    @property
    def exact(self) -> bool:
        """Whether it is of FLOPs alone, which have no noise."""
        return self.kind in ("fewer", "similar")

    @property
    def unit(self) -> str:
        return FLOPS if self.exact else "AP"

    @property
    def runs(self) -> tuple[str, ...]:
        """The runs whose AP it compares, each once."""
        return tuple(dict.fromkeys(run for run, what in self.needs if what not in COSTS))


@dataclass(frozen=True)
class Claim:
    """A claim of the paper: its words and its statements, named by the claim's number and a letter."""

    number: int
    words: str
    statements: tuple[Statement, ...]

    def name(self, statement: Statement) -> str:
        """``2a`` for the second claim's first statement."""
        return f"{self.number}{'abcdefghijklmnopqrstuvwxyz'[self.statements.index(statement)]}"


def contrast_of(statement: Statement, ask: Ask) -> float:
    """The statement's contrast of given APs and FLOPs."""
    weights = statement.weights(lambda run: ask(run, TRAINED))
    return sum(weight * ask(*need) for need, weight in weights.items())


def _fixed(words: str, kind: Kind, weights: Weights, split: str = "COCO minival") -> Statement:
    return Statement(words, kind, tuple(weights), lambda flops: weights, split)


def _difference(words: str, kind: Kind, more: str, less: str, split: str = "COCO minival") -> Statement:
    return _fixed(words, kind, {(more, DET): 1.0, (less, DET): -1.0}, split)


def _gains(words: str, a: tuple[str, str], b: tuple[str, str]) -> Statement:
    """The gain of ``a`` (better, worse) minus that of ``b``."""
    return _fixed(words, "gain", {(a[0], DET): 1.0, (a[1], DET): -1.0, (b[0], DET): -1.0, (b[1], DET): 1.0})


def _boxes(words: str, run: str, better: str, worse: str) -> Statement:
    return _fixed(words, "small", {(run, better): 1.0, (run, worse): -1.0})


def _line(words: str, point: str, ends: tuple[str, str], side: Literal["above", "below"]) -> Statement:
    """How far a run lies above, or below, the straight line through two others in AP over FLOPs."""
    sign = 1.0 if side == "above" else -1.0
    runs = (point, *ends)

    def weights(flops: Callable[[str], float]) -> Weights:
        x, x0, x1 = map(flops, runs)
        share = (x - x0) / (x1 - x0)
        return {(point, DET): sign, (ends[0], DET): -sign * (1 - share), (ends[1], DET): -sign * share}

    needs = tuple((run, what) for what in (DET, TRAINED) for run in runs)
    return Statement(words, "gain", needs, weights)


def _flops(words: str, kind: Literal["fewer", "similar"], large: str, small: str) -> Statement:
    weights = {(large, FLOPS): 1.0, (small, FLOPS): -1.0}
    return Statement(words, kind, tuple(weights), lambda flops: weights)


TEST_DEV = "COCO test-dev"
CLAIMS = (
    Claim(
        1,
        "Single-stage capacity saturates: AP per added GFLOP falls from Res-50 to 101 to 152 to 254.",
        (
            _line("Res-101 above the line from Res-50 to Res-152: AP per GFLOP falls there", "resnet-101",
                  ("mspn-1", "resnet-152"), "above"),
            _line("Res-152 above the line from Res-101 to Res-254: AP per GFLOP falls there", "resnet-152",
                  ("resnet-101", "resnet-254"), "above"),
        ),
    ),
    Claim(
        2,
        "Hourglass saturates after two stages, MSPN does not.",
        (
            _difference("Hourglass saturates, 4 to 8 stages", "saturates", "hourglass-8", "hourglass-4"),
            _difference("MSPN gains, 2 to 4 stages", "gain", "mspn-4", "mspn-2"),
            _gains("MSPN's gain, 2 to 4 stages, minus Hourglass's, 4 to 8, at similar FLOPs",
                   ("mspn-4", "mspn-2"), ("hourglass-8", "hourglass-4")),
        ),
    ),
    Claim(
        3,
        "MSPN with 2 stages beats the widened Hourglass with 2 stages at fewer FLOPs.",
        (
            _difference("MSPN 2 minus widened Hourglass 2", "gain", "mspn-2", "hourglass-2-wide"),
            _flops("FLOPs saved", "fewer", "hourglass-2-wide", "mspn-2"),
        ),
    ),
    Claim(
        4,
        "MSPN has the better accuracy for its FLOPs over the whole range of Figure 1.",
        tuple(
            _line(f"MSPN's line above {name}", run, ends, "below")
            for name, run, ends in (
                ("Hourglass 2", "hourglass-2", ("mspn-1", "mspn-2")),
                ("Hourglass 4", "hourglass-4", ("mspn-2", "mspn-4")),
                ("Hourglass 8", "hourglass-8", ("mspn-2", "mspn-4")),
                ("Res-101", "resnet-101", ("mspn-1", "mspn-2")),
                ("Res-152", "resnet-152", ("mspn-2", "mspn-4")),
                ("Res-254", "resnet-254", ("mspn-2", "mspn-4")),
            )
        ),
    ),
    Claim(
        5,
        "Smaller modules compose: 2 × Res-18 matches Res-50 at fewer FLOPs; 4 × S-XCP beats L-XCP at "
        "similar FLOPs.",
        (
            _difference("2 × Res-18 matches Res-50", "matches", "mspn-2xres18", "mspn-1"),
            _flops("FLOPs saved by 2 × Res-18", "fewer", "mspn-1", "mspn-2xres18"),
            _difference("4 × S-XCP minus L-XCP", "gain", "mspn-4xs-xcp", "l-xcp"),
            _flops("FLOPs of L-XCP minus those of 4 × S-XCP, within a tenth", "similar", "l-xcp",
                   "mspn-4xs-xcp"),
        ),
    ),
    Claim(
        6,
        "Coarse-to-fine supervision (CTF) and cross stage aggregation (CSFA) help; CSFA helps Hourglass "
        "more.",
        (
            _difference("CTF, MSPN", "gain", "mspn-2-ctf", "mspn-2-base"),
            _difference("CTF, Hourglass", "gain", "hourglass-4-ctf", "hourglass-4"),
            _difference("CSFA, MSPN", "gain", "mspn-2", "mspn-2-ctf"),
            _difference("CSFA, Hourglass", "gain", "hourglass-4-ctf-csfa", "hourglass-4-ctf"),
            _gains("CSFA, Hourglass's gain minus MSPN's",
                   ("hourglass-4-ctf-csfa", "hourglass-4-ctf"), ("mspn-2", "mspn-2-ctf")),
        ),
    ),
    Claim(
        7,
        "Kernels 7 then 5 beat 7, 7, which beat 5, 5.",
        (
            _difference("7, 5 minus 7, 7", "gain", "mspn-2", "mspn-2-k77"),
            _difference("7, 7 minus 5, 5", "gain", "mspn-2-k77", "mspn-2-k55"),
        ),
    ),
    Claim(
        8,
        "The detector matters little to MSPN with 4 stages.",
        (
            _boxes("Boxes of 49.4 AP minus boxes of 41.1 AP", "mspn-4", DET, "det-41.1"),
            _boxes("True boxes minus boxes of 49.4 AP", "mspn-4", "gt", DET),
        ),
    ),
    Claim(
        9,
        "The larger input, external data and the ensemble each add (the paper: on test-dev; here: on "
        "validation).",
        (
            _difference("384×288 minus 256×192", "gain", "mspn-4-384x288", "mspn-4", TEST_DEV),
            _difference("External data", "gain", "mspn-4-384x288-ext", "mspn-4-384x288", TEST_DEV),
            _difference("Ensemble", "gain", "mspn-4-384x288-ensemble", "mspn-4-384x288-ext", TEST_DEV),
        ),
    ),
    Claim(
        10,
        "PCKh@0.5 on MPII test is the best of the cited rows.",
        (
            Statement(
                "MSPN's PCKh@0.5 above every cited row's", "gain", (), lambda flops: {}, "MPII test",
                "MPII's test labels are on its server: no local run can be ranked among the cited rows; the "
                "validation figure stands in Table 9",
            ),
        ),
    ),
)  # fmt: skip
