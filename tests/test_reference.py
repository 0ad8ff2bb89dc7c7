"""The results that the repository keeps: whole, and truly told in docs/reference-run.md."""

import csv
import json
from pathlib import Path

import pytest

from mspn.report.verify import verify

REFERENCE = Path("results/reference")
BENCH = REFERENCE / "bench-lite"
REPORT = BENCH / "reports" / "bench-lite"


Cells = list[dict[str, str]]


@pytest.fixture(scope="module")
def cells() -> Cells:
    with (REPORT / "cells.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_bundle_is_as_packed():
    findings = verify(BENCH)
    assert findings.pop("files") > 100 and not any(findings.values())


def test_the_difficulty_leaves_room_for_order(cells):
    """One-stage MSPN between 40 and 70 AP, nothing above 90."""
    ap = ours(cells)
    assert 40 < ap["MSPN, 1 stage"] < 70
    assert max(ap.values()) < 90


def test_its_page_tells_what_the_reference_run_measured(cells):
    """Each AP of Tables 2 and 4 and each claim's verdict, as the report has them, and no other."""
    page = Path("docs/reference-run.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| ") and "---" not in line]
    heads = ("| run |", "| |")
    assert [row for row in rows if not row.startswith(heads)] == [*networks(cells), *claims()]


def networks(cells: Cells) -> list[str]:
    """A line of Markdown for each AP of Tables 2 and 4: ours with its interval, and the paper's."""
    texts: dict[str, dict[str, str]] = {}
    for cell in cells:
        if cell["place"] == "Table 2" and cell["column"] == "AP":
            texts.setdefault(cell["row"], {})[cell["quantity"]] = cell["text"]
        if cell["place"] == "Table 4" and cell["column"].endswith(" AP"):
            name = f"{cell['column'].removesuffix(' AP')}, {cell['row']}"
            texts.setdefault(name, {})[cell["quantity"]] = cell["text"]
    return [
        f"| {name} | {text['ours']} [{text['low']}, {text['high']}] | {text['paper']} |"
        for name, text in texts.items()
    ]


def claims() -> list[str]:
    """A line of Markdown for each claim and its verdict."""
    found = json.loads((REPORT / "claims.json").read_text())
    return [f"| {claim['claim']} | {claim['words']} | {claim['verdict']} |" for claim in found]


def ours(cells: Cells) -> dict[str, float]:
    """Row of Table 2 -> our AP."""
    wanted = {"place": "Table 2", "column": "AP", "quantity": "ours"}
    return {cell["row"]: float(cell["value"]) for cell in cells if wanted.items() <= cell.items()}
