"""The address behind each number: what was run, on what, by which code, and the files that say so."""

from collections.abc import Iterable
from pathlib import Path

from mspn.experiment.paper import FIGURES, Figure
from mspn.report.cells import Book, Entry
from mspn.report.results import Evaluation, Results

# The files of an evaluation's and a training's folder that an address links to, where they are there.
EVALUATION_FILES = ("metrics.json", "predictions.json")
TRAINING_FILES = ("config.json", "log.jsonl", "environment.json")


def paper_address(book: Book, figure: Figure) -> str:
    """Table, page and remarks of a printed figure."""
    entries = [
        Entry("paper", f"Table {figure.table}, page {figure.page}"),
        Entry("row, column", f"{figure.row}, {figure.column}"),
        Entry("unit", figure.unit),
        Entry("split", figure.split or "none: needs no data"),
        *(Entry("remark", remark) for remark in figure.remarks),
        Entry("transcribed in", str(FIGURES), FIGURES),
    ]
    key = f"paper/{figure.table}/{figure.row}/{figure.column}"
    return book.address(key, f"Table {figure.table}: {figure.row}, {figure.column}, as printed", entries)


def evaluation_address(
    book: Book, results: Results, run: str, detector: str, seeds: Iterable[int], protocol: str
) -> str:
    """Run, boxes, protocol, and for each seed checkpoint, config, commit, log and metrics."""
    seeds = tuple(seeds)
    entries = [
        Entry("run", run),
        Entry("scale", results.experiment.scale.name),
        Entry("boxes", detector),
        Entry("protocol", protocol),
        Entry("seeds", ", ".join(map(str, seeds))),
    ]
    for seed in seeds:
        entries += _seed_entries(results, results.evaluations[run, detector, seed])
    return book.address(
        f"evaluation/{run}/{detector}/{protocol}/{seeds}",
        f"{run} on {detector}, protocol {protocol}",
        entries,
    )


def _seed_entries(results: Results, evaluation: Evaluation) -> list[Entry]:
    address = evaluation.address
    entries = [
        Entry("seed", str(evaluation.seed)),
        Entry("stale", evaluation.stale),
        Entry("checkpoint", ", ".join(part[:16] for part in str(address.get("tensor_hash", "")).split("+"))),
        Entry("training", ", ".join(trainings_of(address))),
        Entry("commit", _short(address.get("commit"), 12)),
        Entry("device", _short(address.get("device"), 60)),
        Entry("versions", _short(address.get("versions"), 200)),
    ]
    entries += file_entries(evaluation.folder, EVALUATION_FILES)
    for training in trainings_of(address):
        entries += file_entries(results.experiment.results / "trainings" / training, TRAINING_FILES)
    return [entry for entry in entries if entry.text or entry.link]


def trainings_of(address: dict[str, object]) -> list[str]:
    """The trainings behind an evaluation: one, or an ensemble's members."""
    return str(address.get("training_id", "")).split("+")


def file_entries(folder: Path, names: Iterable[str]) -> list[Entry]:
    """An entry that links to each of the files that is there."""
    return [Entry(name.split(".")[0], name, folder / name) for name in names if (folder / name).is_file()]


def _short(value: object, limit: int = 16) -> str:
    if isinstance(value, dict):
        value = ", ".join(f"{k} {v}" for k, v in value.items())
    elif isinstance(value, list | tuple):
        value = ", ".join(map(str, value))
    return "" if value is None else str(value)[:limit]


def file_address(book: Book, title: str, path: Path, *entries: Entry) -> str:
    """A number read straight from one file."""
    words = "/".join(f"{e.label}={e.text}" for e in entries)
    return book.address(f"file/{path}/{title}/{words}", title, (*entries, Entry("file", str(path), path)))
