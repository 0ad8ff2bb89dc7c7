"""The page: self-contained, every number the CSV's, every link resolves; tried in a real browser."""

import re
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pandas as pd
import pytest

from mspn.errors import UserError
from mspn.experiment.load import load_experiment
from mspn.report.page import load_ledger, make_report
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
        self.links: list[str] = []
        self.ids: list[str] = []
        self.targets: set[str] = set()
        self.cells: dict[str, str] = {}
        self._open: list[tuple[str, str | None]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.links += [str(values[name]) for name in ("href", "src", "xlink:href") if values.get(name)]
        self.ids += [str(values["id"])] if values.get("id") else []
        self.targets |= {str(values["popovertarget"])} if values.get("popovertarget") else set()
        if tag not in ("meta", "link", "input", "br", "image", "use", "path"):
            self._open.append((tag, values.get("data-cell")))

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
    assert page.cells == cells.text.to_dict()
    numbers = cells[cells.value != ""]
    assert (numbers.address != "").all() and len(numbers) > 1000
    for text, value in zip(numbers.text, numbers.value, strict=True):
        digits = len(text.partition(".")[2])
        assert float(text.replace("−", "-")) == pytest.approx(float(value), abs=0.51 * 10**-digits)


def test_every_link_resolves_and_nothing_comes_from_outside(report):
    text = (report / "index.html").read_text()
    page = Page(text)
    assert len(text) < 10e6
    assert not re.search(r"(src|href)=\"https?:|@import|url\(https?:", text)
    assert len(set(page.ids)) == len(page.ids)
    assert page.targets <= set(page.ids)
    for link in page.links:
        parts = urlsplit(link)
        if parts.scheme == "data" or not parts.path:
            assert parts.scheme == "data" or parts.fragment in page.ids, link
            continue
        assert not parts.scheme and (report / unquote(parts.path)).is_file(), link


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
    assert "Nothing has been run at this scale" in made.page.read_text()


def test_text_from_results_is_escaped(report):
    page = (report / "index.html").read_text()
    assert "<i>device" not in page and "&lt;i&gt;device" in page


def test_a_ledger_entry_that_lacks_something_is_named(tmp_path):
    path = tmp_path / "ledger.yaml"
    path.write_text("- {topic: a, paper: b, released: c, default: d, source: e}\n- {topic: a}\n")
    with pytest.raises(UserError, match="entry 2"):
        load_ledger(path)
    assert len(load_ledger(report_tree.REPOSITORY / "workflow" / "config" / "ledger.yaml")) >= 15


# ---- in a browser ----

FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--window-size=1300,1000",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


@pytest.fixture
def browser(tmp_path) -> Iterator:
    pytest.importorskip("selenium", reason="selenium is not installed")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip("Chromium or its chromedriver is not installed")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (*FLAGS, f"--user-data-dir={tmp_path / 'profile'}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    chrome = webdriver.Chrome(options=options, service=Service(driver))
    yield chrome
    chrome.quit()


ROWS = (
    "return [...document.querySelectorAll('#evaluations tbody tr')].filter(r => !r.hidden).map(r => "
    "r.children[{}].textContent.trim())"
)
CELLS = (
    "return Object.fromEntries([...document.querySelectorAll('[data-cell]')].map(e => [e.dataset.cell, "
    "e.textContent]))"
)


def test_in_a_browser(report, browser):
    """No console errors; numbers equal the CSV; sort, filter, addresses and themes work."""
    browser.get((report / "index.html").as_uri())
    cells = pd.read_csv(report / "cells.csv", dtype=str, keep_default_na=False).set_index("id")
    assert browser.execute_script(CELLS) == cells.text.to_dict()

    # Sort by AP (column 3), up and down: numbers by value, empty ones last.
    ap = "document.querySelectorAll('#evaluations thead th')[3].querySelector('button').click()"
    for direction in (1, -1):
        browser.execute_script(ap)
        shown = browser.execute_script(ROWS.format(3))
        values = [float(text.split()[0]) for text in shown if text]
        assert len(values) > 20 and values == sorted(values, reverse=direction < 0)
        assert all(not text for text in shown[len(values) :])

    # Filter: only rows with all the words.
    total = len(browser.execute_script(ROWS.format(0)))
    box = browser.find_element("css selector", "#evaluations label.filter input")
    box.send_keys("mspn-2 det-41")
    names, boxes = browser.execute_script(ROWS.format(0)), browser.execute_script(ROWS.format(1))
    assert 0 < len(names) < total and all("mspn-2" in n for n in names) and set(boxes) == {"det-41.1"}
    box.clear()
    box.send_keys(" ")
    assert len(browser.execute_script(ROWS.format(0))) == total

    # A number opens its address, whose links are files that open.
    number = browser.find_element("css selector", "#table-2 td.ours button")
    target = number.get_attribute("popovertarget")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", number)
    number.click()
    address = browser.find_element("id", target)
    assert address.is_displayed() and "flops.csv" in address.text
    links = browser.execute_script(
        "return [...new Set([...document.querySelectorAll('a[href]')].map(a => a.href))]"
    )
    for link in links:
        parts = urlsplit(link)
        assert parts.scheme == "file" and Path(unquote(parts.path)).exists(), link

    # Both themes, by the button; the background changes.
    background = "return getComputedStyle(document.body).backgroundColor"
    first = browser.execute_script(background)
    browser.execute_script("document.getElementById('theme').click()")
    assert browser.execute_script(background) != first

    errors = [entry for entry in browser.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]
    assert errors == []
