"""The paper's printed figures, read from the one file that holds them."""

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mspn.errors import UserError
from mspn.files import project_file

FIGURES = Path("reports/paper/figures.tsv")
COLUMNS = ("table", "row", "column", "value", "unit", "split", "page", "remarks", "run", "detector")
FLOPS = "GFLOPs"


@dataclass(frozen=True)
class Figure:
    """A number that the paper prints. ``value`` keeps the printed digits: 18.0 is not 18."""

    table: int
    row: str
    column: str
    value: str
    unit: str
    split: str
    page: int
    remarks: tuple[str, ...]
    run: str
    detector: str

    @property
    def number(self) -> float:
        """The value as a number."""
        return float(self.value)

    @property
    def digits(self) -> int:
        """Printed digits after the point."""
        return len(self.value.partition(".")[2])


Figures = dict[tuple[int, str, str], Figure]


def load_figures(path: Path = FIGURES) -> Figures:
    """The paper's figures by (table, row, column). Raises UserError that names the line and the remedy."""
    try:
        rows = list(csv.reader(project_file(path).read_text(encoding="utf-8").splitlines(), delimiter="\t"))
    except FileNotFoundError:
        raise UserError(
            f"{path}: no such file; run from the repository's root, where the paper's figures lie"
        ) from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not a table of tab-separated columns: {error}") from None
    if not rows or tuple(rows[0]) != COLUMNS:
        raise UserError(f"{path}: columns are {rows[0] if rows else []}; expected {list(COLUMNS)}")
    figures: Figures = {}
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != len(COLUMNS):
            raise UserError(f"{path}, line {number}: {len(row)} columns, not {len(COLUMNS)}")
        figure = _parse(dict(zip(COLUMNS, row, strict=True)), f"{path}, line {number}")
        key = (figure.table, figure.row, figure.column)
        if key in figures:
            raise UserError(f"{path}, line {number}: table {key[0]}, {key[1]}, {key[2]} is there twice")
        figures[key] = figure
    return figures


def _parse(record: dict[str, str], place: str) -> Figure:
    checks: dict[str, Callable[[str], object]] = {"table": int, "page": int, "value": float}
    for column, check in checks.items():
        try:
            check(record[column])
        except ValueError:
            raise UserError(f"{place}, column {column}: {record[column]!r} is not a number") from None
    remarks = tuple(filter(None, record["remarks"].split("; ")))
    return Figure(
        **{**record, "table": int(record["table"]), "page": int(record["page"]), "remarks": remarks}  # type: ignore[arg-type]
    )


def printed_gflops(path: Path = FIGURES) -> dict[str, float]:
    """Run -> GFLOPs that the paper prints. Raises UserError if two of its tables disagree."""
    printed: dict[str, float] = {}
    for figure in load_figures(path).values():
        if figure.column == FLOPS and figure.run:
            known = printed.setdefault(figure.run, figure.number)
            if known != figure.number:
                raise UserError(
                    f"{path}: run {figure.run}: GFLOPs are {known} and {figure.number} in different tables"
                )
    return printed
