"""Runs as points of curves: which family each belongs to, what it cost, and how long it trained."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mspn.experiment.experiment import Experiment
from mspn.experiment.grid import Run
from mspn.experiment.networks import family, network_spec
from mspn.experiment.paper import Figures
from mspn.report import style
from mspn.report.claim_parts import DET, HOURGLASS_CURVE, MSPN_CURVE, RESNET_CURVE
from mspn.report.results import Estimate, Results, is_partial


@dataclass(frozen=True)
class Family:
    """A curve: runs in order of capacity, and how it is drawn and labelled."""

    name: str
    runs: tuple[str, ...]
    labels: tuple[str, ...]
    colour: str
    marker: str
    dashes: str


# The three curves of the paper's Figure 1. MSPN with one stage is Res-50: the first point of two of them.
FAMILIES = (
    Family("MSPN", MSPN_CURVE, ("1", "2", "3", "4"), style.GREEN, "o", "-"),
    Family(
        "Single stage", RESNET_CURVE, ("Res-50", "Res-101", "Res-152", "Res-254"), style.VERMILION, "^", "--"
    ),
    Family("Hourglass", HOURGLASS_CURVE, ("1", "2", "4", "8"), style.BLUE, "s", "-."),
)  # fmt: skip
# Beyond the paper: comparison points of their own papers, in Figure 1 as measured.
OTHERS = (
    Family(
        "Simple Baseline", ("simple-baseline-50", "simple-baseline-152"), ("50", "152"), style.PURPLE, "D",
        ":",
    ),
    Family("HRNet", ("hrnet-w32", "hrnet-w48"), ("W32", "W48"), style.ORANGE, "P", ":"),
)  # fmt: skip
# Of families that are not known here, in the order of the grid.
_MORE = ((style.SKY, "v"), (style.PURPLE, "X"), (style.ORANGE, "*"), (style.SKY, "h"), (style.PURPLE, "<"))
CURVES_INPUT = "256x192"  # of all runs on the paper's curves, at its own scale
# Of networks by the module of their constructor; another's name is the module's own.
TITLES = {"mspn": "MSPN", "hourglass": "Hourglass", "simple_baseline": "Simple Baseline", "hrnet": "HRNet"}


def families(experiment: Experiment, paper: Figures) -> tuple[Family, ...]:
    """All curves of a scale: the paper's, those of other papers, and one for each family not known here.

    Of the latter the runs that predict COCO's joints from the input of the paper's curves. Other runs of the
    paper's tables are variants, on no curve.
    """
    known = {run for one in OTHERS for run in one.runs} | {figure.run for figure in paper.values()}
    found: dict[str, list[str]] = {}
    for run in whole(experiment):
        if run.run not in known and run.network and run.joint_set != "mpii" and run.input == CURVES_INPUT:
            found.setdefault(family_name(run), []).append(run.run)
    more = [
        Family(
            name if name not in TITLES.values() else f"{name}, added", tuple(runs), tuple(runs), *looks, ":"
        )
        for (name, runs), looks in zip(found.items(), _MORE * len(found), strict=False)
    ]
    return (*FAMILIES, *OTHERS, *more)


def family_name(run: Run) -> str:
    """The family that a run's network belongs to: the curve that it is on, else its constructor's."""
    row = run.row or run.run
    for one in (*FAMILIES, *OTHERS):
        if row in one.runs:
            return one.name
    if not run.network:
        return "ensemble"
    return TITLES.get(family(run.network), family(run.network))


def stages(run: Run) -> int | None:
    """The number of stages that the network's definition names; None where it names none."""
    found = network_spec(run.network)[1].get("stages") if run.network else None
    return int(found) if found else None


def whole(experiment: Experiment) -> list[Run]:
    """The runs at their whole budget, without those that a scale makes of them with a part of it."""
    return [run for run in experiment.grid.values() if not is_partial(run)]


def samples(experiment: Experiment, run: Run) -> int | None:
    """How many samples a run is trained on; None for an ensemble."""
    if not run.network:
        return None
    recipe = experiment.recipe(run)
    return recipe.iterations * recipe.batch


def share_of_budget(experiment: Experiment, run: Run) -> float | None:
    """A run's samples over those of the same run at its whole budget; None for an ensemble."""
    own = samples(experiment, run)
    all_of_it = samples(experiment, experiment.grid[run.row]) if run.row in experiment.grid else own
    return own / all_of_it if own and all_of_it else None


def trained_gflops(results: Results, run: str) -> float | None:
    """GFLOPs, in the paper's convention, of the network that was trained at its input."""
    return number(results.trained, run, "gflops_paper_convention")


def number(table: dict[str, dict[str, object]], run: str, column: str) -> float | None:
    """A number of a run's record; None where there is none."""
    value = table.get(run, {}).get(column)
    return None if value is None else float(str(value))


def ceiling(results: Results, run: Run, protocol: str = "paper") -> float | None:
    """The AP, or else the PCK, of perfect heat maps where a run is scored, in percent; None if not known."""
    height, width = results.experiment.input_size(run)
    place = (run.datasets[0], f"{height}x{width}", protocol)
    known = {key[3]: value for key, value in results.ceilings.items() if key[:3] == place}
    return known.get("AP", next(iter(known.values()), None))


def main_ceiling(results: Results) -> float | None:
    """The ceiling of the paper's curves' input."""
    runs = [run for run in whole(results.experiment) if run.input == CURVES_INPUT and run.network]
    return ceiling(results, runs[0]) if runs else None


def training_seconds(results: Results, run: str) -> float | None:
    """Device seconds of a run's training, the mean over seeds; None where there is none."""
    experiment = results.experiment
    if run not in experiment.grid or not experiment.grid[run].network:
        return None
    trainings = [results.training(experiment.grid[run], seed) for seed in experiment.scale.seeds]
    seconds = [t.device_seconds for t in trainings if t is not None and t.device_seconds is not None]
    return float(np.mean(seconds)) if seconds else None


@dataclass(frozen=True)
class Point:
    """A run's AP on the boxes of the paper's curves, at a place on an axis."""

    run: str
    label: str
    x: float
    ap: Estimate


def points(results: Results, family: Family, x_of: Callable[[str], float | None]) -> list[Point]:
    """The measured points of a curve, in its order; a run without a place or an AP is not one."""
    found = []
    for run, label in zip(family.runs, family.labels, strict=True):
        x, ap = x_of(run), results.estimate(run, results.experiment.boxes_for(DET), "AP")
        if x is not None and ap is not None:
            found.append(Point(run, label, x, ap))
    return found
