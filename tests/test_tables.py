"""Tables 1 to 9: every printed number at its place, ours beside it, subtracted only where that means
something.
"""

import csv
import io
import json
import re
import shutil
import subprocess

import numpy as np
import pytest
from scipy.special import stdtrit

from mspn.errors import UserError
from mspn.experiment.load import load_experiment
from mspn.experiment.paper import FLOPS, load_figures
from mspn.files import write_sealed
from mspn.report import costs, extras
from mspn.report.cells import Book, signed
from mspn.report.claims import evaluate
from mspn.report.claims_view import claim_context
from mspn.report.draws import Draws
from mspn.report.formats import slot_text, to_csv, to_html, to_latex, to_markdown
from mspn.report.layout import load_layout
from mspn.report.reading import read_metrics
from mspn.report.reference import load_reference
from mspn.report.results import collect, sampled_lines, seed_halfwidth
from mspn.report.tables import Tables
from tests import report_tree


def build(name: str) -> tuple[Book, list]:
    book = Book()
    results = collect(load_experiment(name))
    return book, Tables(results, load_figures(), load_layout(), book).views()


@pytest.fixture
def madeup(monkeypatch):
    monkeypatch.chdir(report_tree.shared("madeup", (0, 1)))
    return build("madeup")


@pytest.fixture
def at_paper_scale(monkeypatch):
    monkeypatch.chdir(report_tree.shared("paper", (0,)))
    return build("paper")


def cells(book: Book, quantity: str) -> dict:
    return {(c.place, c.row, c.column): c for c in book.cells if c.quantity == quantity}


def test_every_printed_figure_stands_in_its_table_once(madeup):
    book, _ = madeup
    printed = [(c.place, c.row, c.column, c.text) for c in book.cells if c.quantity == "paper"]
    wanted = [(f"Table {f.table}", f.row, f.column, f.value) for f in load_figures().values()]
    assert sorted(printed) == sorted(wanted)


def test_flops_are_always_subtracted_and_accuracy_never_at_another_scale(madeup):
    book, _ = madeup
    differences = cells(book, "difference")
    wanted = {(f"Table {f.table}", f.row, f.column) for f in load_figures().values() if f.column == FLOPS}
    assert set(differences) == wanted
    assert {c.text for c in differences.values()} == {"+0.004"}


def test_accuracy_is_subtracted_at_the_papers_scale_but_not_from_hidden_test_sets(at_paper_scale):
    book, _ = at_paper_scale
    ours, differences = cells(book, "ours"), cells(book, "difference")
    assert {place for place, _, _ in differences} == {f"Table {n}" for n in range(1, 7)}
    cell = ("Table 2", "MSPN, 2 stages", "AP")
    assert differences[cell].value == pytest.approx(ours[cell].value - 74.5)
    assert differences[cell].text == signed(ours[cell].value - 74.5, 1)
    box = ("Table 6", "Detector", "CPN")
    assert differences[box].text == "+0.1"
    hidden = ours["Table 7", "Ours (MSPN)", "AP"]
    assert hidden.value is not None and "server" in hidden.reason


def test_cells_without_a_number_say_why(monkeypatch, tmp_path):
    monkeypatch.chdir(report_tree.make_root(tmp_path, "madeup", (0,)))
    report_tree.fill("madeup", runs=("mspn-2",))
    book, _ = build("madeup")
    ours = cells(book, "ours")
    assert ours["Table 2", "MSPN, 2 stages", "AP"].value is not None
    never = ours["Table 2", "MSPN, 3 stages", "AP"]
    assert (never.text, never.status) == ("not run", "not run") and "mspn-3" in never.reason
    cited = ours["Table 7", "HRNet [39]", "AP"]
    assert (cited.text, cited.status) == ("cited", "cited") and "not a run" in cited.reason


