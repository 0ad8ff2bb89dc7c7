"""Figures: written, the same bytes each time, told apart without colour, and honest about what is not
there.
"""

import re

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from mspn.errors import UserError
from mspn.experiment.load import load_experiment
from mspn.experiment.paper import load_figures
from mspn.report import claims, curves, figures, pictures, style
from mspn.report.draws import Draws
from mspn.report.page import draw
from mspn.report.results import collect
from tests import report_tree

NAMES = {
    "figure-1", "figure-1-paper", "figure-ablations", "figure-capacity", "figure-learning", "figure-4",
    "figure-5",
}  # fmt: skip


def all_figures(name: str, folder):
    results, paper = collect(load_experiment(name)), load_figures()
    return draw(results, paper, claims.evaluate(results, paper, Draws(results)), folder)


def test_all_are_drawn():
    folder = report_tree.shared_report("paper", (0,)) / "reports" / "paper" / "figures"
    files = sorted(path.name for path in folder.iterdir())
    assert files == sorted(f"{name}.{suffix}" for name in NAMES for suffix in ("svg", "png"))


def test_the_same_data_gives_the_same_bytes(monkeypatch, tmp_path):
    monkeypatch.chdir(report_tree.shared("paper", (0,)))
    results, paper = collect(load_experiment("paper")), load_figures()
    for folder in (tmp_path / "a", tmp_path / "b"):
        figures.figure_1(results, paper, folder)
        pictures.figure_4(results, folder)
    names = ("figure-1.svg", "figure-1.png", "figure-4.svg", "figure-4.png")
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


def test_without_results_only_the_papers_points_are_drawn(monkeypatch, tmp_path):
    monkeypatch.chdir(report_tree.make_root(tmp_path, "madeup", (0,)))
    drawn = all_figures("madeup", tmp_path / "figures")
    assert [figure.id for figure in drawn if figure.svg] == ["figure-1-paper"]
    assert all(figure.caption.startswith(("Not run:", "Not drawn:")) for figure in drawn if not figure.svg)
    files = {path.name for path in (tmp_path / "figures").iterdir()}  # there all the same, and say why
    assert files == {f"{name}.{suffix}" for name in NAMES for suffix in ("svg", "png")}


def test_colours_differ_in_grey_or_by_marker_and_dash():
    families = (*figures.FAMILIES, *figures.OTHERS)
    assert len({family.marker for family in families}) == len(families)
    assert len({family.dashes for family in figures.FAMILIES}) == len(figures.FAMILIES)
    assert len(set(map(str, style.DASHES))) == len(style.DASHES) == len(style.CYCLE)
    for colour in style.CYCLE:  # dark enough on white paper to be seen: contrast of 2.5 at least
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
        luminance = float(np.dot(linear, (0.2126, 0.7152, 0.0722)))
        assert 1.05 / (luminance + 0.05) > 2.5, colour


def test_panels_of_the_learning_curves_fit_the_palette():
    assert max(map(len, curves.CURVES.values())) <= len(style.CYCLE)


def test_inline_svg_takes_the_pages_colours():
    with style.figure() as (fig, (ax,)):
        ax.plot([0, 1], [0, 1], color=style.BLUE)
        ax.set_title("a < b")
        import io

        buffer = io.StringIO()
        fig.savefig(buffer, format="svg")
    inline = style.themed(buffer.getvalue(), "a < b & c", "one")
    assert inline.startswith("<svg") and "<title>a &lt; b &amp; c</title>" in inline
    assert "var(--ink)" in inline and "var(--blue)" in inline and style.INK not in inline
    assert set(re.findall(r"(?:id=\"|url\(#|href=\"#)(...)", inline)) == {"one"}
    assert not re.search(r"<metadata|<\?xml|<!DOCTYPE", inline)


def test_peaks_are_in_input_pixels():
    maps = np.zeros((2, 24, 18))
    maps[0, 3, 5] = maps[1, 23, 17] = 1
    np.testing.assert_array_equal(pictures.peaks(maps), [[22, 14], [70, 94]])


def test_damaged_heat_maps_are_named(tmp_path):
    path = tmp_path / "stages.npz"
    path.write_bytes(b"no archive")
    with pytest.raises(UserError, match=r"stages\.npz: not the heat maps"):
        pictures.load_stages(path)
