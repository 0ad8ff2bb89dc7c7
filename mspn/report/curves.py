"""Learning curves, and the ablations' differences as bars."""

from pathlib import Path

from matplotlib.ticker import LogFormatter, ScalarFormatter

from mspn.report import style
from mspn.report.claim_parts import HOURGLASS_CURVE, MSPN_CURVE, RESNET_CURVE
from mspn.report.claims import ClaimResult
from mspn.report.figures import Drawn, scale_words, seed_words, sign
from mspn.report.results import Results

# Panels of the learning curves: title -> runs.
CURVES = {
    "Stages of MSPN": MSPN_CURVE,
    "Stages of Hourglass": (*HOURGLASS_CURVE, "hourglass-2-wide"),
    "Single stages": RESNET_CURVE,
    "Smaller modules": ("mspn-1", "mspn-2xres18", "l-xcp", "mspn-4xs-xcp"),
    "Components": (
        "mspn-2-base",
        "mspn-2-ctf",
        "mspn-2",
        "hourglass-4",
        "hourglass-4-ctf",
        "hourglass-4-ctf-csfa",
    ),
    "Kernels, input, data": (
        "mspn-2-k77",
        "mspn-2-k55",
        "mspn-4-384x288",
        "mspn-4-384x288-ext",
        "mspn-4-mpii",
    ),
}


def figure_learning(results: Results, folder: Path) -> Drawn:
    """Loss of the last stage's finest scale against the step, the first seed of each run."""
    title, name = "Learning curves", "figure-learning"
    experiment = results.experiment
    curves = {}
    for run in {run for runs in CURVES.values() for run in runs}:
        training = (
            results.training(experiment.grid[run], experiment.scale.seeds[0])
            if run in experiment.grid
            else None
        )
        curve = training.curve() if training else None
        if curve is not None:
            curves[run] = curve
    if not curves:
        return Drawn(name, title, "Not run: no training has a log.")
    with style.figure(height=4.6, rows=2, columns=3) as (fig, axes):
        for ax, (panel, runs) in zip(axes, CURVES.items(), strict=True):
            for i, run in enumerate(runs):
                if run in curves:
                    steps, losses = curves[run]
                    ax.plot(
                        steps,
                        losses,
                        color=style.CYCLE[i],
                        linestyle=style.DASHES[i],
                        linewidth=1.2,
                        label=run,
                    )
            ax.set_yscale("log")
            ax.yaxis.set_major_formatter(ScalarFormatter())
            ax.yaxis.set_minor_formatter(LogFormatter(labelOnlyBase=False, minor_thresholds=(1.2, 0.6)))
            ax.tick_params(axis="y", which="both", labelsize=7)
            ax.set_title(panel)
            if ax.lines:
                ax.legend(fontsize=6, loc="upper right")
            else:
                ax.text(0.5, 0.5, "not run", transform=ax.transAxes, ha="center", color=style.MUTED)
        for ax in axes[3:]:
            ax.set_xlabel("Step")
        for ax in (axes[0], axes[3]):
            ax.set_ylabel("Loss, last stage, finest scale")
        fig.supxlabel(scale_words(results), fontsize=7, color=style.MUTED)
        svg = style.save(fig, folder, name)
    return Drawn(
        name,
        title,
        f"Means of neighbouring steps; the first seed. {scale_words(results).capitalize()}.",
        svg,
    )


def figure_ablations(results: Results, claims: list[ClaimResult], folder: Path) -> Drawn:
    """The differences that the claims speak of, with their paired intervals; the paper's at its own scale."""
    title, name = "Ablations: paired differences in AP", "figure-ablations"
    parts = [
        (f"{p.name}. {p.statement.words}", p)
        for r in claims for p in r.statements
        if p.statement.unit == "AP" and p.low is not None
    ]  # fmt: skip
    if not parts:
        return Drawn(name, title, "Not run: no pair of runs that a claim compares has been evaluated.")
    is_paper = results.experiment.scale.name == "paper"
    with style.figure(height=0.9 + 0.24 * len(parts)) as (fig, (ax,)):
        for i, (_, p) in enumerate(parts):
            assert p.ours is not None and p.low is not None and p.high is not None
            sure = p.low > 0 or p.high < 0
            ax.barh(
                i,
                p.ours,
                height=0.55,
                color=style.SKY if sure else style.PAPER,
                edgecolor=style.BLUE,
                hatch="" if sure else "////",
                linewidth=0.8,
            )
            ax.plot([p.low, p.high], [i, i], color=style.INK, linewidth=1.2, marker="|", markersize=6)
            if is_paper and p.paper is not None:
                ax.plot(p.paper, i, "D", color=style.VERMILION, markerfacecolor=style.PAPER, markersize=5)
        ax.axvline(0, color=style.INK, linewidth=0.8)
        ax.set_yticks(range(len(parts)), [words for words, _ in parts], fontsize=7.5)
        ax.invert_yaxis()
        ax.grid(axis="y", visible=False)
        ax.set_xlabel("Difference in AP")
        ax.set_title("Paired differences")
        sign(ax, scale_words(results))
        svg = style.save(fig, folder, name)
    caption = (
        f"Numbers name the statements. Filled: the interval (paired over images{seed_words(results)}, at the "
        "level of the verdict) leaves out zero; hatched: it does not."
    )
    return Drawn(name, title, caption + (" Diamonds: the paper's." if is_paper else ""), svg)
