"""The report's own tables: FLOPs, all evaluations, protocols, detectors, cost and environment."""

from collections.abc import Sequence
from typing import Any

from mspn.errors import UserError
from mspn.report.addresses import evaluation_address, file_address
from mspn.report.cells import Book, Cell, Entry, signed
from mspn.report.imported import IMPORTED_NOTE, imported_rows
from mspn.report.results import Results, Training
from mspn.report.views import Slot, View

COCO_METRICS = ("AP", "AP50", "AP75", "APM", "APL", "AR", "AR50", "AR75", "ARM", "ARL")
HEAD = "PCKh@0.5 mean"


def view(id: str, title: str, labels: Sequence[str], rows: Sequence[Sequence[Slot]], *notes: str) -> View:
    """A plain table: one header row of ``labels``."""
    header = (tuple((Slot(label), 1) for label in labels),)
    return View(id, title, notes, header, tuple(tuple(row) for row in rows), tuple(labels))


def number(cell: Cell) -> Slot:
    """A slot of one measured number."""
    return Slot(cells={"ours": cell})


def flops_view(results: Results, book: Book) -> View:
    """Every network's cost at the paper's full size."""
    columns = (
        ("parameters", "Parameters (M)", 1e-6, 2),
        ("gmacs", "GMACs (10⁹)", 1, 3),
        ("gflops_paper_convention", "GFLOPs, paper's convention", 1, 3),
        ("printed", "Printed", 1, 1),
        ("difference", "Difference", 1, 3),
        ("training_gflops", "GFLOPs, training graph", 1, 3),
        ("flip_gflops", "GFLOPs with flip test", 1, 3),
    )
    rows = []
    for run, record in results.flops.items():
        address = file_address(
            book,
            f"FLOPs of {run}",
            results.flops_file,
            Entry("run", run),
            Entry("input", "the paper's full size"),
        )
        slots = [Slot(run)]
        for key, label, factor, digits in columns:
            if record.get(key) is None:
                slots.append(Slot("–"))
                continue
            value = float(record[key]) * factor
            text = signed(value, digits) if key == "difference" else f"{value:.{digits}f}"
            slots.append(number(book.add("FLOPs", run, label, "ours", value, text, address=address)))
        slots += [
            _latency(results, book, run),
            Slot(record.get("verdict") or ""),
            Slot(record.get("reason") or ""),
        ]
        rows.append(slots)
    labels = ("Run", *(label for _, label, _, _ in columns), "Latency (ms)", "Verdict", "Reason")
    notes = (
        "The paper's convention: multiply-adds of convolutions on the inference path, divided by 2³⁰. "
        "GMACs: fvcore's own total. Latency: the narrowed network at this scale's input, the median of "
        "single crops.",
    )
    return view("flops", "FLOPs and parameters at the paper's full size", labels, rows, *notes)


def _latency(results: Results, book: Book, run: str) -> Slot:
    if run not in results.latency:
        cell = book.add(
            "FLOPs", run, "Latency (ms)", "ours", None, "not run", status="not run", reason="no latency"
        )
        return Slot(cells={"ours": cell})
    row = results.latency[run]
    value = float(row["ms_per_crop"])
    entries = [Entry(key, str(row[key])) for key in ("device", "threads", "input", "width") if key in row]
    address = file_address(book, f"Latency of {run}", results.experiment.results / "latency.csv", *entries)
    return number(
        book.add("FLOPs", run, "Latency (ms)", "ours", value, f"{value:.2f}", unit="ms", address=address)
    )


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
        for metric in (*COCO_METRICS, "Mean"):
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
    imported = imported_rows(results.experiment, book, (*COCO_METRICS, "Mean"), _triple)
    labels = ("Run", "Boxes", "Seed", *COCO_METRICS, HEAD, "State")
    return view(
        "evaluations",
        "All evaluations, protocol “paper”",
        labels,
        rows + imported,
        "Each seed for itself; intervals are over images (95 %, bootstrap). Stale: of another configuration "
        "or other code than the present one.",
        *([IMPORTED_NOTE] if imported else []),
    )


def _triple(row: Any) -> list[tuple[str, float]]:
    values = [("ours", float(row["value"]))]
    if row["low"] != row["high"]:
        values += [("low", float(row["low"])), ("high", float(row["high"]))]
    return values