def test_true_boxes_can_stand_in_for_a_detector_but_not_where_detectors_are_compared(monkeypatch, tmp_path):
    monkeypatch.chdir(report_tree.make_root(tmp_path, "madeup", (0,)))
    with (tmp_path / "workflow/config/scales/madeup.yaml").open("a") as file:
        file.write("stand_in: {det-49.4: gt}\n")
    experiment = report_tree.fill("madeup")
    assert experiment.detectors(experiment.run("mspn-1")) == ("gt",)
    assert experiment.detectors(experiment.run("mspn-2")) == ("gt", "det-41.1")
    book, _ = build("madeup")
    ours = cells(book, "ours")
    cell = ours["Table 2", "MSPN, 2 stages", "AP"]
    assert cell.status == "measured" and cell.value == ours["Table 6", "2-Stg MSPN", "GT"].value
    assert "boxes: gt" in book.frame().set_index("id").loc[cell.id, "address"]
    cell = ours["Table 6", "2-Stg MSPN", "Ours"]
    assert cell.status == "not run" and "does not evaluate on det-49.4" in cell.reason
    draws = Draws(collect(experiment))
    assert draws.mean("mspn-4", "det-49.4") == draws.mean("mspn-4", "gt")
    claims = {result.claim.number: result for result in evaluate(draws.results, load_figures(), draws)}
    assert claims[3].statements[0].ours == draws.mean("mspn-2", "gt") - draws.mean("hourglass-2-wide", "gt")
    assert [s.verdict for s in claims[8].statements] == ["not comparable"] * 2  # true boxes stand in
    assert [s.ours for s in claims[8].statements] == [None, None]
    claim_context(claims[3], draws, book)
    assert "mspn-2 on gt, seed 0" in {entry.label for entry in book.addresses["claim/3"].entries}


def test_nothing_run_at_all_gives_tables_that_say_so(monkeypatch, tmp_path):
    monkeypatch.chdir(report_tree.make_root(tmp_path, "madeup", (0,)))
    book, views = build("madeup")
    assert len(views) == 9
    assert {c.text for c in book.cells if c.quantity == "ours"} == {"not run", "cited"}


def test_the_mean_and_interval_over_seeds(madeup):
    results = collect(load_experiment("madeup"))
    m = results.metrics
    rows = m[(m.run == "mspn-2") & (m.detector == "gt") & (m.metric == "AP") & (m.protocol == "paper")]
    estimate = results.estimate("mspn-2", "gt", "AP")
    assert estimate is not None and estimate.seeds == (0, 1)
    assert estimate.value == pytest.approx(rows.value.mean())
    images = (rows.value - rows.low).mean()
    trained = [run.run for run in results.experiment.trained]  # each once: no ensembles, one detector each
    chosen = m[
        (m.metric == "AP") & (m.protocol == "paper") & (m.detector == "det-49.4") & m.run.isin(trained)
    ]
    every = chosen.groupby("run").value
    freedom = (every.count() - 1).sum()
    deviation = np.sqrt(((every.count() - 1) * every.var()).sum() / freedom)  # pooled over runs
    assert results.spread("AP") == (pytest.approx(deviation), freedom) and freedom > 20
    seeds = stdtrit(freedom, 0.975) * deviation / 2**0.5
    assert estimate.value - estimate.low == pytest.approx((images**2 + seeds**2) ** 0.5, rel=1e-4)
    assert seed_halfwidth(1.0, 1, 4) == pytest.approx(12.706 / 2, rel=1e-4)
    assert seed_halfwidth(0.0, 0, 1) == 0
    assert results.estimate("mspn-2", "gt", "no such metric") is None


def rows_of(view) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(to_csv(view))))


def test_csv_has_numbers_in_the_papers_layout(madeup):
    _, views = madeup
    rows = rows_of(views[0])
    assert [row["Method"] for row in rows] == ["AP", "FLOPs (G)"]
    ours = rows[0]
    assert ours["Res-50, paper"] == "71.5" and ours["Res-50, ours, difference"] == ""
    assert float(ours["Res-50, ours, low"]) < float(ours["Res-50, ours"]) < float(ours["Res-50, ours, high"])
    assert float(rows[1]["Res-101, ours, difference"]) == pytest.approx(0.004)
    assert rows[1]["Res-254, paper"] == "18.0"  # to the printed digit
    two = rows_of(views[1])
    assert [row["Hourglass Stages"] + row["Hourglass Stages, mark"] for row in two] == [
        "1",
        "2",
        "4",
        "8",
        "2†",
    ]
    seven = rows_of(views[6])
    assert (seven[2]["Input size, height"], seven[2]["Input size, width"]) == ("353", "257")


