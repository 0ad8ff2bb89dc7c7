"""Figure 1: AP against the FLOPs of what was trained, the paper's curve beside; and what figures share."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from mspn.experiment.paper import Figures
from mspn.report import fits, points, style
from mspn.report.claim_parts import DET
from mspn.report.draws import Draws
from mspn.report.fits import Curve
from mspn.report.points import FAMILIES, Family, Point
from mspn.report.results import Results
from mspn.report.style import Drawn
from mspn.report.tidy import on_the_front, printed_points

FLOPS_LABEL = "GFLOPs of the trained network"
AP_LABEL = "AP on the validation set"


def scale_words(results: Results) -> str:
    """What stands in every figure, so that a copied picture still tells its scale."""
    name = results.experiment.scale.name
    return f"{name} scale" + ("" if name == "paper" else ": not comparable with the paper's figures")


def seed_words(results: Results) -> str:
    """Which noise the intervals hold."""
    seeds = results.metrics.seed.nunique()
    return " and seeds" if seeds > 1 else "; a single seed, so that the noise of training is not in them"


def label_x(ax: Axes, words: str, results: Results) -> None:
    """What the x axis shows, and below it the scale, so that a copied picture still tells it."""
    name = results.experiment.scale.name
    ax.set_xlabel(f"{words}\n{name} scale" + ("" if name == "paper" else ", not the paper's"))


def log_axis(ax: Axes) -> None:
    """A logarithmic x axis with plain numbers at 1, 2 and 5."""
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: plain(x)))
    ax.xaxis.set_minor_locator(NullLocator())


def plain(x: float) -> str:
    """``0.05``, ``20``, ``35k``, ``2M``."""
    for limit, unit in ((1e6, "M"), (1e4, "k")):
        if x >= limit:
            return f"{x / (limit if unit == 'M' else 1e3):g}{unit}"
    return f"{x:g}"


def legend(ax: Axes, otherwise: str) -> None:
    """The legend; without anything to explain the words in the middle of the empty axes."""
    if ax.get_legend_handles_labels()[0]:
        ax.legend(loc="best", fontsize=style.SMALL)
    else:
        ax.text(0.5, 0.5, otherwise, transform=ax.transAxes, ha="center", color=style.MUTED)


def ap_axes(ax: Axes, words: str, results: Results, otherwise: str, drawn: bool) -> None:
    """What all axes of AP over a cost have, once the points are ``drawn``; ``otherwise`` in place of none."""
    free_ylim(ax)
    if drawn:
        log_axis(ax)
    label_x(ax, words, results)
    ax.set_ylabel(AP_LABEL)
    legend(ax, otherwise)


def free_ylim(ax: Axes) -> None:
    """Room around the points; AP goes no lower than a sliver below 0, where a mark is still whole."""
    low, high = ax.get_ylim()
    high = max(high, 1.0)
    ax.set_ylim(max(low, -0.04 * high) if low < 0 else low, high)


def bars(ax: Axes, family: Family, found: Sequence[Point], **more: object) -> None:
    if not found:
        return
    y = np.array([p.ap.value for p in found])
    ends = np.array([[p.ap.value - p.ap.low, p.ap.high - p.ap.value] for p in found]).T
    options = {"color": family.colour, "marker": family.marker, "linestyle": "none", **more}
    ax.errorbar([p.x for p in found], y, yerr=ends, capsize=2.5, elinewidth=1, label=family.name, **options)  # type: ignore[arg-type]


def label_points(ax: Axes, family: Family, found: Sequence[tuple[float, float, str]]) -> None:
    """Each point's stage or backbone beside it, where a rising curve is not."""
    left = family.name == "MSPN"
    ax.margins(x=0.12)  # the words at the right end are inside
    for x, y, words in found:
        place = {"xytext": (-4, 5) if left else (4, -11), "ha": "right" if left else "left"}
        ax.annotate(words, (x, y), textcoords="offset points", fontsize=style.SMALL, color=style.INK, **place)  # type: ignore[arg-type]


def label_ends(ax: Axes, ends: Sequence[tuple[float, float, str]]) -> None:
    """Words to the right of the ends of lines, (x, y, words); those at one x are moved apart."""
    low, high = ax.get_ylim()
    for x in dict.fromkeys(x for x, _, _ in ends):
        group = sorted((y, words) for other, y, words in ends if other == x)
        heights = apart([y for y, _ in group], (high - low) / 26)
        for height, (_, words) in zip(heights, group, strict=True):
            ax.annotate(
                words, (x, height), (6, 0), textcoords="offset points", va="center",
                fontsize=style.SMALL, color=style.INK,
            )  # fmt: skip


def apart(values: Sequence[float], gap: float) -> list[float]:
    """Rising values moved as little as is needed for each two neighbours to be ``gap`` apart."""
    moved = list(values)
    for _ in range(100):
        for i in range(len(moved) - 1):
            if (lack := gap - (moved[i + 1] - moved[i])) > 0:
                moved[i], moved[i + 1] = moved[i] - lack / 2, moved[i + 1] + lack / 2
    return moved


# ---- Figure 1 ----


def family_curves(
    results: Results, draws: Draws, found: dict[Family, list[Point]]
) -> dict[Family, tuple[np.ndarray, np.ndarray, Curve]]:
    """Family -> places, draws and fitted curve, of those with two points or more."""
    curves = {}
    for family, members in found.items():
        x = np.array([p.x for p in members])
        if len(np.unique(x)) > 1:
            y = np.column_stack([draws.draw(p.run, DET) for p in members])
            curves[family] = (x, y, fits.fit(x, y))
    return curves


