"""Figure 1, and AP against capacity and cost."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from mspn.experiment.paper import FLOPS, Figures
from mspn.report import style
from mspn.report.claim_parts import HOURGLASS_CURVE, MSPN_CURVE, RESNET_CURVE
from mspn.report.results import Results

DET = "det-49.4"


@dataclass(frozen=True)
class Drawn:
    """A figure that is written; without ``svg`` it could not be drawn, and ``caption`` says why."""

    id: str
    title: str
    caption: str
    svg: str = ""


@dataclass(frozen=True)
class Family:
    """A curve of Figure 1: runs in order of capacity, and how it is drawn and labelled."""

    name: str
    runs: tuple[str, ...]
    labels: tuple[str, ...]
    colour: str
    marker: str
    dashes: str


FAMILIES = (
    Family("MSPN", MSPN_CURVE, ("1 stage = Res-50", "2", "3", "4 stages"), style.GREEN, "o", "-"),
    Family(
        "Single stage", RESNET_CURVE, ("Res-50", "Res-101", "Res-152", "Res-254"), style.VERMILION, "^", "--"
    ),
    Family("Hourglass", HOURGLASS_CURVE, ("1 stage", "2", "4", "8 stages"), style.BLUE, "s", "-."),
)  # fmt: skip


# Beyond the paper: comparison points of their own papers, in Figure 1 as measured.
OTHERS = (
    Family(
        "Simple Baseline", ("simple-baseline-50", "simple-baseline-152"), ("", ""), style.PURPLE, "D", ":"
    ),
    Family("HRNet", ("hrnet-w32", "hrnet-w48"), ("", ""), style.ORANGE, "P", ":"),
)


def scale_words(results: Results) -> str:
    """What stands in every figure, so that a copied picture still tells its scale."""
    name = results.experiment.scale.name
    return f"{name} scale" + ("" if name == "paper" else ": not comparable with the paper's figures")


def sign(ax: Axes, words: str) -> None:
    ax.text(1, 1.02, words, transform=ax.transAxes, ha="right", va="bottom", fontsize=7, color=style.MUTED)


def _printed(figures: Figures, run: str) -> tuple[float, float]:
    """(FLOPs, AP) of a run as the paper prints them."""
    flops = next(f.number for f in figures.values() if f.run == run and f.column == FLOPS)
    ap = next(
        f.number for f in figures.values() if f.run == run and f.detector == DET and f.split == "COCO minival"
    )
    return flops, ap


def _curve(
    ax: Axes, family: Family, x: list[float], y: list[float], errors: np.ndarray | None, **more: object
) -> None:
    options = {"color": family.colour, "marker": family.marker, "linestyle": family.dashes, **more}
    if errors is None:
        ax.plot(x, y, **options)  # type: ignore[arg-type]
    else:
        ax.errorbar(x, y, yerr=errors, capsize=2.5, elinewidth=1, **options)  # type: ignore[arg-type]


def figure_1_paper(results: Results, figures: Figures, folder: Path) -> Drawn:
    """The paper's Figure 1 from its printed APs: FLOPs as printed (hollow) and as counted here (filled)."""
    title = "Figure 1 from the paper's own points; only FLOPs are measured"
    counted = results.flops
    with style.figure() as (fig, (ax,)):
        for family in FAMILIES:
            points = [_printed(figures, run) for run in family.runs]
            aps = [ap for _, ap in points]
            _curve(
                ax,
                family,
                [x for x, _ in points],
                aps,
                None,
                markerfacecolor=style.PAPER,
                markersize=8,
                alpha=0.55,
                linewidth=1,
            )
            there = [
                (float(counted[run]["gflops_paper_convention"]), ap)
                for run, ap in zip(family.runs, aps, strict=True)
                if run in counted
            ]
            if there:
                _curve(
                    ax,
                    family,
                    [x for x, _ in there],
                    [y for _, y in there],
                    None,
                    label=f"{family.name}",
                    linestyle="none",
                    markersize=4.5,
                )
            for (x, y), label in zip(points, family.labels, strict=True):
                shared = family.name == "Single stage" and label == "Res-50"  # the same run as MSPN's first
                below = family.name != "MSPN"
                if not shared:
                    ax.annotate(
                        label,
                        (x, y),
                        (0, -13 if below else 8),
                        textcoords="offset points",
                        ha="center",
                        fontsize=7,
                        color=family.colour,
                    )
        ax.plot(
            [],
            [],
            "o",
            color=style.MUTED,
            markerfacecolor=style.PAPER,
            markersize=8,
            label="FLOPs as printed",
        )
        ax.plot([], [], "o", color=style.MUTED, markersize=4.5, label="FLOPs as counted here")
        ax.set(
            xlabel="GFLOPs (paper's convention, full size)", ylabel="AP printed in the paper, COCO minival"
        )
        ax.set_ylim(64.5, 77)
        ax.set_title("AP against FLOPs, the paper's points")
        ax.legend(loc="lower right")
        svg = style.save(fig, folder, "figure-1-paper")
    return Drawn(
        "figure-1-paper",
        title,
        "Accuracy is the paper's throughout. A filled mark inside its hollow one: the printed FLOPs are "
        "reproduced.",
        svg,
    )