def test_what_csv_calls_a_number_is_one(madeup):
    """Intervals, differences and printed figures: a number that a program reads, or nothing."""
    _, views = madeup
    for view in views:
        text = to_csv(view)
        assert "−" not in text and "–" not in text
        for row in csv.DictReader(io.StringIO(text)):
            for key, value in row.items():
                if key.endswith((", low", ", high", ", difference", ", paper")) and value:
                    float(value)


def test_cited_and_not_run_stand_once_in_a_row(monkeypatch, tmp_path):
    monkeypatch.chdir(report_tree.make_root(tmp_path, "madeup", (0,)))
    report_tree.fill("madeup", runs=("mspn-4-384x288",))
    _, views = build("madeup")
    texts = {tuple(slot_text(slot) for slot in row[:2]): row for row in views[6].body}
    assert [slot_text(s) for s in texts["HRNet [39]", "cited"]].count("cited") == 1
    measured, missing = texts["Ours (MSPN)", "madeup scale"], texts["Ours (MSPN*)", "madeup scale"]
    assert len(measured) == 14 and slot_text(measured[3]) == "144×108"
    assert slot_text(missing[-1]) == "not run" and missing[-1].span == 10
    assert rows_of(views[6])[-1]["AP, state"].startswith("not run: ")


def test_markdown_and_html_show_both_numbers(madeup):
    _, views = madeup
    markdown = to_markdown(views[0])
    assert "Table 1." in markdown and "4.404 (+0.004)" in markdown and "madeup scale" in markdown
    assert "not comparable with the paper" in markdown
    assert ">4.404 (+0.004)</td>" in to_html(views[0])
    assert "2†" in to_markdown(views[1]) and "353×257" in to_markdown(views[6])


def test_latex_is_escaped_and_balanced(madeup):
    _, views = madeup
    for view in views:
        text = to_latex(view)
        assert text.count(r"\begin{") == text.count(r"\end{") == 2
        assert text.count("{") - text.count(r"\{") == text.count("}") - text.count(r"\}")
        assert rf"\caption{{{view.title[:12]}" in text and "Table " not in text.split("tabular")[0]
        body = text.split(r"\midrule")[1].split(r"\bottomrule")[0]
        for line in body.strip().splitlines():
            spanned = sum(int(span) - 1 for span in re.findall(r"multicolumn\{(\d+)\}", line))
            assert line.count(" & ") + spanned == len(view.labels) - 1 and line.endswith(r" \\")
        assert all(ord(c) < 128 for c in text), {c for c in text if ord(c) >= 128}
    assert r"\begin{tabular}{lrrrrrrrr}" in to_latex(views[0])  # words left, numbers right


LATEX = r"""\documentclass{article}
\usepackage{booktabs,amssymb,graphicx}
\begin{document}
%s
\end{document}
"""


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="LaTeX is not installed")
def test_latex_compiles(madeup, tmp_path):
    book, views = madeup
    results = collect(load_experiment("madeup"))
    extra = [costs.flops_view(results, book), extras.evaluations_view(results, book)]
    views = [*views, *extra, extras.protocols_view(results, book), costs.cost_view(results, book)[0]]
    (tmp_path / "all.tex").write_text(LATEX % "\\clearpage\n".join(to_latex(view) for view in views))
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "all.pdf").stat().st_size > 10_000


def test_a_result_of_another_configuration_is_marked(monkeypatch, tmp_path):
    monkeypatch.chdir(report_tree.make_root(tmp_path, "madeup", (0,)))
    experiment = report_tree.fill("madeup", runs=("mspn-2",))
    path = experiment.evaluation_folder(experiment.grid["mspn-2"], 0, "gt") / "metrics.json"
    content = json.loads(path.read_text())
    content["address"]["training_id"] = "mspn-2-s0-0000000000"
    write_sealed(path, content)
    stale = {key: e.stale for key, e in collect(experiment).evaluations.items()}
    assert "another configuration" in stale["mspn-2", "gt", 0] and not stale["mspn-2", "det-49.4", 0]
    weights = experiment.training_folder(experiment.grid["mspn-2"], 0) / "weights.safetensors"
    for digest, words in (("ab" * 32, ""), ("cd" * 32, "other weights")):
        header = {"__metadata__": {"mspn": json.dumps({"tensor_hash": digest})}}
        text = json.dumps(header).encode()
        weights.write_bytes(len(text).to_bytes(8, "little") + text)
        found = collect(experiment).evaluations["mspn-2", "det-49.4", 0].stale
        assert words in found and bool(words) == bool(found)