def protocols_view(results: Results, book: Book) -> View | None:
    """The gap between the paper's protocol and Simple Baseline's and HRNet's, split in its single steps."""
    from mspn.evaluation.protocols import path

    steps = path("paper", "shift-1")
    m = (
        results.metrics[results.metrics.metric == "AP"]
        .set_index(["run", "detector", "seed", "protocol"])
        .value
    )
    rows = []
    for run, detector, seed in results.evaluations:
        try:
            values = [m[run, detector, seed, name] for name in ("paper", *(name for _, name in steps))]
        except KeyError:
            continue
        slots = [Slot(run), Slot(detector), Slot(str(seed))]
        for i, name in enumerate(("paper", *(name for _, name in steps))):
            value = values[i] if i == 0 or i == len(steps) + 1 else values[i] - values[i - 1]
            slots.append(_protocol_cell(results, book, (run, detector, seed), name, value, change=i > 0))
        slots.append(
            _protocol_cell(results, book, (run, detector, seed), "shift-1", values[-1], change=False)
        )
        for name in ("no-flip", "no-filter", "paper+nms", "paper-no-box-score"):
            key = (run, detector, seed, name)
            change = m[key] - values[0] if key in m else None
            slots.append(_protocol_cell(results, book, (run, detector, seed), name, change, change=True))
        rows.append(slots)
    if not rows:
        return None
    labels = (
        "Run", "Boxes", "Seed", "AP, paper", *(words for words, _ in steps), "AP, shift-1",
        "no flip test", "no filter", "with OKS-NMS", "no box score",
    )  # fmt: skip
    return view(
        "protocols",
        "The same weights under other test protocols",
        labels,
        rows,
        "From “paper” to “shift-1” (as Simple Baseline and HRNet test) step by step: the steps add up to "
        "the gap. The last four columns: the change that each makes to the paper's protocol by itself.",
    )


def _protocol_cell(
    results: Results, book: Book, who: tuple[str, str, int], protocol: str, value: float | None, change: bool
) -> Slot:
    run, detector, seed = who
    if value is None:
        return Slot("–")
    address = evaluation_address(book, results, run, detector, [seed], protocol)
    text = signed(value, 1) if change else f"{value:.1f}"
    quantity = "difference" if change else "ours"
    row = f"{run} on {detector}, seed {seed}"
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


def cost_view(results: Results, book: Book) -> tuple[View, dict[str, float]]:
    """Every training's cost, and the totals: device hours and, where it was read, energy in kWh."""
    rows, totals = [], {"device_hours": 0.0, "energy_kwh": 0.0, "trainings": 0.0}
    for training in results.trainings.values():
        environment = training.environment
        address = _training_address(book, training)
        slots = [Slot(training.id), Slot(_device(environment))]
        for key, label, factor, digits in COSTS:
            value = training.images_per_second if key == "images_per_s" else environment.get(key)
            if value is None:
                slots.append(Slot("–"))
                continue
            scaled = float(value) * factor
            cell = book.add(
                "Cost", training.id, label, "ours", scaled, f"{scaled:.{digits}f}", address=address
            )
            slots.append(number(cell))
        totals["device_hours"] += (training.device_seconds or 0.0) / 3600
        totals["energy_kwh"] += float(environment.get("energy_j") or 0.0) / 3.6e6
        totals["trainings"] += 1
        rows.append(slots)
    labels = ("Training", "Device", *(label for _, label, _, _ in COSTS))
    return view("cost", "Cost of the trainings", labels, rows), totals


COSTS = (
    ("wall_s", "Wall time (s)", 1.0, 1),
    ("device_s", "Device time (s)", 1.0, 1),
    ("peak_memory_bytes", "Peak memory (GiB)", 2.0**-30, 2),
    ("images_per_s", "Images/s", 1.0, 1),
    ("energy_j", "Energy (kJ)", 1e-3, 1),
)


def _training_address(book: Book, training: Training) -> str:
    files = [
        Entry(name.split(".")[0], name, training.folder / name)
        for name in ("config.json", "log.jsonl")
        if (training.folder / name).is_file()
    ]
    commit = Entry("commit", str(training.environment.get("commit") or "unknown")[:12])
    return file_address(book, f"Training {training.id}", training.folder / "environment.json", commit, *files)


def _device(environment: dict[str, Any]) -> str:
    device = environment.get("device")
    return str(device or "unknown")


def environment_rows(results: Results) -> list[tuple[str, str]]:
    """What the results were made with: (name, values) with every distinct value and nothing else."""
    found: dict[str, dict[str, None]] = {}
    sources = [t.environment for t in results.trainings.values()]
    sources += [e.address for e in results.evaluations.values()]
    for source in sources:
        for key in ("commit", "dirty"):
            if source.get(key) is not None:
                found.setdefault(key, {})[str(source[key])] = None
        found.setdefault("device", {})[_device(source)] = None
        for table in ("versions", "machine"):
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