def figure_1(results: Results, figures: Figures, folder: Path) -> Drawn:
    """AP against FLOPs as measured at this scale, with 95 % intervals; the paper's points behind at its
    scale.
    """
    title, name = "Figure 1 as measured", "figure-1"
    points = {family: _points(results, family, _flops_of(results)) for family in (*FAMILIES, *OTHERS)}
    if not any(points.values()):
        return Drawn(
            name, title, "Not run: no run of the three families has been evaluated, or FLOPs are missing."
        )
    with style.figure() as (fig, (ax,)):
        for family, values in points.items():
            if results.experiment.scale.name == "paper" and family in FAMILIES:
                printed = [_printed(figures, run) for run in family.runs]
                _curve(
                    ax,
                    family,
                    [x for x, _ in printed],
                    [y for _, y in printed],
                    None,
                    markerfacecolor=style.PAPER,
                    alpha=0.4,
                    markersize=8,
                )
            _draw_points(ax, family, values)
        _free_ylim(ax)
        ax.set(xlabel="GFLOPs (paper's convention, full size)", ylabel="AP on this scale's validation set")
        ax.set_title("AP against FLOPs, measured")
        sign(ax, scale_words(results))
        ax.legend(loc="best")
        svg = style.save(fig, folder, name)
    caption = f"Bars: 95 % intervals over images{seed_words(results)}. {scale_words(results).capitalize()}."
    return Drawn(name, title, caption, svg)


def seed_words(results: Results) -> str:
    seeds = results.metrics.seed.nunique()
    return " and seeds" if seeds > 1 else "; a single seed, so that the noise of training is not in them"


Points = list[tuple[str, float, float, float, float]]  # label, x, AP, low, high


def _flops_of(results: Results) -> Callable[[str], float | None]:
    table = results.flops
    return lambda run: float(table[run]["gflops_paper_convention"]) if run in table else None


def _points(results: Results, family: Family, x_of: Callable[[str], float | None]) -> Points:
    points = []
    for run, label in zip(family.runs, family.labels, strict=True):
        x, estimate = x_of(run), results.estimate(run, results.experiment.boxes_for(DET), "AP")
        if x is not None and estimate is not None:
            points.append((label, x, estimate.value, estimate.low, estimate.high))
    return points


def _draw_points(ax: Axes, family: Family, points: Points) -> None:
    if not points:
        return
    _, x, y, low, high = zip(*points, strict=True)
    errors = np.array([np.subtract(y, low), np.subtract(high, y)])
    _curve(ax, family, list(x), list(y), errors, label=family.name)


def _free_ylim(ax: Axes) -> None:
    """Room around the points; AP goes no lower than a sliver below 0, where a mark is still whole."""
    low, high = ax.get_ylim()
    high = max(high, 1.0)
    ax.set_ylim(max(low, -0.04 * high) if low < 0 else low, high)


def figure_capacity(results: Results, folder: Path) -> Drawn:
    """AP against parameters, latency and training cost."""
    title, name = "Capacity and cost", "figure-capacity"
    flops, latency = results.flops, results.latency
    axes_of: tuple[tuple[str, Callable[[str], float | None]], ...] = (
        (
            "Parameters at full size (millions)",
            lambda run: float(flops[run]["parameters"]) / 1e6 if run in flops else None,
        ),
        (
            "Latency of a crop at this scale (ms)",
            lambda run: float(latency[run]["ms_per_crop"]) if run in latency else None,
        ),
        ("Training (device seconds)", lambda run: training_seconds(results, run)),
    )
    panels = [(label, {f: _points(results, f, x_of) for f in FAMILIES}) for label, x_of in axes_of]
    if not any(points for _, panel in panels for points in panel.values()):
        return Drawn(name, title, "Not run: no run of the three families has been evaluated.")
    with style.figure(height=3.0, columns=3) as (fig, axes):
        for ax, (label, panel) in zip(axes, panels, strict=True):
            for family, points in panel.items():
                _draw_points(ax, family, points)
            ax.set_xlabel(label)
            ax.xaxis.set_major_locator(MaxNLocator(5))
            if not any(panel.values()):
                ax.text(0.5, 0.5, "not measured", transform=ax.transAxes, ha="center", color=style.MUTED)
            _free_ylim(ax)
        axes[0].set_ylabel("AP on this scale's validation set")
        axes[0].set_title("AP against capacity and cost")
        fig.supxlabel(scale_words(results), fontsize=7, color=style.MUTED)
        axes[0].legend(loc="lower right", fontsize=7)
        svg = style.save(fig, folder, name)
    devices = ", ".join(sorted({str(record["device"]) for record in latency.values()})) or "not measured"
    caption = (
        f"Latency: median of single crops on one thread or one GPU ({devices}). "
        f"{scale_words(results).capitalize()}."
    )
    return Drawn(name, title, caption, svg)


def training_seconds(results: Results, run: str) -> float | None:
    """Device seconds of a run's training, the mean over seeds; None where there is none."""
    experiment = results.experiment
    if run not in experiment.grid or not experiment.grid[run].network:
        return None
    trainings = [results.training(experiment.grid[run], seed) for seed in experiment.scale.seeds]
    seconds = [t.device_seconds for t in trainings if t is not None and t.device_seconds is not None]
    return float(np.mean(seconds)) if seconds else None
