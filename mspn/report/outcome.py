"""The page's first screen: which networks were trained, on how many samples, and what they score."""

from pathlib import Path
from typing import Any

from mspn.evaluation.rescoring import MAIN
from mspn.experiment.experiment import Experiment
from mspn.experiment.grid import Run
from mspn.report import points
from mspn.report.addresses import evaluation_address
from mspn.report.cells import Book, Cell
from mspn.report.reference import Reference
from mspn.report.results import Estimate, Results, is_partial

NAMED = 6  # networks, the best ones first; the rest are counted


def outcome(results: Results, book: Book) -> dict[str, Any]:
    """What was trained and what came out: ``networks`` (run, metric, a cell for each boxes), best first;
    ``more``, how many are not named; ``samples`` that each saw, as words; ``seeds`` of the scale.

    Of each network the AP (MPII: the mean PCKh) on its first detector's boxes and, where it has those, on
    true ones.
    """
    experiment = results.experiment
    found: list[tuple[float, Run, str, dict[str, Estimate]]] = []
    for run in experiment.trained:
        metric, boxes = "Mean" if run.joint_set == "mpii" else "AP", experiment.detectors(run)
        wanted = dict.fromkeys([boxes[0], *(name for name in boxes if name == "gt")])
        there = {name: results.estimate(run.run, name, metric, MAIN) for name in wanted}
        known = {name: estimate for name, estimate in there.items() if estimate}
        if known and not is_partial(run):
            found.append((max(one.value for one in known.values()), run, metric, known))
    found.sort(key=lambda one: -one[0])
    return {
        "networks": [
            {
                "run": run.run,
                "metric": metric,
                "boxes": {
                    name: _cell(results, book, run.run, name, metric, one) for name, one in known.items()
                },
            }
            for _, run, metric, known in found[:NAMED]
        ],
        "more": max(0, len(found) - NAMED),
        "samples": _samples(experiment),
        "seeds": len(experiment.scale.seeds),
    }


def _cell(results: Results, book: Book, run: str, boxes: str, metric: str, estimate: Estimate) -> Cell:
    address = evaluation_address(book, results, run, boxes, estimate.seeds, MAIN)
    place = ("Summary", f"{run} on {boxes}", metric, "ours")
    return book.add(*place, estimate.value, f"{estimate.value:.1f}", unit="%", address=address)


def _samples(experiment: Experiment) -> str:
    """``16,800`` where all see as many, else ``16,800 to 70,400``."""
    seen = {points.samples(experiment, run) or 0 for run in experiment.trained if not is_partial(run)}
    return " to ".join(f"{number:,}" for number in sorted({min(seen), max(seen)})) if seen else ""


def elsewhere(experiment: Experiment, reference: Reference | None) -> list[tuple[str, Path | None]]:
    """Where more than this scale is: words, and the file where it is there."""
    places = []
    if reference:
        page = reference.folder / "reports" / reference.scale / "index.html"
        places.append((f"the reference run, scale {reference.scale}", page))
    elif experiment.scale.name != "bench":
        places.append(("how orderings are measured with error bars, scale bench", Path("docs/bench.md")))
    if experiment.scale.name != "paper":
        places.append(("COCO and MPII on GPUs, scale paper", Path("docs/cluster.md")))
    return [(words, path if path.is_file() else None) for words, path in places]
