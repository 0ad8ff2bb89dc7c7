"""MSPN against the others at equal FLOPs, and AP against what training and testing cost."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from mspn.experiment.paper import Figures
from mspn.report import fits, points, style
from mspn.report.budgets import budgets
from mspn.report.draws import Draws
from mspn.report.figures import (
    FLOPS_LABEL,
    ap_axes,
    bars,
    draw_curve,
    family_curves,
    label_ends,
    label_points,
    label_x,
    log_axis,
    scale_words,
    seed_words,
)
from mspn.report.fits import Curve
from mspn.report.points import FAMILIES, Family, Point
from mspn.report.results import Results
from mspn.report.style import Drawn
from mspn.report.tidy import printed_points

WHY_NOT = "Not run: it needs two families with two runs or more each in one range of FLOPs."
PAIRS = (("MSPN", "Hourglass"), ("MSPN", "Single stage"))


def figure_difference(results: Results, paper: Figures, draws: Draws, folder: Path) -> Drawn:
    """MSPN's curve minus the others' at equal FLOPs, with paired bands; the paper's own beside."""
    title, name = "MSPN minus the others at equal FLOPs", "figure-difference"
    found = {
        family: points.points(results, family, lambda run: points.trained_gflops(results, run))
        for family in FAMILIES
    }
    curves = {f.name: (x, y) for f, (x, y, _) in family_curves(results, draws, found).items()}
    measured = _differences(curves)
    if not measured:
        return Drawn(name, title, WHY_NOT)
    printed = printed_points(paper)
    own = {f.name: np.array([printed[run] for run in f.runs]).T for f in FAMILIES}
    of_paper = _differences({key: (x, y[None]) for key, (x, y) in own.items()}, law=False)

    def panel(curves: dict[str, Curve], heading: str, label: str) -> style.Panel:
        def draw(ax: Axes) -> None:
            for family in FAMILIES:
                if family.name in curves:
                    draw_curve(ax, family, curves[family.name])
                    look = {"color": family.colour, "linestyle": family.dashes}
                    ax.plot([], [], label=f"minus {family.name}", **look)  # type: ignore[arg-type]
            ax.axhline(0, color=style.INK, linewidth=0.8)
            log_axis(ax)
            if heading == "Measured":
                label_x(ax, label, results)
            else:
                ax.set_xlabel(label)
            ax.set_ylabel("Difference in AP")
            ax.set_title(heading)
            ax.legend(loc="best", fontsize=style.SMALL)

        return draw

    both = [
        panel(measured, "Measured", FLOPS_LABEL),
        panel(of_paper, "The paper's own points", "GFLOPs as printed"),
    ]
    panels = style.draw(folder, name, both, size=(4.0, 2.6))
    laws = [key for key, curve in measured.items() if curve.kind == "law"]
    words = f"Of the fitted laws: minus {', '.join(laws)}; else of" if laws else "Of"
    caption = (
        f"Bands: 95 %, paired over images{seed_words(results)}. {words} the lines between the points, as on "
        f"the right. {scale_words(results).capitalize()}."
    )
    return Drawn(name, title, caption, panels, data="curve.csv")


def _differences(curves: dict[str, tuple[np.ndarray, np.ndarray]], law: bool = True) -> dict[str, Curve]:
    """The other family's name -> MSPN minus it, where both are there and their ranges meet."""
    found = {}
    for one, other in PAIRS:
        if one in curves and other in curves:
            curve = fits.difference(*curves[one], *curves[other], law=law)
            if curve is not None:
                found[other] = curve
    return found


# ---- parameters and latency ----


