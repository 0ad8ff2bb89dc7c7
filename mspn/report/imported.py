"""Evaluations of imported weights: rows of the table of all evaluations, and nothing else of the report."""

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

from mspn.evaluation.metrics.bootstrap import COCO_FIGURES
from mspn.evaluation.rescoring import MAIN
from mspn.experiment.config import joint_set_of
from mspn.experiment.experiment import Experiment
from mspn.experiment.identity import digest
from mspn.files import read_json
from mspn.report.addresses import EVALUATION_FILES, file_entries
from mspn.report.cells import Book, Entry
from mspn.report.reading import read_metrics
from mspn.report.views import Slot

MARK = "imported weights"
METRICS = (*COCO_FIGURES, "Mean")  # of the table of all evaluations
IMPORTED_NOTE = f"Trained elsewhere: {MARK}. They are in no claim and no table of the paper."


def figure_of(row: Mapping[Hashable, Any]) -> dict[str, float]:
    """A row of figures by quantity: the value, and the ends of its interval."""
    return {"ours": float(row["value"]), "low": float(row["low"]), "high": float(row["high"])}


def ends_of(metric: str, figure: dict[str, float]) -> dict[str, float]:
    """What the table shows of a figure: the ends of the main ones alone, where they are apart."""
    whole = metric in ("AP", "Mean") and figure["low"] != figure["high"]
    return figure if whole else {"ours": figure["ours"]}


def imported_rows(experiment: Experiment, book: Book) -> list[list[Slot]]:
    """A row for each folder below ``results/SCALE/imported``: name, boxes, no seed, `METRICS`, the mark.

    Their address has the file of the weights, its hash and where it was imported from. UserError names a
    metrics file that is none.
    """
    rows = []
    for path in sorted((experiment.results / "imported").glob("*/*/metrics.json")):
        name, detector = path.parts[-3], path.parts[-2]
        content, table, _ = read_metrics(path, _joint_set(experiment, path))
        title = f"{MARK} {name} on {detector}"
        entries = _entries(experiment, path.parent, content)
        address = book.address(f"imported/{name}/{detector}", title, entries)
        known = table[(table.protocol == MAIN) & table.value.notna()].to_dict("records")
        figures = {row["metric"]: ends_of(row["metric"], figure_of(row)) for row in known}
        cells = [book.add_all("Evaluations", title, m, figures.get(m, {}), address) for m in METRICS]
        state = Slot(_state(experiment, content, detector))
        rows.append([Slot(name), Slot(detector), Slot("–"), *(Slot(cells=found) for found in cells), state])
    return rows


def _entries(experiment: Experiment, folder: Path, content: dict[str, Any]) -> list[Entry]:
    told = _told(content)
    return [
        Entry(MARK, str(told.get("file", folder.parent.name))),
        Entry("sha256", str(told.get("sha256", ""))),
        Entry("source", str(told.get("source", ""))),
        Entry("checkpoint", str(content.get("tensor_hash", ""))[:16]),
        Entry("scale", experiment.scale.name),
        Entry("boxes", folder.name),
        Entry("protocol", MAIN),
        Entry("commit", str(content.get("commit") or "unknown")[:12]),
        Entry("device", str(content.get("device") or "unknown")[:60]),
        *file_entries(folder, EVALUATION_FILES),
    ]


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
