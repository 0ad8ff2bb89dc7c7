"""All results of a scale, gathered from their files into a few tidy tables."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from mspn.errors import UserError
from mspn.experiment.experiment import Experiment
from mspn.experiment.grid import Run
from mspn.experiment.log import LOG
from mspn.report.reading import (
    Damage,
    check_log,
    read_box_metrics,
    read_ceilings,
    read_metrics,
    read_record,
    read_table,
    stale,
)

METRIC_COLUMNS = ["run", "detector", "seed", "protocol", "metric", "value", "low", "high"]


@dataclass(frozen=True)
class Evaluation:
    """One evaluation's place and address, as its ``metrics.json`` tells it."""

    run: str
    seed: int
    detector: str
    folder: Path
    address: dict[str, Any]
    stale: str  # why it does not belong to the current configuration; empty where it does


@dataclass(frozen=True)
class Training:
    """One training's folder, configuration and environment; its log is read when a curve is drawn."""

    id: str
    folder: Path
    config: dict[str, Any]
    environment: dict[str, Any]

    @property
    def device_seconds(self) -> float | None:
        """Seconds of the device that it trained on; None where they were not recorded."""
        seconds = self.environment.get("device_s")
        return None if seconds is None else float(seconds)

    @property
    def images_per_second(self) -> float | None:
        """Training samples per second of wall time, checkpoints and waiting included."""
        recipe, wall = self.config.get("recipe", {}), self.environment.get("wall_s")
        return recipe["batch"] * recipe["iterations"] / wall if recipe and wall else None

    def curve(self) -> tuple[list[float], list[float]] | None:
        """(steps, losses of the last stage's finest scale), means of neighbours; None without a log."""
        path = self.folder / LOG
        if not path.is_file():
            return None
        steps, losses = [], []
        for number, lines in sampled_lines(path):
            try:
                records = [json.loads(line) for line in lines]
                steps.append(float(np.mean([record["step"] for record in records])))
                losses.append(float(np.mean([record["losses"][-1][-1] for record in records])))
            except (KeyError, IndexError, TypeError, ValueError) as error:
                raise UserError(
                    f"{path}, near byte {number}: not a line of a training's log: {error}"
                ) from None
        return (steps, losses) if steps else None


