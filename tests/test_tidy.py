"""runs.csv and curve.csv: tidy, whole, as documented; and Figure 1 from the five lines of the docs."""

import re
from pathlib import Path

import pandas as pd
import pytest

from mspn.report.tidy import CURVE, RUNS
from tests import report_tree

DOCS = report_tree.REPOSITORY / "docs" / "results.md"


@pytest.fixture
def report(monkeypatch) -> Path:
    monkeypatch.chdir(report_tree.shared_report("madeup", (0, 1)))
    return Path("reports/madeup")


def test_every_column_is_documented_and_no_other(report):
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \| (both|runs|curve) \|", DOCS.read_text(), re.M)
    documented = {name: where for names, where in rows for name in re.findall(r"\w+", names)}
    for name, columns in (("runs", RUNS), ("curve", CURVE)):
        assert list(pd.read_csv(report / f"{name}.csv", nrows=1).columns) == columns
        assert {column for column, where in documented.items() if where in ("both", name)} == set(columns)


def test_runs_are_tidy_and_in_full_precision(report):
    runs = pd.read_csv(report / "runs.csv")
    assert not runs.duplicated(["run", "seed", "boxes", "protocol", "metric"]).any()
    one = runs.query(
        "run == 'mspn-2' and seed == 1 and boxes == 'gt' and protocol == 'paper' and metric == 'AP'"
    )
    (row,) = one.to_dict("records")
    wanted = {
        "family": "MSPN", "stages": 2, "input": "96x72", "split": "coco val", "samples": 1600, "budget": 1,
        "gflops_trained": 0.096, "gflops_full": 9.604, "parameters_trained": 9600000, "latency_ms": 4,
        "latency_of_32_ms": 1, "train_s": 16,
    }  # fmt: skip
    assert {key: row[key] for key in wanted} == wanted
    assert row["low"] < row["value"] < row["high"] and pd.isna(row["stale"])
    text = (report / "runs.csv").read_text()
    assert "−" not in text and "nan" not in text.lower() and "None" not in text
    assert runs[runs.run == "mspn-4-384x288-ensemble"].samples.isna().all()  # trained of others


def test_curve_has_a_point_a_run_and_a_budget(report):
    curve = pd.read_csv(report / "curve.csv")
    assert not curve.duplicated(["family", "run", "metric"]).any()
    ap = curve[curve.metric == "AP"].set_index(["family", "run"])
    both = ap.loc[[("MSPN", "mspn-1"), ("Single stage", "mspn-1")]]
    assert both.value.nunique() == 1 and (both.seeds == 2).all() and (both.ceiling == 83.25).all()
    assert (ap.loc[("Hourglass", "hourglass-8"), ["gflops_paper", "value_paper"]] == [19.5, 71.6]).all()
    assert ap.pareto.between(0, 1).all() and ap.loc[("Hourglass", "hourglass-1"), "pareto"] == 1
    assert "mspn-2-k77" not in curve.run.values


def test_the_documented_lines_draw_figure_1(report, monkeypatch, tmp_path):
    """A line with bars for each family, on a logarithmic axis."""
    (code,) = re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.S)
    assert len(code.split("\n\n", 1)[1].strip().splitlines()) == 5  # after the import
    import matplotlib.pyplot as plt

    code = code.replace("reports/demo/", "reports/madeup/").replace("figure-1.png", str(tmp_path / "1.png"))
    plt.figure()
    exec(compile(code, str(DOCS), "exec"), {})
    ax = plt.gca()
    assert ax.get_xscale() == "log" and (tmp_path / "1.png").stat().st_size > 5000
    drawn = {bars.get_label(): len(bars[0].get_xdata()) for bars in ax.containers}
    assert drawn == {"MSPN": 4, "Single stage": 4, "Hourglass": 4, "Simple Baseline": 2, "HRNet": 2}
    plt.close()
