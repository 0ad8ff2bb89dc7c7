"""The transcription of the paper's tables: complete, in range, and agreeing with itself where it must."""

import pytest

from mspn.errors import UserError
from mspn.experiment.grid import load_grid
from mspn.experiment.paper import FLOPS, load_figures

FIGURES = load_figures()


def value(table: int, row: str, column: str = "AP") -> float:
    return FIGURES[table, row, column].number


def table(number: int) -> list:
    return [figure for figure in FIGURES.values() if figure.table == number]


def test_every_table_is_whole():
    assert {n: len(table(n)) for n in range(1, 10)} == {
        1: 4 * 2,  # methods x AP, FLOPs
        2: 9 * 3,  # networks x stages, FLOPs, AP
        3: 4 * 2,
        4: 3 * 2,
        5: 3 * 4,  # settings x number, two kernels, AP
        6: 2 + 3 * 3,  # two detectors' own AP, networks x detectors
        7: 13 * 10 - 4 * 3 - 1 + 9 * 2 + 2 * 2 - 4,  # systems x figures, less the blanks, and the input sizes
        8: 6 * 10 + 4 * 2,
        9: 14 * 8,
    }


def test_table_7_has_the_blanks_of_the_paper():
    figures = {"AP", "AP50", "AP75", "APM", "APL", "AR", "AR50", "AR75", "ARM", "ARL"}
    blanks = {
        (f.row, c) for f in table(7) if f.column == "AP" for c in figures if (7, f.row, c) not in FIGURES
    }
    recalls = {"AR50", "AR75", "ARM", "ARL"}
    expected = {("Mask R-CNN [16]", c) for c in recalls | {"AR"}}
    for row in ("Simple Base [46]", "HRNet [39]", "HRNet* [39]"):
        expected |= {(row, c) for c in recalls}
    assert blanks == expected


RANGES = {
    "%": (50, 98), "% (box AP)": (41, 50), "% (PCKh@0.5)": (81, 99), "GFLOPs": (3.5, 20),
    "count": (1, 8), "number": (1, 3), "pixels": (192, 512), "heat map pixels": (5, 7),
}  # fmt: skip
KINDS = ("ambiguous:", "inconsistent:", "dagger:", "+:", "*:")


def test_values_are_in_range():
    for figure in FIGURES.values():
        low, high = RANGES[figure.unit]
        assert low <= figure.number <= high, figure
        assert figure.digits == (1 if figure.unit[0] == "%" or figure.unit == "GFLOPs" else 0), figure
        assert figure.page == {1: 5, 2: 5, 7: 7, 8: 7, 9: 7}.get(figure.table, 6), figure
        assert all(remark.startswith(KINDS) for remark in figure.remarks), figure
        assert bool(figure.split) == ("%" in figure.unit), figure


def test_one_network_has_the_same_figures_in_all_tables():
    """A run's FLOPs, and its AP on the same boxes and split, are printed once or alike."""
    seen: dict[tuple[str, str, str, str], str] = {}
    for figure in FIGURES.values():
        if figure.run and (figure.column == FLOPS or figure.split == "COCO minival"):
            kind = FLOPS if figure.column == FLOPS else "AP"
            key = (figure.run, figure.detector, figure.split, kind)
            assert seen.setdefault(key, figure.value) == figure.value, key
    assert seen["mspn-2", "det-49.4", "COCO minival", "AP"] == "74.5"  # printed in Tables 2, 4, 5 and 6