def figure_capacity(results: Results, paper: Figures, folder: Path) -> Drawn:
    """AP against the trained networks' parameters and their latency, alone and in a batch."""
    title, name = "AP against parameters and latency", "figure-capacity"
    places: dict[str, Callable[[str], float | None]] = {
        "Parameters of the trained network (millions)": lambda run: _millions(results, run),
        "Latency of one crop (ms)": lambda run: points.number(results.latency, run, "ms_per_crop"),
        "Latency of a crop among 32 (ms)": lambda run: points.number(
            results.latency, run, "ms_per_crop_of_32"
        ),
    }
    families = points.families(results.experiment, paper)
    found = {words: {f: points.points(results, f, x_of) for f in families} for words, x_of in places.items()}
    if not any(members for panel in found.values() for members in panel.values()):
        return Drawn(name, title, "Not run: no run of a curve has been evaluated.")

    def panel(words: str) -> style.Panel:
        def draw(ax: Axes) -> None:
            for family, members in found[words].items():
                bars(ax, family, members, linestyle=family.dashes, linewidth=1.2)
                label_points(ax, family, [(p.x, p.ap.value, p.label) for p in members])
            ap_axes(ax, words, results, "not measured", any(found[words].values()))

        return draw

    panels = style.draw(folder, name, [panel(words) for words in found], columns=3)
    devices = ", ".join(sorted({str(record["device"]) for record in results.latency.values()}))
    caption = (
        f"Latency: the median, on one thread or one GPU ({devices or 'not measured'}). "
        f"{scale_words(results).capitalize()}."
    )
    return Drawn(name, title, caption, panels, across=3, data="curve.csv")


def _millions(results: Results, run: str) -> float | None:
    parameters = points.number(results.trained, run, "parameters")
    return None if parameters is None else parameters / 1e6


# ---- samples and training time ----


def figure_training(results: Results, paper: Figures, folder: Path) -> Drawn:
    """AP against the samples seen, a line for each run with several budgets, and against training time."""
    title, name = "AP against samples and training time", "figure-training"
    experiment = results.experiment
    families = points.families(experiment, paper)
    by_samples = {f: _budget_lines(results, f, lambda run: _samples(results, run)) for f in families}
    by_time = {f: _budget_lines(results, f, lambda run: _minutes(results, run)) for f in families}
    if not any(line for lines in (*by_samples.values(), *by_time.values()) for line in lines):
        return Drawn(name, title, "Not run: no run of a curve has been evaluated.")
    several = any(len(line) > 1 for lines in by_samples.values() for line in lines)
    panels = [_budget_panel(results, by_samples, "Samples seen in training")] if several else []
    panels.append(_budget_panel(results, by_time, "Training time (device minutes)"))
    drawn = style.draw(folder, name, panels)
    words = (
        "A line joins a run's budgets, each a training of its own with its own cool-down."
        if several
        else "The scale trains each run at one budget only: there is no curve over samples."
    )
    noise = f"Bars: 95 % intervals over images{seed_words(results)}."
    caption = f"{words} {noise} {scale_words(results).capitalize()}."
    return Drawn(name, title, caption, drawn, data="curve.csv")


def _samples(results: Results, run: str) -> float | None:
    found = points.samples(results.experiment, results.experiment.grid[run])
    return None if found is None else float(found)


def _minutes(results: Results, run: str) -> float | None:
    seconds = points.training_seconds(results, run)
    return seconds / 60 if seconds else None


def _budget_lines(results: Results, family: Family, x_of: Callable[[str], float | None]) -> list[list[Point]]:
    """The points of each run of a family over its budgets, smallest first."""
    found = []
    for run, label in zip(family.runs, family.labels, strict=True):
        if run in results.experiment.grid:
            names = tuple(budgets(results, results.experiment.grid[run]).values())
            line = replace(family, runs=names, labels=(label,) * len(names))
            found.append(points.points(results, line, x_of))
    return [line for line in found if line]


def _budget_panel(results: Results, lines: dict[Family, list[list[Point]]], label: str) -> style.Panel:
    def draw(ax: Axes) -> None:
        ends = []
        for family, group in lines.items():
            for i, line in enumerate(group):
                if family.name == "Single stage" and line[0].label == "Res-50":
                    continue
                bars(ax, family, line, linestyle=family.dashes, linewidth=1.1)
                if i:  # one entry of the legend for a family
                    ax.containers[-1].set_label("_")
                ends.append((line[-1].x, line[-1].ap.value, line[-1].label))
        ax.margins(x=0.1)
        ap_axes(ax, label, results, "not measured", bool(ends))
        label_ends(ax, ends)

    return draw
