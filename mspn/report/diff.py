"""Two reports, or a report and the paper, compared cell by cell."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal, TextIO

import pandas as pd
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mspn.errors import UserError
from mspn.experiment.paper import FLOPS, Figures, load_figures
from mspn.files import read_json
from mspn.report.cells import CELL_COLUMNS

PAPER = "paper"  # the word for the printed figures; a folder is given by its path, such as reports/paper
# What is compared between two reports: numbers of their own, not those derived from them.
QUANTITIES = ("ours", "paper", "count", "sum", "probability")

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
        """Whether the rule speaks of the cell."""
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
        """The rule for a cell."""
        return next((rule for rule in self.rules if rule.matches(key)), Rule())


def load_tolerances(path: Path | None) -> Tolerances:
    """Tolerances from a YAML file, or none at all; UserError names the wrong entry."""
    if path is None:
        return Tolerances()
    try:
        return Tolerances.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")) or {})
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not valid YAML: {error}") from None
    except ValidationError as error:
        lines = [f"  {'.'.join(map(str, e['loc'])) or '(whole file)'}: {e['msg']}" for e in error.errors()]
        raise UserError(f"{path}: {len(lines)} wrong\n" + "\n".join(lines)) from None


@dataclass(frozen=True)
class Difference:
    """A cell on both sides. ``verdict``: equal, within, beyond, missing (on one side), ignored."""

    place: str
    row: str
    column: str
    quantity: str
    a: float | None
    b: float | None
    difference: float | None
    allowed: float
    verdict: str


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
        """The comparison for a program to read."""
        counts = Counter(cell.verdict for cell in self.cells)
        return {
            "a": self.a,
            "b": self.b,
            "failed": self.failed,
            "counts": dict(sorted(counts.items())),
            "left_out": self.left_out,
            "cells": [asdict(cell) for cell in self.cells],
        }


def compare(a: str, b: str, tolerances: Tolerances) -> Comparison:
    """Compare two reports' folders, or one with the word ``paper``.

    Against the paper, only what can be compared is: FLOPs at any scale; accuracy and box AP at the scale
    ``paper``, and never those of hidden test sets. The rest is counted in ``left_out``. Raises UserError
    where a folder holds no report.
    """
    if a == b:
        raise UserError(f"{a}: both sides are the same")
    left_out: dict[str, int] = {}
    if PAPER in (a, b):
        ours = _cells(Path(b if a == PAPER else a))
        scale = _scale(Path(b if a == PAPER else a))
        mine, printed, left_out = _beside_paper(ours, scale, load_figures())
        left, right = (printed, mine) if a == PAPER else (mine, printed)
    else:
        left, right = _values(_cells(Path(a))), _values(_cells(Path(b)))
    keys = list(dict.fromkeys([*left, *right]))
    cells = tuple(_difference(key, left.get(key), right.get(key), tolerances.rule(key)) for key in keys)
    return Comparison(a, b, cells, left_out, tolerances.missing == "allow")


def _difference(key: Key, a: float | None, b: float | None, rule: Rule) -> Difference:
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
        verdict = "within" if within else "beyond"
    return Difference(*key, a, b, difference, allowed, verdict)


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
        if place not in ours:
            left_out["a setting, not a measurement"] += 1
        elif not figure.run and not figure.detector:
            left_out["a cited system"] += 1
        elif figure.column != FLOPS and figure.split != "COCO minival":
            left_out["a hidden test set"] += 1
        elif figure.column != FLOPS and scale != "paper":
            left_out[f"accuracy at the {scale} scale"] += 1
        elif ours[place] is None:
            left_out["not run"] += 1
        else:
            mine[(*place, "ours")], printed[(*place, "ours")] = ours[place], figure.number
    return mine, printed, dict(left_out)


def print_comparison(comparison: Comparison, out: TextIO) -> None:
    """The cells that differ, worst first, and the counts."""
    from tabulate import tabulate

    shown = [cell for cell in comparison.cells if cell.verdict in ("within", "beyond", "missing")]
    rows = [
        [
            c.verdict,
            c.place,
            c.row,
            c.column,
            _number(c.a),
            _number(c.b),
            _number(c.difference),
            f"{c.allowed:g}",
        ]
        for c in sorted(shown, key=_badness)
    ]
    if rows:
        headers = ["", "place", "row", "column", comparison.a, comparison.b, "difference", "allowed"]
        print(tabulate(rows, headers=headers, disable_numparse=True), file=out)
        print(file=out)
    counts = Counter(cell.verdict for cell in comparison.cells)
    print(f"{len(comparison.cells)} cells: {_list(counts)}", file=out)
    if comparison.left_out:
        print(f"not compared: {_list(comparison.left_out)}", file=out)
    print("beyond the tolerance" if comparison.failed else "within the tolerance", file=out)


def _badness(cell: Difference) -> tuple[int, float]:
    order = ("beyond", "missing", "within").index(cell.verdict)
    return order, -abs(cell.difference or 0.0)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _list(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{number} {name}" for name, number in counts.items())
