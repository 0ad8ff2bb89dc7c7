"""Comparing reports: cell by cell, with tolerances, in the terminal and as JSON, with an exit code."""

import io
import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from mspn.commands.cli import main
from mspn.errors import UserError
from mspn.report.diff import Tolerances, compare, load_tolerances, print_comparison
from tests import report_tree


@pytest.fixture
def report(monkeypatch) -> Path:
    monkeypatch.chdir(report_tree.shared_report("madeup", (0, 1)))
    return Path("reports/madeup")


@pytest.fixture
def other(report, tmp_path) -> Path:
    """A copy with one AP 0.25 higher."""
    copy = tmp_path / "other"
    copy.mkdir()
    shutil.copy(report / "report.json", copy)
    cells = pd.read_csv(report / "cells.csv", dtype=str, keep_default_na=False)
    place = (
        (cells.place == "Table 2")
        & (cells.row == "MSPN, 2 stages")
        & (cells.column == "AP")
        & (cells.quantity == "ours")
    )
    assert place.sum() == 1
    cells.loc[place, "value"] = str(float(cells[place].value.item()) + 0.25)
    cells.to_csv(copy / "cells.csv", index=False)
    return copy


def tolerances(text: str, tmp_path: Path) -> Path:
    path = tmp_path / "tolerances.yaml"
    path.write_text(text)
    return path


def test_a_report_equals_its_copy(report, tmp_path, capsys):
    shutil.copytree(report, tmp_path / "copy")
    assert main(["report", "diff", str(report), str(tmp_path / "copy")]) == 0
    assert "within the tolerance" in capsys.readouterr().out


def test_one_changed_cell_is_found_and_tolerated_up_to_the_limit(report, other, tmp_path, capsys):
    assert main(["report", "diff", str(report), str(other), "--json"]) == 1
    content = json.loads(capsys.readouterr().out)
    (cell,) = [c for c in content["cells"] if c["verdict"] != "equal"]
    assert (cell["place"], cell["row"], cell["verdict"]) == ("Table 2", "MSPN, 2 stages", "beyond")
    assert cell["difference"] == pytest.approx(0.25) and content["failed"]
    for absolute, code in ((0.25, 0), (0.24, 1)):
        rules = f"rules: [{{place: 'Table *', column: AP, absolute: {absolute}}}]"
        arguments = [
            "report",
            "diff",
            str(report),
            str(other),
            "--tolerance",
            str(tolerances(rules, tmp_path)),
        ]
        assert main(arguments) == code
    rules = "rules: [{place: 'Table 2', ignore: true}, {absolute: 0}]"
    assert not compare(str(report), str(other), load_tolerances(tolerances(rules, tmp_path))).failed


def test_a_number_that_only_one_side_has(report, other):
    cells = pd.read_csv(other / "cells.csv", dtype=str, keep_default_na=False)
    cells[cells.place != "Claims"].to_csv(other / "cells.csv", index=False)
    comparison = compare(str(report), str(other), Tolerances())
    assert comparison.failed and {c.verdict for c in comparison.cells if c.place == "Claims"} == {"missing"}
    lenient = Tolerances.model_validate({"missing": "allow", "rules": [{"absolute": 0.3}]})
    assert not compare(str(report), str(other), lenient).failed


def test_against_the_paper_only_what_is_comparable(report, capsys, tmp_path):
    comparison = compare("paper", str(report), Tolerances())
    assert {c.column for c in comparison.cells} == {"GFLOPs"} and len(comparison.cells) == 17
    assert all(c.difference == pytest.approx(0.004) for c in comparison.cells)
    assert (
        comparison.left_out["accuracy at the madeup scale"] > 0
        and comparison.left_out["a hidden test set"] > 0
    )
    backwards = compare(str(report), "paper", Tolerances())
    assert all(c.difference == pytest.approx(-0.004) for c in backwards.cells)
    path = tolerances("rules: [{column: GFLOPs, absolute: 0.05}]", tmp_path)
    assert main(["report", "diff", "paper", str(report), "--tolerance", str(path)]) == 0
    assert "not compared" in capsys.readouterr().out


