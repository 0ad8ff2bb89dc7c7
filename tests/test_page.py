"""The page: self-contained, every number the CSV's, every link resolves; tried in a real browser."""

import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pandas as pd
import pytest

from mspn.errors import UserError
from mspn.experiment.load import load_experiment
from mspn.report import popover
from mspn.report.first_screen import warnings
from mspn.report.page import load_ledger, make_report, sentence
from mspn.report.results import collect
from tests import report_tree

SEEDS = (0, 1)


@pytest.fixture
def report(monkeypatch) -> Path:
    root = report_tree.shared_report("madeup", SEEDS)
    monkeypatch.chdir(root)
    return root / "reports" / "madeup"


class Page(HTMLParser):
    """The page's links, identifiers, and the text of each element that is a cell."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = report_tree.links(text)
        self.ids: list[str] = []
        self.addresses: set[str] = set()
        self.cells: dict[str, str] = {}
        self._open: list[tuple[str, str | None]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.links += [str(values[name]) for name in ("href", "src", "xlink:href") if values.get(name)]
        self.ids += [str(values["id"])] if values.get("id") else []
        self.addresses |= {str(values["data-a"])} if values.get("data-a") else set()
        if tag not in ("meta", "link", "input", "br", "image", "use", "path"):
            self._open.append((tag, values.get("data-c")))

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1][1]:
            cell = str(self._open[-1][1])
            self.cells[cell] = self.cells.get(cell, "") + data


def test_numbers_on_the_page_are_the_csvs(report):
    page = Page((report / "index.html").read_text())
    cells = pd.read_csv(report / "cells.csv", dtype=str, keep_default_na=False).set_index("id")
    numbers = cells[cells.value != ""]
    assert (numbers.address != "").all() and len(numbers) > 1000
    assert set(numbers.index) <= set(page.cells)
    assert page.cells == cells.loc[list(page.cells)].text.to_dict()
    for text, value in zip(numbers.text, numbers.value, strict=True):
        digits = len(text.partition(".")[2])
        assert float(text.replace("−", "-")) == pytest.approx(float(value), abs=0.51 * 10**-digits)


def test_every_link_resolves_and_nothing_comes_from_outside(report):
    text = (report / "index.html").read_text()
    page = Page(text)
    assert len(text.encode()) < 800_000
    assert not re.search(r"(src|href)=\"https?:|@import|url\(https?:", text)
    assert len(set(page.ids)) == len(page.ids)
    assert page.addresses == set(popover._unpack(text)["addresses"])
    for link in page.links:
        parts = urlsplit(link)
        if parts.scheme == "data" or not parts.path:
            assert parts.scheme == "data" or parts.fragment in page.ids, link
            continue
        assert not parts.scheme and (report / unquote(parts.path)).is_file(), link


def test_links_of_addresses_that_are_refused_become_text(report):
    text = (report / "index.html").read_text()
    less = popover.without_links(text, lambda link: Path(link).name == "metrics.json")
    assert {Path(link).name for link in report_tree.links(less)} == {"metrics.json"}
    data = popover._unpack(less)
    assert any(entry[1] == "log.jsonl" for entry in data["entries"])
    assert popover.without_links(text, lambda link: True) == text


def test_a_number_tells_run_checkpoint_config_commit_seed_protocol_and_log(report):
    cells = pd.read_csv(report / "cells.csv", dtype=str, keep_default_na=False)
    ours = cells[(cells.place == "Table 2") & (cells.row == "MSPN, 2 stages") & (cells.quantity == "ours")]
    address = ours[ours.column == "AP"].address.item()
    for part in ("run: mspn-2", "checkpoint: abab", "config: config.json", "commit: 0123456789ab",
                 "seeds: 0, 1",
                 "protocol: paper", "log: log.jsonl", "boxes: det-49.4"):  # fmt: skip
        assert part in address, part


def test_made_again_it_is_the_same(report):
    before = {p.relative_to(report): p.read_bytes() for p in report.rglob("*") if p.is_file()}
    again = Path("reports/again!")  # a name as long, a folder as deep
    make_report(load_experiment("madeup"), again)
    after = {
        p.relative_to(again): p.read_bytes().replace(b"again!", b"madeup")
        for p in again.rglob("*")
        if p.is_file()
    }
    shutil.rmtree(again)
    assert set(before) == set(after)
    assert [name for name in before if before[name] != after[name]] == []


def test_with_nothing_run_there_is_still_a_page(monkeypatch, tmp_path):
    monkeypatch.chdir(report_tree.make_root(tmp_path, "madeup", (0,)))
    experiment = load_experiment("madeup")
    made = make_report(experiment, experiment.reports)
    assert made.verdicts["not run"] == 29 and made.verdicts["not checkable here"] == 1
    page = made.page.read_text()
    assert "Nothing has been run at this scale" in page
    assert (
        "35 of 35 evaluations are not there, of the runs mspn-1, " in page and "FLOPs of the trained" in page
    )


def test_the_first_screen_says_what_lacks(report):
    assert "are not there" not in (report / "index.html").read_text()
    results = collect(load_experiment("madeup"))
    del results.evaluations["mspn-3", "gt", 1]
    found = warnings(replace(results, latency={}, superseded=tuple("abcdefg")))
    assert "1 of 70 evaluations are not there, of the runs mspn-3." in found
    assert "Not measured: latency." in found and any("a, b, c, d, e and 2 more" in words for words in found)


def test_text_from_results_is_escaped(report):
    page = (report / "index.html").read_text()
    assert "<i>device" not in page and "&lt;i&gt;device" in page


def test_a_runs_name_begins_a_sentence_as_it_is():
    assert sentence("mspn-2 has 0.0 AP") == "mspn-2 has 0.0 AP"
    assert sentence("made up, for tests") == "Made up, for tests"


def test_a_ledger_entry_that_lacks_something_is_named(tmp_path):
    path = tmp_path / "ledger.yaml"
    path.write_text("- {topic: a, paper: b, released: c, default: d, source: e}\n- {topic: a}\n")
    with pytest.raises(UserError, match=r"4 wrong\n  1\.paper: Field required"):
        load_ledger(path)
    assert len(load_ledger(report_tree.REPOSITORY / "workflow" / "config" / "ledger.yaml")) >= 15


def test_the_first_screen_says_what_was_trained_and_what_came_out(monkeypatch, tmp_path):
    monkeypatch.chdir(report_tree.make_root(tmp_path, "madeup", (0,)))
    experiment = report_tree.fill("madeup", runs=("mspn-1", "mspn-2", "hourglass-1", "hourglass-2"))
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/cluster.md").touch()
    make_report(experiment, experiment.reports)
    text = (experiment.reports / "index.html").read_text()
    screen = text[text.index('id="learnt"') : text.index("</section>")]
    words = " ".join(re.sub("<[^>]+>", "", screen).split())
    figures = collect(experiment)
    on = {boxes: figures.by_seed("mspn-2", boxes, "AP")[0] for boxes in ("det-49.4", "gt")}
    said = f"mspn-2 {on['det-49.4']:.1f} AP on boxes of det-49.4, {on['gt']:.1f} AP on true boxes;"
    assert "Trained on 1,600 samples each: " in words and said in words
    assert 'href="../../docs/cluster.md">COCO and MPII on GPUs, scale paper</a>' in screen
    assert "how orderings are measured with error bars, scale bench;" in words, "no link to what is not there"
    silent = screen[screen.index("hence nothing on") :]
    assert "Kernels 7 then 5" in silent and "better accuracy for its FLOPs" not in silent
