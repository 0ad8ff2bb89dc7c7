"""Evaluations of imported weights: rows of the table of all evaluations, and nothing else of the report."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mspn.experiment.config import joint_set_of
from mspn.experiment.experiment import Experiment
from mspn.experiment.identity import digest
from mspn.files import read_json
from mspn.report.addresses import EVALUATION_FILES
from mspn.report.cells import Book, Entry
from mspn.report.reading import read_metrics
from mspn.report.views import Slot

MARK = "imported weights"
IMPORTED_NOTE = f"Trained elsewhere: {MARK}. They are in no claim and no table of the paper."


def imported_rows(
    experiment: Experiment,
    book: Book,
    metrics: Sequence[str],
    quantities: Callable[[Any], list[tuple[str, float]]],
) -> list[list[Slot]]:
    """A row for each folder below ``results/SCALE/imported``: name, boxes, no seed, ``metrics``, the mark.

    ``quantities`` gives a figure's numbers by quantity. Their address has the file of the weights, its hash
    and where it was imported from. UserError names a metrics file that is none.
    """
    rows = []
    for path in sorted((experiment.results / "imported").glob("*/*/metrics.json")):
        name, detector = path.parts[-3], path.parts[-2]
        content, table, _ = read_metrics(path, _joint_set(experiment, path))
        title = f"{MARK} {name} on {detector}"
        entries = _entries(experiment, path.parent, content)
        address = book.address(f"imported/{name}/{detector}", title, entries)
        known = table[(table.protocol == "paper") & table.value.notna()].to_dict("records")
        figures = {row["metric"]: row for row in known}
        slots = [Slot(name), Slot(detector), Slot("–")]
        for metric in metrics:
            cells = {
                quantity: book.add(
                    "Evaluations", title, metric, quantity, value, f"{value:.1f}", unit="%", address=address
                )
                for quantity, value in (quantities(figures[metric]) if metric in figures else ())
            }
            slots.append(Slot(cells=cells))
        rows.append([*slots, Slot(_state(experiment, content, detector))])
    return rows


def _entries(experiment: Experiment, folder: Path, content: dict[str, Any]) -> list[Entry]:
    told = _told(content)
    entries = [
        Entry(MARK, str(told.get("file", folder.parent.name))),
        Entry("sha256", str(told.get("sha256", ""))),
        Entry("source", str(told.get("source", ""))),
        Entry("checkpoint", str(content.get("tensor_hash", ""))[:16]),
        Entry("scale", experiment.scale.name),
        Entry("boxes", folder.name),
        Entry("protocol", "paper"),
        Entry("commit", str(content.get("commit") or "unknown")[:12]),
        Entry("device", str(content.get("device") or "unknown")[:60]),
    ]
    files = [name for name in EVALUATION_FILES if (folder / name).is_file()]
    return entries + [Entry(name.split(".")[0], name, folder / name) for name in files]


def _joint_set(experiment: Experiment, path: Path) -> str | None:
    """The joints that an evaluation is of, None where it tells no data set of the scale."""
    content = read_json(path, "metrics file")
    address = content.get("address") if isinstance(content, dict) else None
    data = address.get("data") if isinstance(address, dict) else None
    dataset = data.get("dataset") if isinstance(data, dict) else None
    known = experiment.scale.datasets
    return joint_set_of(known[dataset]) if dataset in known else None


def _told(content: dict[str, Any]) -> dict[str, Any]:
    weights = content.get("imported")
    return weights if isinstance(weights, dict) else {}


def _state(experiment: Experiment, content: dict[str, Any], detector: str) -> str:
    """The mark, and whether data, boxes or the way of measuring are other ones than the present."""
    data = content.get("data")
    dataset = data.get("dataset") if isinstance(data, dict) else None
    known, detectors = experiment.scale.datasets, experiment.scale.detectors
    if dataset not in known or not (detector in detectors or joint_set_of(known[dataset]) == "mpii"):
        return f"{MARK}, stale"
    now = digest(experiment.measuring_identity(dataset, detector))
    return MARK if _told(content).get("measured_by") == now else f"{MARK}, stale"