def test_what_the_report_explains_is_a_known_discrepancy(report, capsys):
    """Res-101 of the made-up tree is one; it fails nothing, and its reason is printed."""
    tolerance = report_tree.REPOSITORY / "workflow" / "config" / "tolerance-paper.yaml"
    comparison = compare("paper", str(report), load_tolerances(None))
    (known,) = [c for c in comparison.cells if c.verdict == "known discrepancy"]
    assert (known.row, known.reason) == ("Res-101", "made up, for tests")
    assert {c.verdict for c in comparison.cells if c is not known} == {"beyond"}
    assert main(["report", "diff", "paper", str(report), "--tolerance", str(tolerance)]) == 0
    cells = pd.read_csv(report / "cells.csv", dtype=str, keep_default_na=False)
    assert set(cells[cells.row == "Res-101"].query("quantity == 'ours' and column == 'GFLOPs'").reason) == {
        "known discrepancy: made up, for tests"
    }


def test_reports_of_different_scales_are_compared_only_when_asked(report, other, capsys):
    description = other / "report.json"
    description.write_text(description.read_text().replace("madeup", "another"))
    assert main(["report", "diff", str(report), str(other)]) == 2
    assert "is of scale madeup" in capsys.readouterr().err
    assert main(["report", "diff", str(report), str(other), "--across-scales"]) == 1


@pytest.mark.parametrize("width", [60, 80, 120])
def test_lines_fit_the_terminal(report, tmp_path, width):
    copy = tmp_path / ("a-folder-of-a-long-name-" * 4)
    shutil.copytree(report, copy)
    cells = pd.read_csv(copy / "cells.csv", dtype=str, keep_default_na=False)
    numbers = (cells.quantity == "ours") & (cells.value != "")
    cells.loc[numbers, "value"] = (cells[numbers].value.astype(float) + 1234.5).map(str)
    cells.to_csv(copy / "cells.csv", index=False)
    out = io.StringIO()
    print_comparison(compare(str(report), str(copy), Tolerances()), out, width)
    lines = out.getvalue().splitlines()
    assert len(lines) > 100
    assert all(len(line) <= width for line in lines if not line.startswith(("a: ", "b: ")))


def test_at_the_papers_scale_accuracy_is_compared_too(monkeypatch):
    monkeypatch.chdir(report_tree.shared_report("paper", (0,)))
    comparison = compare("paper", "reports/paper", Tolerances())
    tables = {c.place for c in comparison.cells if c.column != "GFLOPs"}
    assert tables == {f"Table {n}" for n in range(1, 7)}
    assert not any("accuracy" in reason for reason in comparison.left_out)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("rules: [{absolut: 1}]", "rules.0.absolut: Extra inputs"),
        ("rules: [{absolute: -1}]", "rules.0.absolute: Input should be greater"),
        ("missing: perhaps", "missing: Input should be 'fail' or 'allow'"),
        ("rules: [", "not valid YAML"),
    ],
)
def test_wrong_tolerances_are_named(tmp_path, text, words):
    with pytest.raises(UserError, match=words):
        load_tolerances(tolerances(text, tmp_path))


@pytest.mark.parametrize("name", ["tolerance", "tolerance-paper"])
def test_the_repositorys_own_tolerances_load(name):
    assert load_tolerances(report_tree.REPOSITORY / "workflow" / "config" / f"{name}.yaml").rules


def test_a_folder_without_a_report_is_refused(report, tmp_path):
    with pytest.raises(UserError, match="mspn report make"):
        compare(str(report), str(tmp_path), Tolerances())
    with pytest.raises(UserError, match="both sides are the same"):
        compare("paper", "paper", Tolerances())
