"""The page's first screen: what was learnt of each claim, what was trained, and what to know beforehand."""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from mspn.evaluation.rescoring import MAIN
from mspn.experiment.experiment import Experiment
from mspn.experiment.grid import Run
from mspn.report import points
from mspn.report.addresses import evaluation_address
from mspn.report.cells import Book, Cell
from mspn.report.claims import VERDICTS
from mspn.report.reference import Reference
from mspn.report.results import Estimate, Results, is_partial
from mspn.report.views import Slot

SHOWN = 3  # statements of one verdict that are named; the rest are counted
# Verdicts that rest on a number.
MEASURED = ("supported", "contradicted", "undecided", "budget-limited", "about these weights")
UNMEASURED = ("not run", "not checkable here")
# What is no news in a sentence: the second is said once for the whole scale.
NO_NEWS = ("exact", "convergence not measured")
NETWORKS = 6  # networks, the best ones first; the rest are counted
NAMED = 5  # of a long list; the rest are counted


def learnt(claim: dict[str, Any]) -> list[dict[str, Any]]:
    """The parts of a claim's sentence, one for each verdict that its statements have, in `VERDICTS`' order.

    ``claim`` is what `claims_view.claim_context` gives. A part has the ``verdict``; ``statements``, the first
    few with their words and, where they were measured, the slot of what was; how many ``more``; and the first
    ``reason`` with how many ``others`` there are, but of what was not run: its words say what is missing.
    """
    ordered = sorted(claim["statements"], key=lambda statement: VERDICTS.index(statement["verdict"]))
    parts = []
    for verdict, group in groupby(ordered, key=lambda statement: statement["verdict"]):
        statements = list(group)
        reasons = dict.fromkeys(filter(None, (_news(s["reason"]) for s in statements)))
        parts.append(
            {
                "verdict": verdict,
                "statements": [
                    {"words": s["words"], "unit": s["unit"], "ours": _measured(s)} for s in statements[:SHOWN]
                ],
                "more": max(0, len(statements) - SHOWN),
                "reason": "" if verdict == "not run" else next(iter(reasons), ""),
                "others": max(0, len(reasons) - 1),
            }
        )
    return parts


def is_silent(parts: list[dict[str, Any]]) -> bool:
    """Whether nothing at all was found out of a claim."""
    return all(part["verdict"] in UNMEASURED for part in parts)


def _news(reason: str) -> str:
    return "; ".join(part for part in reason.split("; ") if part not in NO_NEWS)


def _measured(statement: dict[str, Any]) -> Slot | None:
    """The slot of what was measured, where the verdict rests on it."""
    slot: Slot = statement["ours"]
    return slot if slot.cells and statement["verdict"] in MEASURED else None


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
            for _, run, metric, known in found[:NETWORKS]
        ],
        "more": max(0, len(found) - NETWORKS),
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


def warnings(results: Results) -> list[str]:
    """A sentence for each thing to know before the numbers are read."""
    stale = sorted({e.run for e in results.evaluations.values() if e.stale})
    words = [
        f"The boxes of {other} stand in for those of {name} in tables, figures and claims, but where "
        "detectors are compared."
        for name, other in results.experiment.scale.stand_in.items()
    ]
    words += _lacking(results)
    if results.evaluations and not any(map(is_partial, results.experiment.grid.values())):
        words.append("Each run was trained at one budget: whether it has converged was not measured.")
    if stale:
        words.append(
            "Measured with another configuration or other code than the present one, on weights that were "
            "trained again since, or on other annotations or boxes (snakemake -R evaluate measures anew): "
            f"{some(stale)}."
        )
    if results.unbound:
        words.append(
            f"{len(results.unbound)} of {len(results.evaluations)} evaluations are not tied to their files "
            "by hashes: an older version wrote them, or their matches are not here; where those are, every "
            f"figure was computed again and is the same. They are of {some(sorted(set(results.unbound)))}."
        )
    if results.foreign:
        words.append(f"Results of no run of this scale, left out of everything: {some(results.foreign)}.")
    if results.superseded:
        words.append(
            "Trainings of another configuration or other code, left out of everything (`mspn doctor` says "
            f"more): {some(results.superseded)}."
        )
    return words


def _lacking(results: Results) -> list[str]:
    """What the graph makes and the folder does not have."""
    experiment, words = results.experiment, []
    wanted = {(run.run, seed, detector) for run, seed, detector in experiment.evaluations()}
    there = {(run, seed, detector) for run, detector, seed in results.evaluations}
    if missing := [run for run in experiment.grid if any(key[0] == run for key in wanted - there)]:
        words.append(
            f"{len(wanted - there)} of {len(wanted)} evaluations are not there, of the runs {some(missing)}."
        )
    files = {
        "the FLOPs at full size": results.flops,
        "the FLOPs of the trained networks, without which there are no curves": results.trained,
        "what perfect heat maps would score": results.ceilings,
        "latency": results.latency,
    }
    if lacks := [name for name, found in files.items() if not found]:
        words.append(f"Not measured: {'; '.join(lacks)}.")
    return words


def some(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")
