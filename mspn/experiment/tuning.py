"""The search for recipes: every candidate of every family, trained and scored alike.

A scale that searches (``search:`` in its YAML file) trains each of its runs once with each candidate; the
rest of the graph is the usual one. Its data have seeds of their own, so that nothing is chosen on the images
that it is measured on later.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from mspn.errors import UserError
from mspn.experiment.experiment import Experiment
from mspn.experiment.networks import family
from mspn.files import read_json

RECIPE = ("lr", "iterations", "batch", "precision")
LAST_STEPS = 50


def search_table(experiment: Experiment) -> pd.DataFrame:
    """A row for each candidate and seed, with its recipe and what came of it.

    ``AP`` with its bootstrap interval ``low`` to ``high`` in percent under the paper's protocol; ``loss`` of
    the last stage's finest scale over the last steps; ``train_s`` seconds of training. Raises UserError
    where the scale does not search or an evaluation is missing.
    """
    if not experiment.scale.search:
        raise UserError(f"scale {experiment.scale.name}: nothing to search: its file has no `search:`")
    return pd.DataFrame(_rows(experiment))


def best_rates(table: pd.DataFrame) -> dict[str, float]:
    """The learning rate of highest mean AP in each family, among candidates that differ in nothing else."""
    plain = table[table["iterations"] == table["iterations"].max()]
    plain = plain[plain["precision"] == plain["precision"].mode()[0]]
    mean = plain.groupby(["family", "lr"])["AP"].mean()
    return {str(name): float(group.idxmax()[1]) for name, group in mean.groupby("family")}


def _rows(experiment: Experiment) -> Iterator[dict[str, Any]]:
    for run, seed, detector in experiment.evaluations():
        path = experiment.evaluation_folder(run, seed, detector) / "metrics.json"
        if not path.is_file():
            raise UserError(f"{path}: not there; `snakemake --config scale={experiment.scale.name}` makes it")
        (row,) = (r for r in read_json(path)["rows"] if (r["protocol"], r["metric"]) == ("paper", "AP"))
        recipe, folder = experiment.recipe(run), experiment.training_folder(run, seed)
        yield {
            "family": family(run.network),
            "network": run.network,
            **{key: getattr(recipe, key) for key in RECIPE},
            "seed": seed,
            **{"AP": row["value"], "low": row["low"], "high": row["high"]},
            "loss": _final_loss(folder / "log.jsonl"),
            "train_s": read_json(folder / "environment.json")["wall_s"],
        }


def _final_loss(log: Path) -> float:
    lines = log.read_text(encoding="utf-8").splitlines()[-LAST_STEPS:]
    return sum(json.loads(line)["losses"][-1][-1] for line in lines) / len(lines)