def figure_1(results: Results, paper: Figures, draws: Draws, folder: Path) -> Drawn:
    """AP against the trained networks' FLOPs with each family's curve, and the paper's curve beside."""
    title, name = "Figure 1: AP against FLOPs, as measured and as printed", "figure-1"
    found = {
        family: points.points(results, family, lambda run: points.trained_gflops(results, run))
        for family in points.families(results.experiment, paper)
    }
    found = {family: members for family, members in found.items() if members}
    curves = family_curves(results, draws, found)
    ceiling = points.main_ceiling(results)

    def measured(ax: Axes) -> None:
        for family, members in found.items():
            bars(ax, family, members)
            if family in curves:
                draw_curve(ax, family, curves[family][2])
            label_points(ax, family, [(p.x, p.ap.value, p.label) for p in members])
        _draw_front(ax, found, on_the_front(results, paper, draws))
        ax.margins(x=0.08)
        ap_axes(ax, FLOPS_LABEL, results, "not run", bool(found))
        _draw_ceiling(ax, ceiling)
        ax.set_title("Measured")

    panels = style.draw(folder, name, [measured, lambda ax: _printed_panel(ax, results, paper)])
    return Drawn(name, title, _words_1(results, found, curves, ceiling), panels, data="curve.csv")


def _draw_ceiling(ax: Axes, ceiling: float | None) -> None:
    """A line at the ceiling; where it would press the curves together, words at the top of the axes."""
    if ceiling is None:
        return
    low, high = ax.get_ylim()
    near = ceiling <= 2 * high - low
    words = f"perfect heat maps: {ceiling:.1f}" + ("" if near else " ↑")
    if near:
        ax.axhline(ceiling, color=style.MUTED, linestyle=(0, (6, 3)), linewidth=1)
    ax.annotate(
        words, (0.01, ceiling if near else high), (0, 2 if near else -9), textcoords="offset points",
        xycoords=ax.get_yaxis_transform(), fontsize=style.SMALL, color=style.MUTED,
    )  # fmt: skip


def draw_curve(ax: Axes, family: Family, curve: Curve) -> None:
    """A curve in its family's look, with its band."""
    ax.plot(curve.grid, curve.middle, color=family.colour, linestyle=family.dashes, linewidth=1.3)
    ax.fill_between(curve.grid, *curve.band, color=family.colour, alpha=0.13, linewidth=0)


def _draw_front(ax: Axes, found: dict[Family, list[Point]], front: dict[str, float]) -> None:
    """A step line along the points that are on the front in half of the draws or more."""
    members = sorted(
        {(p.x, p.ap.value) for group in found.values() for p in group if front.get(p.run, 0) >= 0.5}
    )
    if len(members) > 1:
        x, y = zip(*members, strict=True)
        ax.step(x, y, where="post", color=style.INK, linewidth=0.7, alpha=0.6, label="Pareto front")


def _printed_panel(ax: Axes, results: Results, paper: Figures) -> None:
    """The paper's own points: FLOPs as printed (hollow) and, at full size, as counted here (filled)."""
    printed = printed_points(paper)
    for family in FAMILIES:
        own = [printed[run] for run in family.runs]
        look = {"color": family.colour, "marker": family.marker}
        ax.plot(
            *zip(*own, strict=True), linestyle=family.dashes, markerfacecolor=style.PAPER, markersize=8,
            linewidth=1, label=family.name, **look,  # type: ignore[arg-type]
        )  # fmt: skip
        for run in family.runs:
            counted = points.number(results.flops, run, "gflops_paper_convention")
            if counted is not None:
                ax.plot(counted, printed[run][1], linestyle="none", markersize=4, **look)  # type: ignore[arg-type]
        labels = zip(own, family.labels, strict=True)
        label_points(ax, family, [(x, y, words) for (x, y), words in labels])
    log_axis(ax)
    ax.margins(x=0.1)
    ax.set_xlabel("GFLOPs at full size\nhollow: as printed; filled: as counted here")
    ax.set_ylabel("AP printed, COCO minival")
    ax.set_ylim(64.2, 77)
    ax.set_title("The paper's own points")
    legend(ax, "")


def _words_1(
    results: Results,
    found: dict[Family, list[Point]],
    curves: dict[Family, tuple[np.ndarray, np.ndarray, Curve]],
    ceiling: float | None,
) -> str:
    if not found:
        return (
            "Not run: no run of a curve has been evaluated, or the trained networks' FLOPs are missing. "
            "Right: the paper's own points; only their FLOPs are measured."
        )
    words = [f"Left: bars are 95 % intervals over images{seed_words(results)}; bands hold the curve."]
    for family, (_, _, curve) in curves.items():
        if curve.exponent:
            middle, low, high = curve.exponent
            words.append(f"{family.name}: AP = a − b·F⁻ᶜ with c = {middle:.2f} [{low:.2f}, {high:.2f}].")
    loose = [family.name for family, (_, _, curve) in curves.items() if curve.kind == "envelope"]
    if loose:
        words.append(
            f"Of {', '.join(loose)} a law AP = a − b·F⁻ᶜ is not identified: the rising concave envelope."
        )
    if ceiling is not None:
        words.append("Dashed: what perfect heat maps would score at this input.")
    words.append("Right: the paper's points; a filled mark inside its hollow one is a figure reproduced.")
    return " ".join([*words, f"{scale_words(results).capitalize()}."])
