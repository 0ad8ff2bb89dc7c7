"""The grid: every run of the benchmark, a row each."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from mspn.errors import UserError
from mspn.experiment.config import CONFIG, parse_size
from mspn.experiment.networks import network_spec

GRID = CONFIG / "grid.tsv"
GRID_COLUMNS = ("run", "network", "input", "supervision", "data", "detectors", "members")
DATA = {"coco": ("coco",), "coco+external": ("coco", "external"), "mpii": ("mpii",)}

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

    ``changes`` to its recipe are made by a scale that searches, never by the grid.
    """

    run: str
    network: str
    input: str
    supervision: str
    data: str
    detectors: tuple[str, ...]
    members: tuple[str, ...]
    changes: tuple[tuple[str, Any], ...] = ()

    @property
    def joint_set(self) -> Literal["coco", "mpii"]:
        """Which joints the run predicts: COCO's 17 or MPII's 16."""
        return "mpii" if self.data == "mpii" else "coco"


def load_grid(path: Path = GRID) -> dict[str, Run]:
    """The grid: run name -> Run, in the file's order. Raises UserError that names line, column and remedy."""
    try:
        table = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False, comment="#")
    except FileNotFoundError:
        raise UserError(f"{path}: no such grid") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not a table of tab-separated columns: {error}") from None
    if tuple(table.columns) != GRID_COLUMNS:
        raise UserError(f"{path}: columns are {list(table.columns)}; expected {list(GRID_COLUMNS)}")
    grid: dict[str, Run] = {}
    for number, row in enumerate(table.to_dict("records"), start=2):
        run = _parse_row({str(k): str(v).strip() for k, v in row.items()}, f"{path}, line {number}")
        if run.run in grid:
            raise UserError(f"{path}, line {number}: run {run.run!r} is there twice")
        grid[run.run] = run
    for run in grid.values():
        for member in run.members:
            if member not in grid or not grid[member].network:
                raise UserError(
                    f"{path}: run {run.run!r}: member {member!r} is not a trained run of the grid"
                )
            if grid[member].input != run.input or grid[member].joint_set != run.joint_set:
                raise UserError(f"{path}: run {run.run!r}: member {member!r} has another geometry")
    return grid


def _parse_row(row: dict[str, str], place: str) -> Run:
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", row["run"]):
        raise UserError(f"{place}, column run: {row['run']!r} must be lower-case letters, digits and '-'")
    if row["data"] not in DATA:
        raise UserError(f"{place}, column data: {row['data']!r}; allowed: {', '.join(DATA)}")
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
    )
