"""The look of every figure: readable in print, in grey and for the colour-blind, and the same bytes each
time.
"""

import io
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

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
SMALL = 7.5  # size of the smallest letters: 9 pixels on a telephone
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
    "xtick.major.size": 0,  # the grid's lines are the ticks
    "ytick.major.size": 0,
    "lines.solid_capstyle": "butt",
    "figure.facecolor": PAPER,
    "axes.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    "legend.frameon": False,
    "lines.linewidth": 1.5,
    "lines.markersize": 5.5,
    "svg.hashsalt": "mspn",
    "svg.fonttype": "path",
}


Panel = Callable[[Axes], None]  # draws into its axes
# Inches around a panel's axes: the same everywhere, as finding what fits takes longer than drawing.
LEFT, RIGHT, BOTTOM, TOP = 0.5, 0.06, 0.55, 0.26


@dataclass(frozen=True)
class Drawn:
    """A figure that is written; without ``panels`` it could not be drawn, and ``caption`` says why.

    ``panels`` are SVGs for the page, which puts them side by side as far as its width allows, ``across`` at
    most. ``data`` is the file beside the page that holds the numbers.
    """

    id: str
    title: str
    caption: str
    panels: tuple[str, ...] = ()
    across: int = 2
    data: str = ""


@contextmanager
def figure(
    width: float, height: float, rows: int = 1, columns: int = 1
) -> Iterator[tuple[Figure, np.ndarray]]:
    """A figure of (rows, columns) axes in the house style, its size in inches; closed afterwards."""
    with _sheet(width, height, layout="constrained") as fig:
        yield fig, fig.subplots(rows, columns, squeeze=False)


def draw(
    folder: Path,
    name: str,
    panels: Sequence[Panel],
    *,
    size: tuple[float, float] = (4.0, 3.1),
    columns: int = 2,
    left: float = LEFT,
) -> tuple[str, ...]:
    """Write all panels to ``name.svg`` and ``name.png``, and return each as an SVG for the page.

    ``size`` is a panel's width and height in inches, of which 4 are legible on a telephone; ``columns`` the
    panels beside each other in the files; ``left`` the inches that what stands left of the axes needs.
    """
    columns = min(columns, len(panels))
    lines = -(-len(panels) // columns)
    with _sheet(size[0] * columns, size[1] * lines) as fig:
        for i, panel in enumerate(panels):
            panel(_place(fig, size, left, i % columns, lines - 1 - i // columns))
        save(fig, folder, name)
    found = []
    for panel in panels:
        with _sheet(*size) as fig:
            panel(_place(fig, size, left, 0, 0))
            found.append(_svg(fig, {"svg.fonttype": "none"}))
    return tuple(found)


@contextmanager
def _sheet(width: float, height: float, layout: Any = None) -> Iterator[Figure]:
    """An empty figure of that size in inches, closed afterwards."""
    with plt.rc_context(_RC):
        fig = plt.figure(figsize=(width, height), layout=layout)
        try:
            yield fig
        finally:
            plt.close(fig)


def _place(fig: Figure, size: tuple[float, float], left: float, column: int, line: int) -> Axes:
    """Axes of the panel in a column from the left and a line from below."""
    (width, height), whole = size, fig.get_size_inches()
    corner = (column * width + left, line * height + BOTTOM)
    inner = (width - left - RIGHT, height - BOTTOM - TOP)
    return fig.add_axes((*(corner / whole), *(inner / whole)))


def save(fig: Figure, folder: Path, name: str) -> None:
    """Write ``name.svg`` and ``name.png`` (200 dpi), the same bytes for the same data."""
    write_text(folder / f"{name}.svg", _svg(fig, {"svg.fonttype": "path"}))
    with atomic(folder / f"{name}.png") as temporary:
        fig.savefig(temporary, format="png", dpi=200, metadata={"Software": None})


def _svg(fig: Figure, options: dict[Any, Any]) -> str:
    buffer = io.StringIO()
    with plt.rc_context(options):
        fig.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()


def save_reason(folder: Path, drawn: Drawn) -> None:
    """In place of a figure that cannot be drawn: its files, which say why, so that they are always there."""
    with figure(7.2, 1.2) as (fig, axes):
        ax = axes[0, 0]
        ax.set_axis_off()
        ax.set_title(drawn.title)
        ax.text(0, 0.5, drawn.caption, transform=ax.transAxes, va="center", color=MUTED, wrap=True)
        save(fig, folder, drawn.id)


SVG = "{http://www.w3.org/2000/svg}"
HREF = "{http://www.w3.org/1999/xlink}href"


def themed(svg: str, title: str, prefix: str) -> str:
    """The SVG for the page: named for screen readers, its colours and letters the page's own, and small.

    Of its identifiers those that it uses itself stay, under names that begin with ``prefix``: several SVGs
    share the page.
    """
    root = ElementTree.fromstring(svg)
    used = dict.fromkeys(re.findall(r'(?:url\(|href=")#([^)"]+)', svg))
    names = {old: f"{prefix}-{i}" for i, old in enumerate(used)}
    for element in root.iter():
        for key, before in list(element.attrib.items()):
            del element.attrib[key]
            if (value := _attribute(key, before, names)) is not None:
                element.set("href" if key == HREF else key, value)
        element.text = (element.text or "").strip()
        element.tail = ""
    _simplify(root)
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    root.set("role", "img")
    label = ElementTree.Element(f"{SVG}title")
    label.text = title
    root.insert(0, label)
    ElementTree.register_namespace("", SVG[1:-1])
    return ElementTree.tostring(root, encoding="unicode")


def _attribute(key: str, value: str, names: dict[str, str]) -> str | None:
    """An attribute as the page has it; None where it says nothing."""
    if key == "id":
        return names.get(value)
    if key == "transform" and value.startswith("rotate(-0 "):
        return None
    if "#" in value and key in (HREF, "clip-path", "style"):
        value = re.sub(r"#([\w-]+)", lambda found: f"#{names.get(found[1], found[1])}", value)
    if key == "style":
        dropped = ("font-family", "stroke-dashoffset")
        kept = ";".join(part for part in value.split("; ") if not part.startswith(dropped))
        value = kept.replace(": ", ":")
    if key in ("style", "fill", "stroke"):
        for colour, name in THEMED.items():
            value = value.replace(colour, f"var(--{name})")
    if key in ("d", "x", "y"):  # a tenth of a point is a fifth of a pixel; L is understood
        value = " ".join(re.sub(r"(\d\.\d)\d+", r"\1", value).split()).replace(" L ", " ")
    return value


def _simplify(element: ElementTree.Element) -> None:
    """Drop metadata, and groups that say nothing but hold what they hold."""
    kept = []
    for child in element:
        _simplify(child)
        if child.tag == f"{SVG}metadata" or (child.tag == f"{SVG}g" and not len(child)):
            continue
        kept += list(child) if child.tag == f"{SVG}g" and not child.attrib else [child]
    element[:] = kept
