"""The report's own tables: all evaluations, PCK, protocols, detectors; and the environment."""

from itertools import pairwise

from mspn.data.skeletons import skeleton
from mspn.evaluation.protocols import STEPS
from mspn.evaluation.rescoring import MAIN
from mspn.report.addresses import evaluation_address, file_address
from mspn.report.cells import Book, Entry, signed
from mspn.report.costs import device_of
from mspn.report.imported import IMPORTED_NOTE, METRICS, ends_of, figure_of, imported_rows
from mspn.report.points import whole
from mspn.report.results import Results
from mspn.report.views import Slot, View, measured, number, view

HEAD = "PCKh@0.5 mean"


def evaluations_view(results: Results, book: Book) -> View:
    """Every evaluation: run, detector, seed, and its figures under the protocol ``paper``."""
    figures = main_figures(results)
    rows = []
    for run, detector, seed in results.evaluations:
        address = evaluation_address(book, results, run, detector, [seed], MAIN)
        mpii = results.experiment.grid[run].joint_set == "mpii"
        slots = [Slot(run), Slot(detector), Slot(str(seed))]
        for metric in METRICS:
            figure = figures.get((run, detector, seed, metric))
            if figure is None:
                slots.append(Slot("–" if mpii == (metric == "Mean") else ""))
            else:
                place = ("Evaluations", f"{run} on {detector}, seed {seed}", metric)
                slots.append(Slot(cells=book.add_all(*place, ends_of(metric, figure), address)))
        stale = results.evaluations[run, detector, seed].stale
        slots.append(Slot("stale" if stale else ""))
        rows.append(slots)
    imported = imported_rows(results.experiment, book)
    labels = ("Run", "Boxes", "Seed", *METRICS[:-1], HEAD, "State")
    return view(
        "evaluations",
        "All evaluations, protocol “paper”",
        labels,
        rows + imported,
        "Each seed for itself; the interval is over images (95 %, bootstrap), those of the other figures are "
        "in runs.csv. Stale: of another configuration or other code than the present one.",
        *([IMPORTED_NOTE] if imported else []),
    )


def pck_view(results: Results, book: Book) -> View | None:
    """Every evaluation's PCK under the protocol ``paper``; None where no data set's joints have a length."""
    figures = main_figures(results)
    skeletons = [skeleton(run.joint_set) for run in results.experiment.grid.values()]
    names = {one.name for joints in skeletons if joints.sigmas is not None for one in joints.pck}
    there = results.metrics.metric[results.metrics.protocol == MAIN].unique()
    columns = [name for name in there if name.split(" ")[0] in names]
    if not columns:
        return None
    rows: list[list[Slot]] = []
    without: dict[str, dict[str, int]] = {}
    for run, detector, seed in results.evaluations:
        address = evaluation_address(book, results, run, detector, [seed], MAIN)
        without |= results.evaluations[run, detector, seed].address.get("pck", {})
        slots = [Slot(run), Slot(detector), Slot(str(seed))]
        for metric in columns:
            figure = figures.get((run, detector, seed, metric))
            place = ("PCK", f"{run} on {detector}, seed {seed}", metric)
            slots.append(Slot(cells=book.add_all(*place, figure, address)) if figure else Slot("–"))
        rows.append(slots)
    notes = [
        f"{name}: {counts['without_length']} of {counts['persons']} persons lack the length and do not count."
        for name, counts in without.items()
    ]
    labels = ("Run", "Boxes", "Seed", *columns)
    return view("pck", "PCK by kind of joint, protocol “paper”", labels, rows, *notes)


def main_figures(results: Results) -> dict[tuple[str, str, int, str], dict[str, float]]:
    """(run, detector, seed, metric) -> the figure under the main protocol, with its ends, by quantity."""
    m = results.metrics
    known = m[(m.protocol == MAIN) & m.value.notna()]
    return {(r["run"], r["detector"], r["seed"], r["metric"]): figure_of(r) for r in known.to_dict("records")}


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
            value, place = content.get(key), ("Detectors", f"{detector} on {dataset}", label)
            slots.append(measured(book, place, None if value is None else float(value), digits, address))
        rows.append(slots)
    labels = ("Detector", "Data set", "Kind", *(label for _, label, _ in columns))
    return view(
        "detectors", "Detectors", labels, rows, "Box AP is not defined on MPII, whose persons are given."
    )


# Another number of threads or processes, memory layout or instruction set adds in another order: the weights
# are then as another seed's.
_MADE_WITH = {
    "instructions": "instructions of the CPU",
    "world": "processes of a training",
    "micro_batch": "samples that a process adds up at once",
}


def environment_rows(results: Results) -> list[tuple[str, str]]:
    """What the results were made with: (name, values) with every distinct value and nothing else."""
    found: dict[str, dict[str, None]] = {}
    sources = [t.environment for t in results.trainings.values()]
    # A training that was continued may have been on several machines; its own record has the last.
    sources += [
        a for t in results.trainings.values() for a in t.environment.get("attempts", []) if "device" in a
    ]
    sources += [e.address for e in results.evaluations.values()]
    for source in sources:
        own = {key: source.get(key) for key in ("commit", "dirty")} | {"device": device_of(source)}
        own |= {words: source.get(key) for key, words in _MADE_WITH.items()}
        tables = [source.get(key) for key in ("versions", "machine", "options")]
        told = [pair for pair in own.items() if pair[1] is not None]
        told += [pair for table in tables if isinstance(table, dict) for pair in table.items()]
        for name, value in told:
            found.setdefault(name, {})[str(value)] = None
    return [(name, ", ".join(values)) for name, values in found.items()]
