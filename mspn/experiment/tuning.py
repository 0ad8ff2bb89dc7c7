"""The search for recipes, by successive halving: rounds of candidates, of which the better ones go on.

A scale that searches (``search:`` in its YAML file) trains each of its runs with each candidate, briefly at
first, then the best of them longer; the rest of the graph is the usual one. Its data and seeds are its own,
so that nothing is chosen on what it is measured on later.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mspn.errors import UserError
from mspn.experiment.experiment import Experiment
from mspn.experiment.grid import Run
from mspn.experiment.log import LOG, TRAIN_AGAIN, read_log
from mspn.experiment.networks import family
from mspn.files import read_sealed

LAST_STEPS = 50
AGAIN = "make it again: snakemake -R and its name"


def searched(experiment: Experiment) -> list[str]:
    """The rows of the grid whose recipes are searched for, in order; UserError where the scale has none."""
    if experiment.scale.search is None:
        raise UserError(f"scale {experiment.scale.name}: nothing to search: its file has no `search:`")
    return list(dict.fromkeys(run.row for run in experiment.grid.values()))


def candidate(run: Run) -> str:
    """What is tried, whatever the round: ``lr 0.02``."""
    return ", ".join(f"{key} {value}" for key, value in run.changes if key != "iterations")


def round_evaluations(
    experiment: Experiment, row: str, number: int, kept: Callable[[str, int], list[str]]
) -> list[tuple[Run, int, str]]:
    """The evaluations (run, seed, detector) of a row's candidates in a round (1, 2, ...) of the search.

    ``kept(row, n)`` gives the candidates that round n keeps; asked for the round before, if there is one.
    """
    assert experiment.scale.search is not None
    iterations = experiment.scale.search.rounds[number - 1].iterations
    left = kept(row, number - 1) if number > 1 else None
    return [
        (run, seed, detector)
        for run, seed, detector in experiment.evaluations()
        if run.row == row
        and dict(run.changes)["iterations"] == iterations
        and (left is None or candidate(run) in left)
    ]


def round_file(experiment: Experiment, row: str, number: int) -> Path:
    """Where the outcome of a row's round lies."""
    return experiment.results / "search" / f"{row}-round-{number}.json"


def decide_round(experiment: Experiment, row: str, number: int) -> dict[str, Any]:
    """What came of a row's candidates in a round, best mean AP over seeds first, and which are kept."""
    if row not in searched(experiment) or not 1 <= number <= len(_rounds(experiment)):
        raise UserError(f"scale {experiment.scale.name}: no round {number} of a search for {row!r}")

    def kept(row: str, before: int) -> list[str]:
        return list(read_sealed(round_file(experiment, row, before), "outcome of a round", AGAIN)["kept"])

    found: dict[str, list[dict[str, Any]]] = {}
    for run, seed, detector in round_evaluations(experiment, row, number, kept):
        found.setdefault(candidate(run), []).append(_result(experiment, run, seed, detector))
    means = {name: sum(r["AP"] for r in results) / len(results) for name, results in found.items()}
    order = sorted(means, key=lambda name: -means[name])
    return {
        "row": row,
        "round": number,
        "kept": order[: _rounds(experiment)[number - 1].keep],
        "candidates": [result for name in order for result in found[name]],
    }


def search_table(experiment: Experiment) -> list[dict[str, Any]]:
    """A record for each candidate, round and seed of every row, with what came of it, in percent and seconds.

    ``AP`` with its bootstrap interval ``low`` to ``high`` under the paper's protocol; ``loss`` of the last
    stage's finest scale over the last steps; ``train_s`` of training, its trunk's included; ``kept`` by the
    round; ``best`` of the last round.
    """
    table = []
    for row in searched(experiment):
        for number, _ in enumerate(_rounds(experiment), 1):
            outcome = read_sealed(round_file(experiment, row, number), "outcome of a round", AGAIN)
            last = number == len(_rounds(experiment))
            for result in outcome["candidates"]:
                kept = result["candidate"] in outcome["kept"]
                best = last and result["candidate"] == outcome["kept"][0]
                table.append({"row": row, "round": number, **result, "kept": kept, "best": best})
    return table


def _rounds(experiment: Experiment) -> list[Any]:
    assert experiment.scale.search is not None
    return experiment.scale.search.rounds


def _result(experiment: Experiment, run: Run, seed: int, detector: str) -> dict[str, Any]:
    path = experiment.evaluation_folder(run, seed, detector) / "metrics.json"
    if not path.is_file():
        raise UserError(f"{path}: not there; `snakemake --config scale={experiment.scale.name}` makes it")
    (row,) = (
        r
        for r in read_sealed(path, "metrics file", AGAIN)["rows"]
        if (r["protocol"], r["metric"]) == ("paper", "AP")
    )
    recipe, folder = experiment.recipe(run), experiment.training_folder(run, seed)
    record = read_sealed(folder / "environment.json", "training's record", TRAIN_AGAIN)
    return {
        "candidate": candidate(run),
        "family": family(run.network),
        "network": run.network,
        "lr": recipe.lr,
        "iterations": recipe.iterations,
        "samples": recipe.iterations * recipe.batch,
        "seed": seed,
        **{"AP": row["value"], "low": row["low"], "high": row["high"]},
        "loss": _final_loss(read_log(folder / LOG, record, TRAIN_AGAIN)),
        "train_s": record["wall_s"],
    }


def _final_loss(log: bytes) -> float:
    losses = [json.loads(line)["losses"][-1][-1] for line in log.splitlines()[-LAST_STEPS:]]
    return float(sum(losses) / len(losses))
