"""Two reports, or a report and the paper, compared cell by cell."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from textwrap import fill
from typing import Any, Literal, TextIO

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from mspn.errors import UserError
from mspn.experiment.paper import FLOPS, Figures, load_figures
from mspn.files import read_json
from mspn.report.cells import CELL_COLUMNS
from mspn.report.settings import checked, read_settings

PAPER = "paper"  # the word for the printed figures; a folder is given by its path, such as reports/paper
# What is compared between two reports: numbers of their own, not those derived from them.
QUANTITIES = ("ours", "paper", "count", "sum", "probability")

KNOWN = "known discrepancy"  # as `mspn.networks.flops` names it, and with it the cells' reasons

Key = tuple[str, str, str, str]  # place, row, column, quantity


class Rule(BaseModel):
    """Cells whose place, row and column match (``*`` and ``?`` as in file names), and what they may differ
    by.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    place: str = "*"
    row: str = "*"
    column: str = "*"
    absolute: float = Field(default=0.0, ge=0)
    relative: float = Field(default=0.0, ge=0)
    ignore: bool = False

    def matches(self, key: Key) -> bool:
        return all(
            fnmatchcase(text, pattern)
            for text, pattern in zip(key[:3], (self.place, self.row, self.column), strict=True)
        )


class Tolerances(BaseModel):
    """Rules, of which the first that matches a cell counts; without one the cells must be equal."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    rules: tuple[Rule, ...] = ()
    missing: Literal["fail", "allow"] = "fail"  # a number that only one side has

    def rule(self, key: Key) -> Rule:
        return next((rule for rule in self.rules if rule.matches(key)), Rule())


def load_tolerances(path: Path | None) -> Tolerances:
    """Tolerances from a YAML file, or none at all; UserError names the wrong entry."""
    return checked(Tolerances, read_settings(path) or {}, path) if path else Tolerances()


@dataclass(frozen=True)
class Difference:
    """A cell on both sides. ``verdict``: equal, within, beyond, missing (on one side), ignored, or known
    discrepancy: from the paper, by as much as the report itself says why (``reason``).
    """

    place: str
    row: str
    column: str
    quantity: str
    a: float | None
    b: float | None
    difference: float | None
    allowed: float
    verdict: str
    reason: str = ""


@dataclass(frozen=True)
class Comparison:
    """All cells, what could not be compared and why, and whether anything is beyond its tolerance."""

    a: str
    b: str
    cells: tuple[Difference, ...]
    left_out: dict[str, int] = field(default_factory=dict)
    missing_allowed: bool = False

    @property
    def failed(self) -> bool:
        """Whether a cell is beyond its tolerance, or missing where that is not allowed."""
        bad = {"beyond"} if self.missing_allowed else {"beyond", "missing"}
        return any(cell.verdict in bad for cell in self.cells)

    def as_json(self) -> dict[str, Any]:
        counts = Counter(cell.verdict for cell in self.cells)
        return {
            "a": self.a,
            "b": self.b,
            "failed": self.failed,
            "counts": dict(sorted(counts.items())),
            "left_out": self.left_out,
            "cells": [asdict(cell) for cell in self.cells],
        }


def compare(a: str, b: str, tolerances: Tolerances, across_scales: bool = False) -> Comparison:
    """Compare two reports' folders, or one with the word ``paper``.

    Against the paper, only what can be compared is: FLOPs at any scale; accuracy and box AP at the scale
    ``paper``, and never those of hidden test sets. The rest is counted in ``left_out``. Raises UserError
    where a folder holds no report, or the reports are of different scales and ``across_scales`` is not given.
    """
    if a == b:
        raise UserError(f"{a}: both sides are the same")
    left_out: dict[str, int] = {}
    known: dict[Key, str] = {}
    if PAPER in (a, b):
        folder = Path(b if a == PAPER else a)
        ours = _cells(folder)
        mine, printed, left_out = _beside_paper(ours, _scale(folder), load_figures())
        known = _known_discrepancies(ours)
        left, right = (printed, mine) if a == PAPER else (mine, printed)
    else:
        left, right = _values(_cells(Path(a))), _values(_cells(Path(b)))
        scales = _scale(Path(a)), _scale(Path(b))
        if len(set(scales)) > 1 and not across_scales:
            raise UserError(
                f"{a} is of scale {scales[0]}, {b} of scale {scales[1]}: other networks on other data; "
                "--across-scales compares them all the same"
            )
    keys = list(dict.fromkeys([*left, *right]))
    cells = tuple(
        _difference(key, left.get(key), right.get(key), tolerances.rule(key), known.get(key, ""))
        for key in keys
    )
    return Comparison(a, b, cells, left_out, tolerances.missing == "allow")


def _difference(key: Key, a: float | None, b: float | None, rule: Rule, known: str = "") -> Difference:
    allowed = max(rule.absolute, rule.relative * max(abs(a or 0.0), abs(b or 0.0)))
    difference = None if a is None or b is None else b - a
    if rule.ignore:
        verdict = "ignored"
    elif difference is None:
        verdict = "equal" if a is b else "missing"
    elif difference == 0:
        verdict = "equal"
    else:  # the last digits of a sum are no difference
        within = abs(difference) <= allowed or math.isclose(abs(difference), allowed, rel_tol=1e-9)
        verdict = "within" if within else KNOWN if known else "beyond"
    return Difference(*key, a, b, difference, allowed, verdict, known if verdict == KNOWN else "")


def _known_discrepancies(cells: pd.DataFrame) -> dict[Key, str]:
    """Why a cell differs from the paper's, where its report explains that."""
    rows = cells[(cells.quantity == "ours") & cells.reason.str.startswith(KNOWN)]
    return {
        (r["place"], r["row"], r["column"], "ours"): r["reason"].removeprefix(KNOWN).strip(": ")
        for r in rows.to_dict("records")
    }


