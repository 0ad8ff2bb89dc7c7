"""Figures: written, the same bytes each time, told apart without colour, and honest about what is not
there.
"""

import re
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from mspn.errors import UserError
from mspn.experiment.load import load_experiment
from mspn.experiment.paper import load_figures
from mspn.report import claims, curves, figures, learning, pictures, points, style
from mspn.report.budgets import budgets
from mspn.report.draws import Draws
from mspn.report.page import draw
from mspn.report.results import collect
from tests import report_tree

NAMES = {
    "figure-1", "figure-difference", "figure-training", "figure-capacity", "figure-ablations", "figure-4",
    "figure-5", "figure-learning",
}  # fmt: skip


def all_figures(name: str, folder):
    results, paper = collect(load_experiment(name)), load_figures()
    draws = Draws(results)
    return draw(results, paper, claims.evaluate(results, paper, draws), draws, folder)


def test_all_are_drawn():
    folder = report_tree.shared_report("paper", (0,)) / "reports" / "paper" / "figures"
    files = sorted(path.name for path in folder.iterdir())
    assert files == sorted(f"{name}.{suffix}" for name in NAMES for suffix in ("svg", "png"))


def test_the_same_data_gives_the_same_bytes(monkeypatch, tmp_path):
    monkeypatch.chdir(report_tree.shared("paper", (0,)))
    results, paper = collect(load_experiment("paper")), load_figures()
    made = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        first = figures.figure_1(results, paper, Draws(results), folder)
        made.append([*first.panels, *pictures.figure_4(results, folder).panels])
    assert made[0] == made[1]
    for name in ("figure-1.svg", "figure-1.png", "figure-4.svg", "figure-4.png"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


def test_without_results_only_the_papers_points_are_drawn(monkeypatch, tmp_path):
    monkeypatch.chdir(report_tree.make_root(tmp_path, "madeup", (0,)))
    drawn = all_figures("madeup", tmp_path / "figures")
    assert [figure.id for figure in drawn if figure.panels] == ["figure-1"]
    assert all(figure.caption.startswith(("Not run:", "Not drawn:")) for figure in drawn)
    files = {path.name for path in (tmp_path / "figures").iterdir()}  # there all the same, and say why
    assert files == {f"{name}.{suffix}" for name in NAMES for suffix in ("svg", "png")}


def test_a_family_that_is_not_known_is_plotted_by_itself(monkeypatch, tmp_path):
    monkeypatch.chdir(report_tree.make_root(tmp_path, "madeup", (0,)))
    experiment = load_experiment("madeup")
    own = replace(experiment.run("hrnet-w32"), run="mine")
    deeper = replace(experiment.run("mspn-4"), run="mspn-9")
    grid = {**experiment.grid, "mine": own, "mspn-9": deeper}
    known = points.families(experiment, load_figures())
    more = points.families(replace(experiment, grid=grid), load_figures())
    assert [one.name for one in known] == ["MSPN", "Single stage", "Hourglass", "Simple Baseline", "HRNet"]
    assert [(one.name, one.runs) for one in more[5:]] == [
        ("HRNet, added", ("mine",)),
        ("MSPN, added", ("mspn-9",)),
    ]


@pytest.fixture
def with_budgets(monkeypatch, tmp_path):
    more = "budgets: [0.25, 0.5]\nruns: [mspn-1, mspn-2, hourglass-1, hourglass-2, mspn-2-k77]\n"
    monkeypatch.chdir(report_tree.make_root(tmp_path, "madeup", (0,), more=more))
    return collect(report_tree.fill("madeup"))


def test_budgets_are_points_of_their_runs_line_and_no_points_of_figure_1(with_budgets):
    experiment = with_budgets.experiment
    assert len(experiment.grid) == 15
    assert budgets(with_budgets, experiment.run("mspn-2")) == {
        400: "mspn-2-400", 800: "mspn-2-800", 1600: "mspn-2",
    }  # fmt: skip
    assert points.share_of_budget(experiment, experiment.run("mspn-2-400")) == 0.25
    families = points.families(experiment, load_figures())
    assert {run for one in families for run in one.runs if run in experiment.grid} == {
        "mspn-1", "mspn-2", "hourglass-1", "hourglass-2",
    }  # fmt: skip
    lines = curves._budget_lines(with_budgets, families[0], lambda run: 1.0)
    assert [[point.run for point in line] for line in lines] == [
        ["mspn-1-400", "mspn-1-800", "mspn-1"], ["mspn-2-400", "mspn-2-800", "mspn-2"],
    ]  # fmt: skip


def test_losses_share_a_panel_only_where_they_mean_the_same(with_budgets):
    panels = learning.loss_panels(with_budgets, list(with_budgets.experiment.grid))
    assert panels["Kernels, kernel 5"] == ["mspn-2"] and panels["Kernels, kernel 7"] == ["mspn-2-k77"]
    drawn = {run: len(seeds) for run, seeds in learning._read_curves(with_budgets).items()}
    assert drawn == dict.fromkeys(("mspn-1", "mspn-2", "hourglass-1", "hourglass-2", "mspn-2-k77"), 1)


def test_figure_5_shows_the_best_run_or_a_named_one(with_budgets):
    best = pictures.pictured(with_budgets, "predictions.json")
    assert best is not None and best.run == "mspn-2"
    named = pictures.pictured(with_budgets, "predictions.json", "hourglass-1")
    assert named is not None and named.run == "hourglass-1"
    with pytest.raises(UserError, match="unknown run 'hourglass-9'"):
        pictures.pictured(with_budgets, "predictions.json", "hourglass-9")


def test_photographs_can_be_left_out(with_budgets, monkeypatch, tmp_path):
    """What was found is drawn as before, on grey or black; drawn persons are no photographs."""
    monkeypatch.setattr(style, "save", lambda *_: None)  # of the same pictures, and slow
    drawn = pictures.figure_5(with_budgets, tmp_path, photographs=False)
    monkeypatch.setattr(pictures, "is_photographed", lambda *_: True)
    blank = pictures.figure_5(with_budgets, tmp_path, photographs=False)
    assert pictures.figure_5(with_budgets, tmp_path) == drawn
    assert blank.caption == drawn.caption + " Photographs are left out."
    assert len(blank.panels) == 8
    for one, other in zip(drawn.panels, blank.panels, strict=True):
        (shown,), (grey,) = report_tree.pictures_in(one), report_tree.pictures_in(other)
        assert np.ptp(shown) > 0 and (grey == pictures.GREY).all() and grey.shape == shown.shape
        assert re.sub('base64,[^"]+', "", one) == re.sub('base64,[^"]+', "", other)
    evaluation = pictures.pictured(with_budgets, "stages.npz")
    assert evaluation is not None
    blank, full = (pictures.figure_4(with_budgets, tmp_path, photographs=wanted) for wanted in (False, True))
    report_tree.write_stages(evaluation.folder / "stages.npz", stages=4, crop=7)  # another person
    assert pictures.figure_4(with_budgets, tmp_path, photographs=False) == blank
    assert pictures.figure_4(with_budgets, tmp_path).panels != full.panels


def test_only_the_projects_own_persons_are_no_photographs():
    assert pictures.is_photographed(load_experiment("lsp"), "mspn-1")
    assert not pictures.is_photographed(load_experiment("bench"), "mspn-1")


def test_colours_differ_in_grey_or_by_marker_and_dash():
    families = (*points.FAMILIES, *points.OTHERS)
    assert len({family.marker for family in families}) == len(families)
    assert len({family.dashes for family in points.FAMILIES}) == len(points.FAMILIES)
    assert len(set(map(str, style.DASHES))) == len(style.DASHES) == len(style.CYCLE)
    for colour in style.CYCLE:  # dark enough on white paper to be seen: contrast of 2.5 at least
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
        luminance = float(np.dot(linear, (0.2126, 0.7152, 0.0722)))
        assert 1.05 / (luminance + 0.05) > 2.5, colour


def test_inline_svg_takes_the_pages_colours_and_letters(tmp_path):
    def panel(ax):
        ax.plot([0, 1], [0, 1], color=style.BLUE)
        ax.bar(0, 1, color=style.PAPER, edgecolor=style.BLUE, hatch="//")
        ax.set_title("a < b")

    (drawn,) = style.draw(tmp_path, "any", [panel])
    inline = style.themed(drawn, "a < b & c", "one")
    assert inline.startswith("<svg") and "<title>a &lt; b &amp; c</title>" in inline
    assert "var(--ink)" in inline and "var(--blue)" in inline
    assert not any(colour in inline for colour in style.THEMED)
    identifiers = set(re.findall(r'\bid="([^"]+)"', inline))
    used = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', inline))
    assert used == identifiers and all(name.startswith("one-") for name in used)
    assert not re.search(r"<metadata|<\?xml|<!DOCTYPE|font-family", inline)
    assert len(inline) < 0.6 * len(drawn)


def test_labels_are_moved_apart():
    assert figures.apart([0, 10, 20], 5) == [0, 10, 20]
    np.testing.assert_allclose(figures.apart([10, 10, 10], 2), [8, 10, 12], atol=1e-6)
    np.testing.assert_allclose(figures.apart([0, 10, 11], 3), [0, 9, 12], atol=1e-6)


def test_peaks_are_in_input_pixels():
    maps = np.zeros((2, 24, 18))
    maps[0, 3, 5] = maps[1, 23, 17] = 1
    np.testing.assert_array_equal(pictures.peaks(maps), [[22, 14], [70, 94]])


def test_damaged_heat_maps_are_named(tmp_path):
    path = tmp_path / "stages.npz"
    path.write_bytes(b"no archive")
    with pytest.raises(UserError, match=r"stages\.npz: not the heat maps"):
        pictures.load_stages(path)


def test_a_panel_without_a_point_is_drawn_all_the_same(monkeypatch, tmp_path):
    """Trainings of another naming tell no time: nothing to put on a logarithmic axis."""
    monkeypatch.chdir(report_tree.shared("madeup", (0, 1)))
    results = replace(collect(load_experiment("madeup")), trainings={})
    assert curves.figure_training(results, load_figures(), tmp_path).panels
