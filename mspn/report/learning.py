"""Learning curves, and the ablations' differences as bars."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from mspn.experiment.grid import SUPERVISIONS, Run
from mspn.report import style
from mspn.report.claim_parts import HOURGLASS_CURVE, MSPN_CURVE, RESNET_CURVE
from mspn.report.claims import ClaimResult, StatementResult
from mspn.report.figures import label_x, scale_words, seed_words
from mspn.report.points import whole
from mspn.report.results import Results
from mspn.report.style import Drawn

# Runs that are looked at together. Where their losses do not mean the same, each kind has a panel of its own;
# runs that stand in none of the groups are the last one.
GROUPS = {
    "Stages of MSPN": MSPN_CURVE,
    "Stages of Hourglass": (*HOURGLASS_CURVE, "hourglass-2-wide"),
    "Single stages": RESNET_CURVE,
    "Smaller modules": ("mspn-1", "mspn-2xres18", "l-xcp", "mspn-4xs-xcp"),
    "Components": (
        "mspn-2-base", "mspn-2-ctf", "mspn-2", "hourglass-4", "hourglass-4-ctf", "hourglass-4-ctf-csfa",
    ),
    "Kernels": ("mspn-2", "mspn-2-k77", "mspn-2-k55"),
    "Larger input": ("mspn-4-384x288", "mspn-4-384x288-ext"),
    "MPII": ("mspn-4-mpii",),
}  # fmt: skip

DRAWN = 40  # points of a learning curve: more cannot be told apart in a panel
Curves = dict[str, list[tuple[list[float], list[float]]]]  # run -> (steps, losses) of each seed


def figure_learning(results: Results, folder: Path) -> Drawn:
    """Loss of the last stage's finest scale against the step, every seed of each run."""
    title, name = "Learning curves", "figure-learning"
    curves = _read_curves(results)
    if not curves:
        return Drawn(name, title, "Not run: no training has a log.")
    panels = [
        _learning_panel(results, heading, {run: curves[run] for run in runs})
        for heading, runs in loss_panels(results, list(curves)).items()
    ]
    caption = (
        "The loss of the last stage's finest scale, means of neighbouring steps, a thin line each seed. Runs "
        "share a panel only where their losses mean the same: the same target, input and joints. A loss that "
        f"is flat does not say that AP is. {scale_words(results).capitalize()}."
    )
    drawn = style.draw(folder, name, panels, size=(4.0, 2.6), columns=3)
    return Drawn(name, title, caption, drawn, across=3)


def _read_curves(results: Results) -> Curves:
    found: Curves = {}
    for run in whole(results.experiment):
        for seed in results.experiment.scale.seeds:
            training = results.training(run, seed)
            curve = training.curve() if training else None
            if curve is not None:
                found.setdefault(run.run, []).append((_thin(curve[0]), _thin(curve[1])))
    return found


