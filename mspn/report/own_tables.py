"""Tables of one's own: rows of ``tables.yaml`` that name runs and columns, beyond the paper's tables."""

import re
from typing import Any

from mspn.errors import UserError, shown
from mspn.experiment.paper import FLOPS
from mspn.report.addresses import evaluation_address, file_address
from mspn.report.cells import Book, Entry
from mspn.report.results import Results
from mspn.report.views import Slot, View

KEYS = ("title", "runs", "columns", "note", "boxes")


def check_own(name: object, spec: dict[str, Any], place: str) -> str:
    """The name of a table of one's own; UserError where its entry holds something else than it must."""
    if not re.fullmatch("[a-z][a-z0-9-]*", str(name)):
        raise UserError(f"{place}: table {shown(str(name))!r}: a name of lower-case letters, digits and '-'")
    unknown = [key for key in spec if key not in KEYS]
    if unknown or not isinstance(spec.get("title"), str):
        said = f"unknown {', '.join(map(str, unknown))}" if unknown else "title is missing"
        raise UserError(f"{place}: table {name}: {said}; a table of your own has: {', '.join(KEYS)}")
    for key in ("runs", "columns"):
        if not isinstance(spec.get(key), list) or not all(isinstance(item, str) for item in spec[key]):
            raise UserError(f"{place}: table {name}: {key} is not a list of names")
    return str(name)


def own_view(results: Results, book: Book, protocol: str, name: str, spec: dict[str, Any]) -> View:
    """A row a run: what was measured of it on its first detector's boxes, or on ``boxes``; and its GFLOPs."""
    columns, rows = spec["columns"], []
    for run in spec["runs"]:
        rows.append(
            (Slot(run), *(_slot(results, book, protocol, name, spec, run, column) for column in columns))
        )
    labels = ("Run", *columns)
    header = (tuple((Slot(label), 1) for label in labels),)
    notes = tuple(filter(None, [str(spec.get("note", ""))]))
    return View(f"table-{name}", spec["title"], notes, header, tuple(rows), labels)


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
    values = {"ours": estimate.value}
    if estimate.low < estimate.high:
        values |= {"low": estimate.low, "high": estimate.high}
    return Slot(
        cells={
            quantity: book.add(place, run, column, quantity, v, f"{v:.1f}", unit="%", address=address)
            for quantity, v in values.items()
        }
    )
