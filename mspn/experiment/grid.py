"""The grid: every run of the benchmark, a row each."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mspn.errors import UserError, shown
from mspn.experiment.config import CONFIG, parse_size
from mspn.experiment.joint_sets import shipped
from mspn.experiment.networks import network_spec
from mspn.files import project_file

GRID = CONFIG / "grid.tsv"
GRID_COLUMNS = ("run", "network", "input", "supervision", "data", "detectors", "members")

# Kernel sizes of the target's blur, coarsest scale first (paper, section 3.3
# and Table 5; the sizes are the released code's).
COARSE = (15, 11, 9, 7)
FINE = (11, 9, 7, 5)
# name -> (supervised scales, kernels of the earlier stages, kernels of the last stage)
SUPERVISIONS: dict[str, tuple[int, tuple[int, ...], tuple[int, ...]]] = {
    "base": (1, COARSE[-1:], COARSE[-1:]),
    "ctf": (4, COARSE, FINE),
    "k77": (4, COARSE, COARSE),
    "k55": (4, FINE, FINE),
}


@dataclass(frozen=True)
class Run:
    """A row of the grid. ``network`` is empty for an ensemble, whose ``members`` are runs.

    A scale that searches or has partial budgets makes variants of rows: ``row`` is then the row's name and
    ``changes`` what differs in the recipe. ``joint_set`` is the data sets' at the scale, a name or a file; of
    the grid alone that of the data set's name where there is one, else empty.
    """

    run: str
    network: str
    input: str
    supervision: str
    data: str
    detectors: tuple[str, ...]
    members: tuple[str, ...]
    row: str = ""
    changes: tuple[tuple[str, Any], ...] = ()
    joint_set: str = ""

    @property
    def datasets(self) -> tuple[str, ...]:
        """The data sets that the run trains on; it is evaluated on the first one's validation split."""
        return tuple(self.data.split("+"))


def load_grid(path: Path = GRID) -> dict[str, Run]:
    """The grid: run name -> Run, in the file's order. Raises UserError that names line, column and remedy."""
    grid: dict[str, Run] = {}
    for number, row in _read_rows(path):
        run = _parse_row(row, f"{path}, line {number}")
        if run.run in grid:
            raise UserError(f"{path}, line {number}: run {run.run!r} is there twice")
        grid[run.run] = run
    for run in grid.values():
        for member in run.members:
            if member not in grid or not grid[member].network:
                raise UserError(
                    f"{path}: run {run.run!r}: member {member!r} is not a trained run of the grid"
                )
            if grid[member].input != run.input or grid[member].datasets[0] != run.datasets[0]:
                raise UserError(f"{path}: run {run.run!r}: member {member!r} has another geometry")
    return grid


def _read_rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """(line, row) of a table of tab-separated columns whose lines may be comments or empty."""
    try:
        lines = project_file(path).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise UserError(f"{path}: no such grid") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not text in UTF-8: {error}") from None
    rows = [(n, line.split("\t")) for n, line in enumerate(lines, 1) if line.strip() and line[0] != "#"]
    if not rows or tuple(rows[0][1]) != GRID_COLUMNS:
        found = rows[0][1] if rows else []
        raise UserError(f"{path}: columns are {found}; expected {list(GRID_COLUMNS)}, with tabs between")
    for number, values in rows[1:]:
        values += [""] * (len(values) == len(GRID_COLUMNS) - 1)  # editors cut the tab at the end of a line
        if len(values) != len(GRID_COLUMNS):
            raise UserError(
                f"{path}, line {number}: {len(values)} columns, not {len(GRID_COLUMNS)}; there is a tab "
                "between each two, also where one is empty"
            )
        yield number, {key: value.strip() for key, value in zip(GRID_COLUMNS, values, strict=True)}


def _parse_row(row: dict[str, str], place: str) -> Run:
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,59}", row["run"]):
        raise UserError(
            f"{place}, column run: '{shown(row['run'])}' must be lower-case letters, digits and '-', at most "
            "60 of them"
        )
    datasets = row["data"].split("+")
    if not all(re.fullmatch(r"[a-z0-9][a-z0-9-]*", name) for name in datasets):
        raise UserError(f"{place}, column data: {row['data']!r}: names of data sets with '+' between them")
    if len(set(datasets)) < len(datasets):
        raise UserError(f"{place}, column data: {row['data']!r}: a data set is there twice")
    if bool(row["network"]) == bool(row["members"]):
        raise UserError(f"{place}: give either a network or, for an ensemble, members")
    if row["network"]:
        try:
            network_spec(row["network"])
        except UserError as error:
            raise UserError(f"{place}, column network: {error}") from None
        if row["supervision"] not in SUPERVISIONS:
            raise UserError(
                f"{place}, column supervision: {row['supervision']!r}; allowed: {', '.join(SUPERVISIONS)}"
            )
    try:
        parse_size(row["input"])
    except ValueError as error:
        raise UserError(f"{place}, column input: {error}") from None
    lists = {key: tuple(filter(None, row[key].split(","))) for key in ("detectors", "members")}
    if not lists["detectors"]:
        raise UserError(f"{place}, column detectors: name at least one, such as gt")
    return Run(
        row["run"],
        row["network"],
        row["input"],
        row["supervision"],
        row["data"],
        lists["detectors"],
        lists["members"],
        joint_set=datasets[0] if datasets[0] in shipped() else "",
    )
