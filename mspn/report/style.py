"""The look of every figure: readable in print, in grey and for the colour-blind, and the same bytes each
time.
"""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mspn.files import atomic, write_text

# No data is drawn in these greys.
INK, MUTED, GRID, PAPER = "#1b1b1f", "#6b6b73", "#dcdce1", "#fefefe"
# Okabe and Ito's colours, told apart by all common kinds of colour vision; markers and dashes differ as well.
BLUE, VERMILION, GREEN, PURPLE, SKY, ORANGE = "#0072b2", "#d55e00", "#009e73", "#aa4499", "#4a9fd4", "#c98a00"
CYCLE = (BLUE, VERMILION, GREEN, PURPLE, SKY, ORANGE)
# What the page replaces by its theme's own colour (see page.css): on a dark page the same hues, lighter.
THEMED = {
    INK: "ink", MUTED: "muted", GRID: "rule", PAPER: "paper", BLUE: "blue", VERMILION: "vermilion", GREEN:
    "green", PURPLE: "purple", SKY: "sky", ORANGE: "orange",
}  # fmt: skip
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)))

_RC: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "figure.facecolor": PAPER,
    "axes.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    "legend.frameon": False,
    "lines.linewidth": 1.5,
    "lines.markersize": 5.5,
    "svg.hashsalt": "mspn",
    "svg.fonttype": "path",
}


@contextmanager
def figure(
    width: float = 7.2, height: float = 4.0, rows: int = 1, columns: int = 1
) -> Iterator[tuple[Figure, list[Axes]]]:
    """A figure of ``rows`` x ``columns`` axes (inches), in the house style; closed afterwards."""
    with plt.rc_context(_RC):
        fig, axes = plt.subplots(rows, columns, figsize=(width, height), squeeze=False, layout="constrained")
        try:
            yield fig, list(axes.flat)
        finally:
            plt.close(fig)


def save(fig: Figure, folder: Path, name: str) -> str:
    """Write ``name.svg`` and ``name.png`` (200 dpi), the same bytes for the same data; returns the SVG."""
    buffer = io.StringIO()
    fig.savefig(buffer, format="svg", metadata={"Date": None})
    svg = buffer.getvalue()
    write_text(folder / f"{name}.svg", svg)
    with atomic(folder / f"{name}.png") as temporary:
        fig.savefig(temporary, format="png", dpi=200, metadata={"Software": None})
    return svg


def save_reason(folder: Path, name: str, title: str, reason: str) -> None:
    """In place of a figure that cannot be drawn: its files, which say why, so that they are always there."""
    with figure(height=1.2) as (fig, (ax,)):
        ax.set_axis_off()
        ax.set_title(title)
        ax.text(0, 0.5, reason, transform=ax.transAxes, va="center", color=MUTED, wrap=True)
        save(fig, folder, name)


def themed(svg: str, title: str, prefix: str) -> str:
    """The SVG for the page: without prolog, named for screen readers, its colours the page's theme's."""
    body = svg[svg.index("<svg") :]
    body = body[: body.index(">") + 1] + f"<title>{_escape(title)}</title>" + body[body.index(">") + 1 :]
    body = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{prefix}-", body)  # several SVGs share the page
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.S)
    body = re.sub(r'width="[\d.]+pt" height="[\d.]+pt"', 'role="img"', body, count=1)
    for colour, name in THEMED.items():
        body = body.replace(colour, f"var(--{name})")
    return body


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
