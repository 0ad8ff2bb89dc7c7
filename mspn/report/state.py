"""What the page's first screen says of a results folder: what it lacks, and what does not belong in it."""

from collections.abc import Sequence

from mspn.report.results import Results, is_partial

NAMED = 5  # of a long list; the rest are counted


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
