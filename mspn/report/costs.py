"""The report's tables of what things cost: FLOPs and parameters, ceilings, and the trainings."""

from typing import Any

from mspn.report import points
from mspn.report.addresses import file_address, file_entries
from mspn.report.cells import Book, Entry, signed
from mspn.report.results import Results, Training
from mspn.report.views import Slot, View, measured, number, view

# Column of flops.csv -> label, factor, digits.
FULL = (
    ("parameters", "Parameters (M)", 1e-6, 2),
    ("gmacs", "GMACs (10⁹)", 1, 3),
    ("gflops_paper_convention", "GFLOPs, paper's convention", 1, 3),
    ("gflops_trained", "GFLOPs, stride as trained", 1, 3),
    ("printed", "Printed", 1, 1),
    ("difference", "Difference", 1, 3),
    ("training_gflops", "GFLOPs, training graph", 1, 3),
)
TRAINED = (
    ("parameters", "Parameters as trained (M)", 1e-6, 3),
    ("gflops_paper_convention", "GFLOPs as trained", 1, 4),
)
LATENCY = (
    ("ms_per_crop", "Latency, one crop (ms)"),
    ("ms_per_crop_of_32", "Latency, a crop among 32 (ms)"),
)


def flops_view(results: Results, book: Book) -> View:
    """Every network's cost: at the paper's full size, as this scale trains it, and its latency."""
    rows = []
    for run, record in results.flops.items():
        size = Entry("input", "the paper's full size")
        full = file_address(book, f"FLOPs of {run}", results.flops_file, Entry("run", run), size)
        trained = results.trained.get(run, {})
        entries = [Entry(key, str(trained.get(key, ""))) for key in ("input", "width")]
        title = f"FLOPs of {run} as trained"
        own = file_address(book, title, results.trained_file, Entry("run", run), *entries)
        rows.append(
            [
                Slot(run),
                *(_cost(book, run, record.get(spec[0]), spec, full) for spec in FULL),
                *(_cost(book, run, trained.get(spec[0]), spec, own) for spec in TRAINED),
                *(_latency(results, book, run, key, label) for key, label in LATENCY),
                Slot(record.get("verdict") or ""),
                Slot(record.get("reason") or ""),
            ]
        )
    labels = ["Run", *(label for _, label, _, _ in (*FULL, *TRAINED)), *(label for _, label in LATENCY)]
    return view(
        "flops",
        "FLOPs, parameters and latency",
        [*labels, "Verdict", "Reason"],
        rows,
        "The paper's convention: multiply-adds of convolutions on the inference path, divided by 2³⁰, at the "
        "paper's full size. GMACs: fvcore's own total. As trained: the network at this scale's width and "
        "input; latency is its, too (medians).",
    )


def _cost(book: Book, run: str, value: Any, spec: tuple[str, str, float, int], address: str) -> Slot:
    if value is None:
        return Slot("–")
    _, label, factor, digits = spec
    scaled = float(value) * factor
    text = signed(scaled, digits) if label == "Difference" else f"{scaled:.{digits}f}"
    return number(book.add("FLOPs", run, label, "ours", scaled, text, address=address))


def _latency(results: Results, book: Book, run: str, key: str, label: str) -> Slot:
    value = points.number(results.latency, run, key)
    if value is None:
        cell = book.add("FLOPs", run, label, "ours", None, "not run", status="not run", reason="no latency")
        return Slot(cells={"ours": cell})
    row = results.latency[run]
    entries = [Entry(key, str(row[key])) for key in ("device", "threads", "input", "width") if key in row]
    address = file_address(book, f"Latency of {run}", results.experiment.results / "latency.csv", *entries)
    return measured(book, ("FLOPs", run, label), value, 2, address, "ms")


def ceilings_view(results: Results, book: Book) -> View | None:
    """What perfect heat maps score on this scale's validation persons; None where it was not computed."""
    rows = []
    address = file_address(book, "Ceiling of this scale", results.experiment.results / "ceiling.json")
    for (dataset, size, protocol, metric), value in results.ceilings.items():
        place = ("Ceiling", f"{dataset} at {size}, {metric}", protocol)
        slot = measured(book, place, value, 1, address, "%")
        words = "mean PCKh@0.5" if metric == "Mean" else metric
        rows.append([Slot(dataset), Slot(size.replace("x", "×")), Slot(protocol), Slot(words), slot])
    if not rows:
        return None
    return view(
        "ceilings",
        "Ceilings",
        ("Data set", "Input", "Protocol", "Metric", "Ceiling"),
        rows,
        "What perfect heat maps would score on this scale's validation persons, on true boxes: the true "
        "joints' targets, decoded and scored as a network's heat maps are. The rest is lost to their pixels.",
    )


def cost_view(results: Results, book: Book) -> tuple[View, dict[str, float]]:
    """Every training's cost, and the totals: device hours and how many trainings."""
    rows, totals = [], {"device_hours": 0.0, "trainings": 0.0}
    for training in results.trainings.values():
        environment = training.environment
        address = _training_address(book, training)
        slots = [Slot(training.id), Slot(device_of(environment))]
        for key, label, factor, digits in COSTS:
            value = training.images_per_second if key == "images_per_s" else environment.get(key)
            scaled = None if value is None else float(value) * factor
            slots.append(measured(book, ("Cost", training.id, label), scaled, digits, address))
        totals["device_hours"] += (training.device_seconds or 0.0) / 3600
        totals["trainings"] += 1
        rows.append(slots)
    labels = ("Training", "Device", *(label for _, label, _, _ in COSTS))
    return view("cost", "Cost of the trainings", labels, rows), totals


COSTS = (
    ("wall_s", "Wall time (s)", 1.0, 1),
    ("device_s", "Device time (s)", 1.0, 1),
    ("peak_memory_bytes", "Peak memory (GiB)", 2.0**-30, 2),
    ("images_per_s", "Images/s", 1.0, 1),
)


def _training_address(book: Book, training: Training) -> str:
    files = file_entries(training.folder, ("config.json", "log.jsonl"))
    commit = Entry("commit", str(training.environment.get("commit") or "unknown")[:12])
    return file_address(book, f"Training {training.id}", training.folder / "environment.json", commit, *files)


def device_of(environment: dict[str, Any]) -> str:
    device = environment.get("device")
    return str(device or "unknown")
