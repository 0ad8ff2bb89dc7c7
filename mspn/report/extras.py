"""The report's own tables: all evaluations, protocols, detectors; the environment and the ledger."""

from itertools import pairwise
from typing import Any

from mspn.errors import UserError
from mspn.evaluation.metrics.bootstrap import COCO_FIGURES
from mspn.evaluation.protocols import STEPS
from mspn.report.addresses import evaluation_address, file_address
from mspn.report.cells import Book, Entry, signed
from mspn.report.costs import device_of
from mspn.report.imported import IMPORTED_NOTE, imported_rows
from mspn.report.points import whole
from mspn.report.results import Results
from mspn.report.views import Slot, View, number, view

HEAD = "PCKh@0.5 mean"


def evaluations_view(results: Results, book: Book) -> View:
    """Every evaluation: run, detector, seed, and its figures under the protocol ``paper``."""
    m = results.metrics[results.metrics.protocol == "paper"]
    figures = {
        (r["run"], r["detector"], r["seed"], r["metric"]): r
        for r in m.to_dict("records")
        if r["value"] == r["value"]
    }
    rows = []
    for run, detector, seed in results.evaluations:
        address = evaluation_address(book, results, run, detector, [seed], "paper")
        mpii = results.experiment.grid[run].joint_set == "mpii"
        slots = [Slot(run), Slot(detector), Slot(str(seed))]
        for metric in (*COCO_FIGURES, "Mean"):
            key = (run, detector, seed, metric)
            if key not in figures:
                slots.append(Slot("–" if mpii == (metric == "Mean") else ""))
                continue
            place = (f"{run} on {detector}, seed {seed}", metric)
            cells = {
                quantity: book.add(
                    "Evaluations", *place, quantity, value, f"{value:.1f}", unit="%", address=address
                )
                for quantity, value in _triple(figures[key])
            }
            slots.append(Slot(cells=cells))
        stale = results.evaluations[run, detector, seed].stale
        slots.append(Slot("stale" if stale else ""))
        rows.append(slots)
    imported = imported_rows(results.experiment, book, (*COCO_FIGURES, "Mean"), _triple)
    labels = ("Run", "Boxes", "Seed", *COCO_FIGURES, HEAD, "State")
    return view(
        "evaluations",
        "All evaluations, protocol “paper”",
        labels,
        rows + imported,
        "Each seed for itself; the interval is over images (95 %, bootstrap), those of the other figures are "
        "in runs.csv. Stale: of another configuration or other code than the present one.",
        *([IMPORTED_NOTE] if imported else []),
    )


def _triple(row: Any) -> list[tuple[str, float]]:
    """The value, and of AP its interval; those of the others are in runs.csv."""
    values = [("ours", float(row["value"]))]
    if row["metric"] in ("AP", "Mean") and row["low"] != row["high"]:
        values += [("low", float(row["low"])), ("high", float(row["high"]))]
    return values


def protocols_view(results: Results, book: Book) -> View | None:
    """The gap between the paper's protocol and Simple Baseline's and HRNet's, split in its single steps."""
    m = (
        results.metrics[results.metrics.metric == "AP"]
        .set_index(["run", "detector", "seed", "protocol"])
        .value
    )
    wholes = {run.run for run in whole(results.experiment)}
    rows = []
    for run, detector, seed in results.evaluations:
        names = ("paper", *(name for _, name in STEPS))
        if run not in wholes or not all((run, detector, seed, name) in m for name in names):
            continue
        address = evaluation_address(book, results, run, detector, [seed], "that of the column")
        values = [m[run, detector, seed, name] for name in names]
        shown = [("paper", values[0], False)]
        pairs = zip(names[1:], pairwise(values), strict=True)
        shown += [(name, after - before, True) for name, (before, after) in pairs]
        shown.append(("shift-1", values[-1], False))
        for name in ("no-flip", "no-filter", "paper+nms", "paper-no-box-score"):
            key = (run, detector, seed, name)
            shown.append((name, m[key] - values[0] if key in m else None, True))
        row = f"{run} on {detector}, seed {seed}"
        cells = [_protocol_cell(book, row, *figure, address) for figure in shown]
        rows.append([Slot(run), Slot(detector), Slot(str(seed)), *cells])
    if not rows:
        return None
    labels = (
        "Run", "Boxes", "Seed", "AP, paper", *(words for words, _ in STEPS), "AP, shift-1",
        "no flip test", "no filter", "with OKS-NMS", "no box score",
    )  # fmt: skip
    return view(
        "protocols",
        "The same weights under other test protocols",
        labels,
        rows,
        "From “paper” to “shift-1” (as Simple Baseline and HRNet test) step by step: the steps add up to "
        "the gap. The last four columns: the change that each makes to the paper's protocol by itself. Runs "
        "at their whole budget.",
    )