def sampled_lines(path: Path, samples: int = 150, window: int = 4096) -> Iterator[tuple[int, list[bytes]]]:
    """(place, whole lines) at up to ``samples`` places of a file of lines, at most ``window`` bytes at each.

    A schedule of 90,000 steps logs tens of megabytes; a curve needs a few hundred points of it.
    """
    size = path.stat().st_size
    if size <= samples * window:
        lines = path.read_bytes().splitlines()
        group = max(1, len(lines) // samples)
        for start in range(0, len(lines), group):
            yield start, lines[start : start + group]
        return
    with path.open("rb") as file:
        for i in range(samples):
            place = (size - window) * i // (samples - 1)
            file.seek(place)
            lines = file.read(window).split(b"\n")[1 if place else 0 : -1]
            if lines:
                yield place, lines


@dataclass(frozen=True)
class Estimate:
    """The mean over seeds with a 95 % interval. Seeds lists those that it is made of."""

    value: float
    low: float
    high: float
    seeds: tuple[int, ...]

    @property
    def by_quantity(self) -> dict[str, float]:
        """The value, and the ends; [0.0, 0.0] of a network that finds nothing is no interval."""
        ends = {"low": self.low, "high": self.high} if self.low < self.high else {}
        return {"ours": self.value, **ends}


@dataclass(frozen=True)
class Results:
    """What a scale has: empty tables where nothing has been run."""

    experiment: Experiment
    metrics: pd.DataFrame
    evaluations: dict[tuple[str, str, int], Evaluation]
    trainings: dict[str, Training]
    flops: dict[str, dict[str, Any]]  # a record by run
    flops_file: Path
    latency: dict[str, dict[str, Any]]  # a record by run
    boxes: dict[tuple[str, str], dict[str, Any]]
    foreign: tuple[str, ...]  # evaluations of runs, seeds or detectors that the scale does not have
    superseded: tuple[str, ...]  # trainings of another configuration or other code
    trained: dict[str, dict[str, Any]]  # FLOPs as the scale trains the networks, a record by run
    ceilings: dict[tuple[str, str, str, str], float]  # (data set, input, protocol, metric) -> percent
    unbound: tuple[str, ...]  # runs of evaluations that no hashes tie to their files, one each

    @property
    def trained_file(self) -> Path:
        """The FLOPs of the networks that the scale trains."""
        return self.experiment.results / "flops" / "trained.csv"

    def training(self, run: Run, seed: int) -> Training | None:
        return self.trainings.get(self.experiment.training_id(run, seed)) if run.network else None

    def estimate(self, run: str, detector: str, metric: str, protocol: str = "paper") -> Estimate | None:
        """The mean over seeds and its 95 % interval; None where there is no evaluation.

        Each seed's interval is over images (bootstrap). All seeds see the same images, so that averaging does
        not narrow it: the images' half widths are averaged, and the standard error of the seeds' mean, times
        Student's 97.5 % point, is added in quadrature. The deviation over seeds is ``spread``'s, as two or
        three seeds of one run would tell next to nothing. No run with two seeds: the images' interval alone.
        What of that deviation is the images' noise again is small beside their own and left in; contrasts,
        where it is not small, take it out (``mspn.report.draws``).
        """
        rows = self._by_figure.get((run, detector, metric, protocol))
        if rows is None:
            return None
        seeds, values, low, high = rows
        deviation, freedom = self.spread(metric, protocol)
        mean, noise = float(values.mean()), seed_halfwidth(deviation, freedom, len(seeds))
        below, above = float((values - low).mean()), float((high - values).mean())
        return Estimate(mean, mean - math.hypot(below, noise), mean + math.hypot(above, noise), seeds)

    def by_seed(self, run: str, detector: str, metric: str, protocol: str = "paper") -> dict[int, float]:
        """Seed -> the metric; empty where the run has not been evaluated on the detector."""
        rows = self._by_figure.get((run, detector, metric, protocol))
        return {} if rows is None else dict(zip(rows[0], map(float, rows[1]), strict=True))

    def spread(self, metric: str, protocol: str = "paper") -> tuple[float, int]:
        """The standard deviation of a metric over seeds, pooled over runs, and its degrees of freedom.

        Those are 0 where no run has two seeds. Each training counts once: not again for further detectors,
        for an ensemble of it, or for the partial budgets that it branched into.
        """
        squares, freedom = self._squares.get((metric, protocol), (0.0, 0))
        return (math.sqrt(squares / freedom), freedom) if freedom else (0.0, 0)

    @cached_property
    def _squares(self) -> dict[tuple[str, str], tuple[float, int]]:
        """(metric, protocol) -> sum of squared deviations from the runs' means, and degrees of freedom."""
        first = {
            run.run: self.experiment.detectors(run)[0]
            for run in self.experiment.trained
            if not is_partial(run)
        }
        table: dict[tuple[str, str], tuple[float, int]] = {}
        for (run, detector, metric, protocol), (seeds, values, _, _) in self._by_figure.items():
            if first.get(run) == detector:
                squares, freedom = table.get((metric, protocol), (0.0, 0))
                squares += float(((values - values.mean()) ** 2).sum())
                table[metric, protocol] = (squares, freedom + len(seeds) - 1)
        return table

    @cached_property
    def _by_figure(
        self,
    ) -> dict[tuple[str, str, str, str], tuple[tuple[int, ...], np.ndarray, np.ndarray, np.ndarray]]:
        """(run, detector, metric, protocol) -> seeds, values, low and high ends; nulls (no person counts)
        left out.
        """
        known = self.metrics[self.metrics.value.notna()]
        table = {}
        for key, rows in known.groupby(["run", "detector", "metric", "protocol"]):
            columns = (rows[name].to_numpy(float) for name in ("value", "low", "high"))
            table[key] = (tuple(map(int, rows.seed)), *columns)
        return table  # type: ignore[return-value]


def is_partial(run: Run) -> bool:
    """Whether the run is another one stopped early: a branch of the same training, cooled down."""
    return "iterations" in dict(run.changes)


def seed_halfwidth(deviation: float, freedom: int, seeds: int) -> float:
    """Half the 95 % interval of the mean over seeds (Student's t); 0 where the deviation is not known."""
    return float(stdtrit(freedom, 0.975)) * deviation / math.sqrt(seeds) if freedom else 0.0


def collect(experiment: Experiment) -> Results:
    """Read every result of the scale. Absent files are absences; UserError names all that are damaged."""
    damage = Damage()
    results = gather(experiment, damage)
    damage.refuse(experiment.scale.name)
    return results


def gather(experiment: Experiment, damage: Damage) -> Results:
    """Every result of the scale but the damaged ones, which ``damage`` notes."""
    evaluations, frames, foreign, unbound = {}, [], [], []
    wanted = {(run.run, str(seed), detector) for run, seed, detector in experiment.evaluations()}
    for path in sorted((experiment.results / "runs").glob("*/seed-*/*/metrics.json")):
        run, seed, detector = path.parts[-4], path.parts[-3].removeprefix("seed-"), path.parts[-2]
        if (run, seed, detector) not in wanted:
            foreign.append(str(path))
            continue
        row = experiment.grid[run]
        found = damage.reading(path, read_metrics, row.joint_set)
        if found is None:
            continue
        address, rows, bound = found
        why = stale(experiment, row, int(seed), detector, address, damage)
        evaluations[run, detector, int(seed)] = Evaluation(
            run, int(seed), detector, path.parent, address, why
        )
        unbound += [] if bound else [run]
        frames.append(rows.assign(run=run, detector=detector, seed=int(seed)))
    metrics = pd.concat(frames)[METRIC_COLUMNS] if frames else pd.DataFrame(columns=METRIC_COLUMNS)
    folders = {path.name: path for path in sorted((experiment.results / "trainings").glob("*/"))}
    flops, trained = (experiment.results / "flops" / name for name in ("flops.csv", "trained.csv"))
    boxes = [
        path.with_name(path.name.removesuffix(".metrics.json") + ".json")
        for path in sorted((experiment.results / "boxes").glob("*/*.metrics.json"))
    ]
    return Results(
        experiment,
        metrics.reset_index(drop=True),
        evaluations,
        {name: _read_training(folders[name], damage) for name in experiment.trainings() if name in folders},
        damage.reading(flops, read_table) or {},
        flops,
        damage.reading(experiment.results / "latency.csv", read_table) or {},
        {(path.parent.name, path.stem): damage.reading(path, read_box_metrics) or {} for path in boxes},
        tuple(foreign),
        tuple(sorted(set(folders) - set(experiment.trainings()))),
        damage.reading(trained, read_table) or {},
        damage.reading(experiment.results / "ceiling.json", read_ceilings) or {},
        tuple(unbound),
    )


def _read_training(folder: Path, damage: Damage) -> Training:
    paths = (folder / "config.json", folder / "environment.json")
    config, environment = (damage.reading(path, read_record) or {} for path in paths)
    damage.reading(folder / LOG, check_log, environment)
    return Training(folder.name, folder, config, environment)