def _thin(values: list[float]) -> list[float]:
    """At most about `DRAWN` means of neighbours."""
    group = -(-len(values) // DRAWN)
    return [sum(part) / len(part) for i in range(0, len(values), group) if (part := values[i : i + group])]


def loss_panels(results: Results, runs: Sequence[str]) -> dict[str, list[str]]:
    """Heading -> runs that share a panel: of one group, with losses that mean the same."""
    grid = results.experiment.grid
    grouped = {run for names in GROUPS.values() for run in names}
    groups = {**GROUPS, "Others": tuple(run for run in runs if run not in grouped)}
    panels: dict[str, list[str]] = {}
    for heading, names in groups.items():
        there = [run for run in names if run in runs]
        kinds = dict.fromkeys(loss_meaning(grid[run]) for run in there)
        for kind in kinds:
            same = [run for run in there if loss_meaning(grid[run]) == kind]
            for i in range(0, len(same), len(style.CYCLE)):
                more = f" ({i // len(style.CYCLE) + 1})" if len(same) > len(style.CYCLE) else ""
                words = f"{heading}, kernel {kind[0]}{more}"
                panels[words] = same[i : i + len(style.CYCLE)]
    return panels


def loss_meaning(run: Run) -> tuple[int, str, str]:
    """What the loss of the finest scale is measured against: its target's kernel, the input, the joints."""
    return SUPERVISIONS[run.supervision][2][-1], run.input, run.joint_set


def _learning_panel(results: Results, heading: str, curves: Curves) -> style.Panel:
    def draw(ax: Axes) -> None:
        for i, (run, seeds) in enumerate(curves.items()):
            for j, (steps, losses) in enumerate(seeds):
                ax.plot(
                    steps, losses, color=style.CYCLE[i], linestyle=style.DASHES[i], linewidth=0.8,
                    alpha=0.8, label=run if j == 0 else "_",
                )  # fmt: skip
        ax.set_yscale("log")
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
        ax.yaxis.set_minor_locator(NullLocator())
        label_x(ax, "Step", results)
        ax.set_ylabel("Loss")
        ax.set_title(heading)
        ax.legend(fontsize=style.SMALL, loc="upper right")

    return draw


def figure_ablations(results: Results, claims: list[ClaimResult], folder: Path) -> Drawn:
    """The contrasts that the claims' statements speak of, with their paired intervals; the paper's at its own
    scale.
    """
    title, name = "Ablations: paired differences in AP", "figure-ablations"
    bars = [
        s
        for claim in claims
        for s in claim.statements
        if s.statement.unit == "AP" and s.ours is not None and s.low is not None
    ]
    if not bars:
        return Drawn(name, title, "Not run: no pair of runs that a claim compares has been evaluated.")
    is_paper = results.experiment.scale.name == "paper"

    def draw(ax: Axes) -> None:
        for i, bar in enumerate(bars):
            _draw_bar(ax, i, bar, is_paper)
        ax.axvline(0, color=style.INK, linewidth=0.8)
        ax.set_yticks([])
        ax.set_ylim(len(bars) - 0.4, -0.9)
        ax.grid(axis="y", visible=False)
        ax.spines["left"].set_visible(False)
        label_x(ax, "Difference in AP", results)

    panels = style.draw(folder, name, [draw], size=(4.0, 0.8 + 0.34 * len(bars)), left=style.RIGHT)
    caption = (
        f"Numbers name the statements. Filled: the interval (paired over images{seed_words(results)}, at the "
        f"level of the verdict) leaves out zero; hatched: it does not. {scale_words(results).capitalize()}."
    )
    return Drawn(name, title, caption + (" Diamonds: the paper's." if is_paper else ""), panels, 1)


def _draw_bar(ax: Axes, place: int, bar: StatementResult, with_paper: bool) -> None:
    """The difference with its interval, its words above, so that it has the panel's whole width."""
    assert bar.ours is not None and bar.low is not None and bar.high is not None
    sure = bar.low > 0 or bar.high < 0
    ax.barh(
        place, bar.ours, height=0.34, color=style.SKY if sure else style.PAPER, edgecolor=style.BLUE,
        hatch="" if sure else "////", linewidth=0.8,
    )  # fmt: skip
    ax.plot([bar.low, bar.high], [place] * 2, color=style.INK, linewidth=1.2, marker="|", markersize=6)
    if with_paper and bar.paper is not None:
        ax.plot(bar.paper, place, "D", color=style.VERMILION, markerfacecolor=style.PAPER, markersize=5)
    words = f"{bar.name}. {bar.statement.words.partition(':')[0]}"
    behind = {"facecolor": style.PAPER, "edgecolor": "none", "pad": 0.6}  # the words cut no line
    ax.text(
        0, place - 0.24, words, transform=ax.get_yaxis_transform(), va="bottom", fontsize=style.SMALL,
        bbox=behind,
    )  # fmt: skip
