"""Tables of one's own: rows of ``tables.yaml`` that name runs and columns, beyond the paper's tables."""

import re
from typing import Any

from pydantic import BaseModel, ConfigDict

from mspn.errors import UserError, shown
from mspn.experiment.paper import FLOPS
from mspn.report.addresses import evaluation_address, file_address
from mspn.report.cells import Book, Entry
from mspn.report.results import Results
from mspn.report.settings import checked
from mspn.report.views import Slot, View, view


class OwnTable(BaseModel):
    """An entry of the file that is a table of one's own; ``boxes``: a detector, default each run's first."""

    model_config = ConfigDict(extra="forbid")
    title: str
    runs: list[str]
    columns: list[str]
    note: str = ""
    boxes: str | None = None


def check_own(name: object, spec: dict[str, Any], place: str) -> None:
    """UserError where a table of one's own holds something else than it must, or has no fit name."""
    if not re.fullmatch("[a-z][a-z0-9-]*", str(name)):
        raise UserError(f"{place}: table {shown(str(name))!r}: a name of lower-case letters, digits and '-'")
    checked(OwnTable, spec, f"{place}: table {name}")


def own_view(results: Results, book: Book, protocol: str, name: str, spec: dict[str, Any]) -> View:
    """A row a run: what was measured of it on its first detector's boxes, or on ``boxes``; and its GFLOPs."""
    columns = spec["columns"]
    rows = [
        [Slot(run), *(_slot(results, book, protocol, name, spec, run, column) for column in columns)]
        for run in spec["runs"]
    ]
    notes = filter(None, [spec.get("note", "")])
    return view(f"table-{name}", spec["title"], ("Run", *columns), rows, *notes)


def _slot(
    results: Results, book: Book, protocol: str, name: str, spec: dict[str, Any], run: str, column: str
) -> Slot:
    experiment, place = results.experiment, f"Table {name}"

    def absent(reason: str) -> Slot:
        cell = book.add(place, run, column, "ours", None, "not run", status="not run", reason=reason)
        return Slot(cells={"ours": cell})

    if column == FLOPS:
        if run not in results.flops:
            return absent(f"{results.flops_file} has no such row")
        address = file_address(book, f"FLOPs of {run} at full size", results.flops_file, Entry("run", run))
        value = float(results.flops[run]["gflops_paper_convention"])
        cell = book.add(place, run, column, "ours", value, f"{value:.3f}", unit=FLOPS, address=address)
        return Slot(cells={"ours": cell})
    if run not in experiment.grid:
        return absent(f"{run} is not among the runs of scale {experiment.scale.name}")
    boxes = experiment.boxes_for(str(spec.get("boxes") or experiment.detectors(experiment.grid[run])[0]))
    estimate = results.estimate(run, boxes, column, protocol)
    if estimate is None:
        return absent(f"no {column} of {run} on {boxes}")
    address = evaluation_address(book, results, run, boxes, estimate.seeds, protocol)
    return Slot(cells=book.add_all(place, run, column, estimate.by_quantity, address))
