"""``runs.csv`` and ``curve.csv``: every measured number in a row of its own, for plots of one's own.

Numbers in full precision with an ASCII minus, nothing where there is none; docs/results.md tells each column.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mspn.evaluation.rescoring import MAIN
from mspn.experiment.experiment import Experiment
from mspn.experiment.grid import Run
from mspn.experiment.paper import FLOPS, Figures
from mspn.files import write_text
from mspn.report import fits, points
from mspn.report.budgets import budgets
from mspn.report.claim_parts import DET
from mspn.report.draws import Draws
from mspn.report.results import Results

# What a run is and what it cost, in both files.
RUN = ["run", "family", "stages", "input"]
COST = [
    "samples", "budget", "gflops_trained", "gflops_full", "parameters_trained", "parameters_full",
    "latency_ms", "latency_of_32_ms", "train_s",
]  # fmt: skip
FIGURE = ["metric", "value", "low", "high"]
RUNS = [*RUN, "seed", "boxes", "protocol", "split", *COST, *FIGURE, "stale"]
CURVE = [
    *RUN, "seeds", "boxes", "protocol", "split", *COST, *FIGURE, "pareto", "ceiling", "gflops_paper",
    "value_paper",
]  # fmt: skip


def write_tidy(results: Results, paper: Figures, draws: Draws, out: Path) -> None:
    for name, columns, rows in (
        ("runs", RUNS, _runs(results)),
        ("curve", CURVE, _curve(results, paper, draws)),
    ):
        table = pd.DataFrame(list(rows), columns=columns)
        whole = ["stages", "samples", "parameters_trained", "parameters_full", "seed", "seeds"]
        table = table.astype({column: "Int64" for column in whole if column in columns})
        write_text(out / f"{name}.csv", table.to_csv(index=False, lineterminator="\n"))


def _about(results: Results, run: Run, boxes: str, protocol: str) -> dict[str, Any]:
    """The columns that are a run's own."""
    row, experiment = run.row or run.run, results.experiment
    height, width = experiment.input_size(run)
    return {
        "run": run.run,
        "family": points.family_name(run),
        "stages": points.stages(run),
        "input": f"{height}x{width}",
        "boxes": boxes,
        "protocol": protocol,
        "split": _split(experiment, run),
        "samples": points.samples(experiment, run),
        "budget": points.share_of_budget(experiment, run),
        "gflops_trained": points.trained_gflops(results, run.run),
        "gflops_full": points.number(results.flops, row, "gflops_paper_convention"),
        "parameters_trained": points.number(results.trained, run.run, "parameters"),
        "parameters_full": points.number(results.flops, row, "parameters"),
        "latency_ms": points.number(results.latency, run.run, "ms_per_crop"),
        "latency_of_32_ms": points.number(results.latency, run.run, "ms_per_crop_of_32"),
        "train_s": points.training_seconds(results, run.run),
    }


def _split(experiment: Experiment, run: Run) -> str:
    from mspn.data.load import split_name

    dataset = run.datasets[0]
    return f"{dataset} {split_name(experiment.scale.datasets[dataset], 'val')}"


def _runs(results: Results) -> Iterator[dict[str, Any]]:
    """A row for each evaluation, protocol and metric."""
    m = results.metrics
    for (name, boxes, seed), evaluation in results.evaluations.items():
        run = results.experiment.grid[name]
        training = results.training(run, seed)
        own = {
            **_about(results, run, boxes, ""),
            "seed": seed,
            "stale": evaluation.stale,
            "train_s": training.device_seconds if training else None,
        }
        for record in m[(m.run == name) & (m.detector == boxes) & (m.seed == seed)].to_dict("records"):
            figure = _figure(record["metric"], record["value"], record["low"], record["high"])
            yield own | {"protocol": record["protocol"]} | figure


def _figure(metric: str, value: float, low: float, high: float) -> dict[str, Any]:
    """A value with its interval; an interval of no width is none."""
    ends = {"low": low, "high": high} if low < high else {}
    return {"metric": metric, "value": value, **ends}


def _curve(results: Results, paper: Figures, draws: Draws) -> Iterator[dict[str, Any]]:
    """A row for each point of each curve, metric and budget, the mean over seeds."""
    boxes = results.experiment.boxes_for(DET)
    metrics = dict.fromkeys(results.metrics.metric[results.metrics.protocol == MAIN])
    front = on_the_front(results, paper, draws)
    printed = printed_points(paper)
    for one in points.families(results.experiment, paper):
        for name in one.runs:
            run = results.experiment.grid.get(name)
            names = budgets(results, run).values() if run else ()
            for part in (results.experiment.grid[name] for name in names):
                about = _about(results, part, boxes, MAIN) | {"family": one.name}
                for metric in metrics:
                    estimate = results.estimate(part.run, boxes, metric, MAIN)
                    if estimate is None:
                        continue
                    row = about | _figure(metric, estimate.value, estimate.low, estimate.high)
                    row["seeds"] = len(estimate.seeds)
                    if metric == "AP":
                        row["pareto"] = front.get(part.run)
                        row["ceiling"] = points.ceiling(results, part)
                    if metric == "AP" and part is run and name in printed:
                        row["gflops_paper"], row["value_paper"] = printed[name]
                    yield row


def on_the_front(results: Results, paper: Figures, draws: Draws) -> dict[str, float]:
    """Run -> the share of draws in which it is on the front of AP against trained FLOPs."""
    runs = dict.fromkeys(run for one in points.families(results.experiment, paper) for run in one.runs)
    x = {run: points.trained_gflops(results, run) for run in runs if draws.has(run, DET)}
    known = {run: value for run, value in x.items() if value is not None}
    if not known:
        return {}
    y = np.column_stack([draws.draw(run, DET) for run in known])
    return dict(zip(known, fits.pareto(np.array([*known.values()]), y).tolist(), strict=True))


def printed_points(paper: Figures) -> dict[str, tuple[float, float]]:
    """Run -> (GFLOPs, AP on COCO minival with the authors' boxes) as the paper prints them."""
    flops = {f.run: f.number for f in paper.values() if f.column == FLOPS and f.run}
    first = reversed(list(paper.values()))  # what stands in several tables is taken from the first
    ap = {f.run: f.number for f in first if f.detector == DET and f.split == "COCO minival"}
    return {run: (flops[run], ap[run]) for run in flops if run in ap}
