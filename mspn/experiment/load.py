"""From a scale's name to its experiment: the grid's runs, what searches and budgets add, all checked."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from mspn.errors import UserError
from mspn.experiment.config import load_scale, scale_path
from mspn.experiment.experiment import Experiment
from mspn.experiment.grid import DATA, GRID, Run, load_grid
from mspn.experiment.networks import NETWORKS, family


def load_experiment(scale: str, grid: Path = GRID) -> Experiment:
    """Read and check a scale and the grid together; UserError says what is wrong, before any work starts."""
    config = load_scale(scale)
    runs = load_grid(grid)
    if config.runs is not None:
        unknown = [name for name in config.runs if name not in runs]
        if unknown:
            raise UserError(f"scale {config.name}: runs: unknown {unknown}; the grid has: {', '.join(runs)}")
        runs = {name: run for name, run in runs.items() if name in config.runs}
    known = {run.network for run in runs.values() if run.network} | set(NETWORKS)
    unknown = [name for name in config.tuned if name not in known | {family(network) for network in known}]
    if unknown:
        raise UserError(f"scale {config.name}: tuned: {unknown} are neither families nor networks")
    runs = _expand(Experiment(config, runs))
    experiment = Experiment(config, runs)
    for run in runs.values():
        _check_run(experiment, run)
    return experiment


def scale_name(scale: str) -> str:
    """A scale's shortest spelling: its name where the file lies among the others, else its path as given."""
    path = scale_path(scale)
    own = scale_path(path.stem)
    return path.stem if path.resolve() == own.resolve() else scale


def _expand(experiment: Experiment) -> dict[str, Run]:
    """The runs, with those that a search or partial budgets make of each."""
    scale = experiment.scale
    found: dict[str, Run] = {}
    for run in experiment.grid.values():
        if scale.search is None:
            found[run.run] = run
            for share in scale.budgets if run.network else ():
                recipe = experiment.recipe(run)
                part = _variant(run, recipe.batch, {"iterations": round(share * recipe.iterations)})
                found[part.run] = replace(part, detectors=run.detectors[:1])
        elif run.network:
            for candidate in scale.search.candidates:
                changes = candidate.model_dump(exclude_none=True)
                for one in scale.search.rounds:
                    batch = experiment.recipe(run).batch
                    part = _variant(run, batch, {**changes, "iterations": one.iterations})
                    found[part.run] = part
    return found


def _variant(run: Run, batch: int, changes: dict[str, Any]) -> Run:
    """A run with changes to its recipe, named after them and the samples seen: ``mspn-2-lr-0.02-6k``."""
    samples = changes["iterations"] * batch
    named = [f"{key}-{value}" for key, value in changes.items() if key != "iterations"]
    budget = f"{samples / 1000:.0f}k" if samples >= 1000 else str(samples)
    name = "-".join([run.run, *named, budget]).replace("_", "-")
    return replace(run, run=name, row=run.run, changes=tuple(changes.items()))


def _check_run(experiment: Experiment, run: Run) -> None:
    scale = experiment.scale
    for table, keys in (
        ("inputs", [run.input]),
        ("datasets", DATA[run.data]),
        ("recipes", [run.joint_set]),
        ("detectors", experiment.detectors(run)),
    ):
        there = getattr(scale, table)
        missing = [key for key in keys if key not in there]
        if missing:
            raise UserError(
                f"scale {scale.name}: run {run.run!r} needs {table} {', '.join(missing)}; "
                f"there are: {', '.join(there)}"
            )
    for member in run.members:
        if member not in experiment.grid:
            raise UserError(f"scale {scale.name}: run {run.run!r} needs its member {member!r} among the runs")