def test_differences_that_the_text_states():
    text = {
        1.6: value(1, "Res-101") - value(1, "Res-50"),
        0.5: value(1, "Res-152") - value(1, "Res-101"),
        3.1: value(1, "Res-101", FLOPS) - value(1, "Res-50", FLOPS),
        3.7: value(1, "Res-152", FLOPS) - value(1, "Res-101", FLOPS),
        3.0: value(2, "MSPN, 2 stages") - value(2, "MSPN, 1 stage"),
        1.4: value(2, "MSPN, 4 stages") - value(2, "MSPN, 2 stages"),
        0.3: value(2, "Hourglass, 8 stages") - value(2, "Hourglass, 4 stages"),
        1.2: value(4, "BaseNet + CTF", "Hourglass AP") - value(4, "BaseNet", "Hourglass AP"),
        0.9: value(4, "BaseNet + CTF", "MSPN AP") - value(4, "BaseNet", "MSPN AP"),
        4.3: value(8, "Ours (MSPN+*)") - value(8, "CPN+ [9]"),
        1.9: value(8, "Ours (MSPN+*)") - value(8, "Simple Base+* [46]"),
    }
    for stated, printed in text.items():
        assert printed == pytest.approx(stated, abs=1e-9)
    assert value(1, "Res-254") - value(1, "Res-152") == pytest.approx(0.4)
    assert value(3, "4×S-XCP") - value(3, "L-XCP") == pytest.approx(1.0)
    assert value(6, "4-Stg MSPN", "Ours") - value(6, "4-Stg MSPN", "CPN") == pytest.approx(0.5)
    assert value(7, "Ours (MSPN*)") - value(7, "Ours (MSPN)") == pytest.approx(1.0)


@pytest.mark.parametrize("number", [7, 8])
def test_rows_rejoined_from_torn_columns_are_plausible(number):
    """A wrongly joined row would break COCO's own order: at 50 % above at 75 % above the mean; AR above
    AP.
    """
    for row in dict.fromkeys(f.row for f in table(number)):
        f = {
            name: FIGURES.get((number, row, name))
            for name in ("AP", "AP50", "AP75", "APM", "APL", "AR", "AR50", "AR75", "ARM", "ARL")
        }
        numbers = {name: figure.number for name, figure in f.items() if figure}
        assert numbers["AP50"] > numbers["AP75"] > numbers["AP"] > numbers["APM"]
        assert numbers["APL"] > numbers["AP"]
        if "AR" in numbers:
            assert numbers["AR"] > numbers["AP"]
        if "ARL" in numbers:
            assert numbers["AR50"] > numbers["AR75"] > numbers["AR"] > numbers["ARM"]
            assert numbers["ARL"] > numbers["AR"]
            assert numbers["AR50"] > numbers["AP50"]


def test_rows_of_table_9_are_plausible():
    """The mean lies near the plain mean of the groups, and the cited rows are sorted by it."""
    rows = list(dict.fromkeys(f.row for f in table(9)))
    groups = ("Hea", "Sho", "Elb", "Wri", "Hip", "Kne", "Ank")
    for row in rows:
        plain = sum(value(9, row, group) for group in groups) / 7
        assert value(9, row, "Mean") == pytest.approx(plain, abs=0.75)
    means = [value(9, row, "Mean") for row in rows]
    assert means == sorted(means) and rows[-1] == "Ours (MSPN)"


def test_runs_and_detectors_are_those_of_the_grid():
    grid = load_grid()
    for figure in FIGURES.values():
        if figure.run:
            run = grid[figure.run]
            assert not figure.detector or figure.detector in run.detectors, figure
            assert bool(figure.detector) == ("%" in figure.unit), figure
    used = {figure.run for figure in FIGURES.values()} - {""}
    beyond = {"simple-baseline-50", "simple-baseline-152", "hrnet-w32", "hrnet-w48"}
    assert used == set(grid) - beyond


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("71.5", "7l.5", "line 2, column value"),
        ("\tpage\t", "\tpages\t", "expected"),
        ("71.5\t", "71.5\t\t", "line 2: 11 columns, not 10"),
        ("Res-101\tAP", "Res-50\tAP", "line 4: table 1, Res-50, AP is there twice"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path, old, new, words):
    path = tmp_path / "figures.tsv"
    from mspn.experiment.paper import FIGURES as PATH

    path.write_text(PATH.read_text().replace(old, new, 1))
    with pytest.raises(UserError, match=words):
        load_figures(path)


def test_a_missing_file_says_what_to_do(tmp_path):
    with pytest.raises(UserError, match="repository's root"):
        load_figures(tmp_path / "none.tsv")