def _cells(folder: Path) -> pd.DataFrame:
    path = folder / "cells.csv"
    try:
        cells = pd.read_csv(path, dtype=str, keep_default_na=False)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; make that report first (mspn report make)") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not a report's cells: {error}") from None
    if tuple(cells.columns) != CELL_COLUMNS:
        raise UserError(f"{path}: not a report's cells: columns are {list(cells.columns)}")
    return cells


def _scale(folder: Path) -> str:
    return str(read_json(folder / "report.json", "report's description")["scale"])


def _values(cells: pd.DataFrame) -> dict[Key, float | None]:
    """The compared numbers of a report; None where the report says that there is none."""
    rows = cells[cells.quantity.isin(QUANTITIES)]
    return {
        (r["place"], r["row"], r["column"], r["quantity"]): float(r["value"]) if r["value"] else None
        for r in rows.to_dict("records")
    }


def _beside_paper(
    cells: pd.DataFrame, scale: str, figures: Figures
) -> tuple[dict[Key, float | None], dict[Key, float | None], dict[str, int]]:
    """Ours and the paper's by cell, and what was left out, by reason."""
    ours = {key[:3]: value for key, value in _values(cells[cells.quantity == "ours"]).items()}
    mine: dict[Key, float | None] = {}
    printed: dict[Key, float | None] = {}
    left_out: Counter[str] = Counter()
    for figure in figures.values():
        place = (f"Table {figure.table}", figure.row, figure.column)
        if not figure.run and not figure.detector:
            left_out["a cited system"] += 1
        elif place not in ours:
            left_out["a setting, not a measurement"] += 1
        elif figure.column != FLOPS and figure.split != "COCO minival":
            left_out["a hidden test set"] += 1
        elif figure.column != FLOPS and scale != "paper":
            left_out[f"accuracy at the {scale} scale"] += 1
        elif ours[place] is None:
            left_out["not run"] += 1
        else:
            mine[(*place, "ours")], printed[(*place, "ours")] = ours[place], figure.number
    return mine, printed, dict(left_out)


def print_comparison(comparison: Comparison, out: TextIO, width: int = 80) -> None:
    """The cells that differ, worst first, in lines of at most ``width`` characters, and the counts."""
    from tabulate import tabulate

    shown = sorted((cell for cell in comparison.cells if cell.verdict in ORDER), key=_badness)
    if shown:
        print(f"a: {comparison.a}\nb: {comparison.b}\n", file=out)
        numbers = [[_number(c.a), _number(c.b), _number(c.difference), f"{c.allowed:g}"] for c in shown]
        heads = ("a", "b", "b - a", "allowed")
        widths = (max(map(len, column)) for column in zip(*numbers, strict=True))
        # tabulate pads a heading by two and parts columns by two
        taken = sum(max(width, len(head) + 2) for width, head in zip(widths, heads, strict=True))
        taken += max(len(WORDS[c.verdict]) for c in shown) + 2 * 5
        names = [_fit(f"{c.place}, {c.row}, {c.column}", width - taken) for c in shown]
        rows = [[WORDS[c.verdict], name, *four] for c, name, four in zip(shown, names, numbers, strict=True)]
        headers = ["", "cell", *heads]
        right = ("left", "left", "right", "right", "right", "right")
        print(tabulate(rows, headers=headers, disable_numparse=True, colalign=right), file=out)
        print(file=out)
    for cell in shown:
        if cell.reason:
            print(fill(f"{cell.place}, {cell.row}: {cell.reason}", width, subsequent_indent="  "), file=out)
    counts = Counter(cell.verdict for cell in comparison.cells)
    print(fill(f"{len(comparison.cells)} cells: {_list(counts)}", width), file=out)
    if comparison.left_out:
        print(fill(f"not compared: {_list(comparison.left_out)}", width), file=out)
    print("beyond the tolerance" if comparison.failed else "within the tolerance", file=out)


ORDER = ("beyond", "missing", KNOWN, "within")  # of the verdicts that are shown, the worst first
WORDS = {"beyond": "beyond", "missing": "missing", KNOWN: "known", "within": "within"}


def _fit(text: str, width: int) -> str:
    """The text in at most ``width`` characters, cut in the middle."""
    if len(text) <= width:
        return text
    half = max(1, (width - 1) // 2)
    return f"{text[: width - 1 - half]}…{text[-half:]}"


def _badness(cell: Difference) -> tuple[int, float]:
    return ORDER.index(cell.verdict), -abs(cell.difference or 0.0)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.5g}"


def _list(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{number} {name}" for name, number in counts.items())