@pytest.mark.parametrize("content", ["{}", "not json", '{"address": {}, "rows": [{"protocol": "paper"}]}'])
def test_a_damaged_result_is_named(monkeypatch, tmp_path, content):
    monkeypatch.chdir(report_tree.make_root(tmp_path, "madeup", (0,)))
    path = tmp_path / "results" / "madeup" / "runs" / "mspn-2" / "seed-0" / "gt" / "metrics.json"
    path.parent.mkdir(parents=True)
    path.write_text(content)
    with pytest.raises(UserError, match=r"metrics\.json: not a"):
        collect(load_experiment("madeup"))


def test_results_of_unknown_runs_are_named_not_dropped(monkeypatch, tmp_path):
    monkeypatch.chdir(report_tree.make_root(tmp_path, "madeup", (0,)))
    path = tmp_path / "results" / "madeup" / "runs" / "gone" / "seed-0" / "gt" / "metrics.json"
    report_tree.write(path, {"address": {}, "rows": []})
    assert collect(load_experiment("madeup")).foreign == ("results/madeup/runs/gone/seed-0/gt/metrics.json",)


def test_a_layout_that_names_no_figure_is_refused(madeup):
    layout = load_layout()
    layout["tables"][1]["body"][0][1] = "=Res-51 | AP"
    with pytest.raises(UserError, match="table 1: the paper has no figure 'Res-51', 'AP'"):
        Tables(collect(load_experiment("madeup")), load_figures(), layout, Book()).views()


def test_long_logs_are_read_in_samples(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text("".join(f'{{"step": {i}}}\n' for i in range(100_000)))
    parts = list(sampled_lines(path, samples=20, window=500))
    assert len(parts) == 20
    assert all(line.startswith(b'{"step"') and line.endswith(b"}") for _, lines in parts for line in lines)
    assert parts[0][1][0] == b'{"step": 0}' and parts[-1][1][-1] == b'{"step": 99999}'
    path.write_text('{"step": 0}\n{"step": 1}\n')
    assert [lines for _, lines in sampled_lines(path)] == [[b'{"step": 0}'], [b'{"step": 1}']]


def test_rows_that_a_small_scale_does_not_run_show_the_reference_runs_figures(monkeypatch, tmp_path):
    root = report_tree.make_root(tmp_path)
    kept = root / "results/reference/bench"
    shutil.copytree(report_tree.shared("madeup", (0, 1)) / "results/madeup", kept / "results/madeup")
    scale = {"name": "madeup", "stand_in": {}}
    (kept / "resolved-scale.json").write_text(json.dumps(scale))
    monkeypatch.chdir(root)
    experiment, book = load_experiment("demo"), Book()
    reference = load_reference(experiment)
    assert reference and not load_reference(load_experiment("madeup")), "not beside itself"
    views = Tables(collect(experiment), load_figures(), load_layout(), book, reference).views()
    figure = load_figures()[2, "MSPN, 3 stages", "AP"]
    rows = [
        read_metrics(path, None)[1].set_index(["protocol", "metric"]).value["paper", "AP"]
        for path in kept.glob("results/madeup/runs/mspn-3/seed-*/det-49.4/metrics.json")
    ]
    cell = cells(book, "reference")["Table 2", figure.row, "AP"]
    assert len(rows) == 2 and cell.value == pytest.approx(np.mean(rows))
    assert "reference" in book.addresses[cell.address].title
    assert not [key for key in cells(book, "reference") if key[2] == FLOPS]
    assert "MSPN AP, reference run" in views[1].labels
    assert "FLOPs (G), reference run" not in views[1].labels
    assert "reference run (madeup)" in to_html(views[1])
    assert any(row["From"] == "reference run (madeup)" for row in rows_of(views[6]))