def _protocol_cell(
    book: Book, row: str, protocol: str, value: float | None, change: bool, address: str
) -> Slot:
    if value is None:
        return Slot("–")
    text = signed(value, 1) if change else f"{value:.1f}"
    quantity = "difference" if change else "ours"
    return number(book.add("Protocols", row, protocol, quantity, value, text, unit="AP", address=address))


def detectors_view(results: Results, book: Book) -> View:
    """Box AP of every detector, as pycocotools measures it on this scale's validation set."""
    columns = (
        ("expected_box_ap", "Box AP aimed at", 1),
        ("box_ap", "Box AP measured", 1),
        ("detections", "Boxes", 0),
    )
    rows = []
    for (dataset, detector), content in results.boxes.items():
        path = results.experiment.boxes_file(dataset, detector).with_suffix(".metrics.json")
        address = file_address(book, f"Boxes of {detector} on {dataset}", path, Entry("detector", detector))
        slots = [Slot(detector), Slot(dataset), Slot(str(content.get("kind", "")))]
        for key, label, digits in columns:
            value = content.get(key)
            if value is None:
                slots.append(Slot("–"))
                continue
            place = ("Detectors", f"{detector} on {dataset}", label)
            slots.append(
                number(book.add(*place, "ours", float(value), f"{value:.{digits}f}", address=address))
            )
        rows.append(slots)
    labels = ("Detector", "Data set", "Kind", *(label for _, label, _ in columns))
    return view(
        "detectors", "Detectors", labels, rows, "Box AP is not defined on MPII, whose persons are given."
    )


# Another number of threads or processes, memory layout or instruction set adds in another order: the weights
# are then as another seed's.
_MADE_WITH = {"instructions": "instructions of the CPU", "world": "processes of a training"}


def environment_rows(results: Results) -> list[tuple[str, str]]:
    """What the results were made with: (name, values) with every distinct value and nothing else."""
    found: dict[str, dict[str, None]] = {}
    sources = [t.environment for t in results.trainings.values()]
    sources += [e.address for e in results.evaluations.values()]
    for source in sources:
        for key in ("commit", "dirty"):
            if source.get(key) is not None:
                found.setdefault(key, {})[str(source[key])] = None
        found.setdefault("device", {})[device_of(source)] = None
        for key in ("instructions", "world"):
            if source.get(key) is not None:
                found.setdefault(_MADE_WITH[key], {})[str(source[key])] = None
        for table in ("versions", "machine", "options"):
            values = source.get(table)
            if not isinstance(values, dict):
                continue
            for name, value in values.items():
                found.setdefault(name, {})[str(value)] = None
    return [(name, ", ".join(values)) for name, values in found.items()]


def check_ledger(ledger: Any, place: str) -> list[dict[str, str]]:
    """The protocol ledger's entries, each complete; UserError names the entry that is not."""
    needed = {"topic", "paper", "released", "default", "source"}
    for i, entry in enumerate(ledger if isinstance(ledger, list) else [None], start=1):
        if (
            not isinstance(entry, dict)
            or set(entry) != needed
            or not all(isinstance(v, str) for v in entry.values())
        ):
            raise UserError(
                f"{place}: entry {i}: needs texts for {', '.join(sorted(needed))}, and nothing else"
            )
    return list(ledger)
