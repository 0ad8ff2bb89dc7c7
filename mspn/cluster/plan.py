"""What a scale costs before it is spent: jobs, GPU hours, wall time on N GPUs, disk, and what a budget buys.

What one job costs is in ``mspn.cluster.costs``; here jobs are put one after the other and side by side.
"""

import heapq
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from mspn.cluster.costs import (
    FLIP,
    THROUGHPUT,
    Size,
    Speed,
    boxes,
    choose_speed,
    crop_stores,
    disk_bytes,
    job_needs,
    network_sizes,
    training_flops,
    training_key,
)
from mspn.cluster.effects import detectable
from mspn.errors import UserError
from mspn.experiment.config import SynthData
from mspn.experiment.experiment import Experiment
from mspn.experiment.grid import Run
from mspn.experiment.paper import load_figures


@dataclass(frozen=True)
class Task:
    """A job on GPUs: ``seconds`` on ``gpus`` of them, after the task named ``after`` (if any)."""

    name: str
    rule: Literal["trunk", "train", "evaluate"]
    seconds: float
    gpus: int
    after: tuple[str, ...] = ()

    @property
    def gpu_hours(self) -> float:
        """GPUs times time."""
        return self.seconds * self.gpus / 3600


def gpu_tasks(experiment: Experiment, sizes: dict[str, Size], speed: Speed, gpus_each: int) -> list[Task]:
    """What is still to do, each after what it needs: trunks and trainings on ``gpus_each`` GPUs each, and
    evaluations on one.
    """

    def seconds_of(run: Run, steps: int) -> float:
        measured = speed.measured.get(training_key(experiment, run))
        rate = measured or speed.flops_per_s / training_flops(sizes[run.run])
        return steps * experiment.recipe(run).batch / rate / gpus_each

    tasks = []
    for trunk, (run, seed, steps) in experiment.trunks().items():
        before = 0
        after: tuple[str, ...] = ()
        for step in steps:
            if not (experiment.trunk_folder(run, seed, step) / "state.ckpt").exists():
                name = f"{trunk} to step {step}"
                tasks.append(Task(name, "trunk", seconds_of(run, step - before), gpus_each, after))
                after = (name,)
            before = step
    there = {task.name for task in tasks}
    for training, (run, seed) in experiment.trainings().items():
        if experiment.weights_file(run, seed).exists():
            continue
        recipe, start = experiment.recipe(run), 0
        trunk = ""
        if recipe.cooldown is not None:
            start = recipe.cooldown_start
            trunk = f"{experiment.trunk_id(run, seed)} to step {start}"
        seconds = seconds_of(run, recipe.iterations - start)
        after = (trunk,) if trunk in there else ()
        tasks.append(Task(training, "train", seconds, gpus_each, after))
    to_do = {task.name for task in tasks}
    for run, seed, detector in experiment.evaluations():
        if (experiment.evaluation_folder(run, seed, detector) / "metrics.json").exists():
            continue
        members = [experiment.run(name) for name in run.members] or [run]
        needs = tuple(sorted({experiment.training_id(member, seed) for member in members} & to_do))
        macs = sum(sizes[member.run].macs for member in members)
        seconds = boxes(experiment, run) * FLIP * 2 * macs / speed.flops_per_s
        tasks.append(Task(f"{run.run} seed {seed} on {detector}", "evaluate", seconds, 1, needs))
    return tasks


def wall_time(tasks: list[Task], gpus: int) -> float:
    """Seconds until all tasks are done on ``gpus`` GPUs, longest remaining chain first (list scheduling)."""
    widest = max((task.gpus for task in tasks), default=0)
    if widest > gpus:
        raise UserError(f"a training on {widest} GPUs does not fit on {gpus}; lower --gpus-each")
    tail = {task.name: 0.0 for task in tasks}
    for task in reversed(tasks):
        for name in task.after:
            tail[name] = max(tail[name], task.seconds + tail[task.name])
    waiting = sorted(tasks, key=lambda task: -(task.seconds + tail[task.name]))
    running: list[tuple[float, int, str]] = []
    done: set[str] = set()
    now, free = 0.0, gpus
    while waiting or running:
        for task in list(waiting):
            if task.gpus <= free and done.issuperset(task.after):
                waiting.remove(task)
                heapq.heappush(running, (now + task.seconds, task.gpus, task.name))
                free -= task.gpus
        now, held, name = heapq.heappop(running)
        free += held
        done.add(name)
    return now


def critical_path(tasks: list[Task]) -> float:
    """Seconds that no number of GPUs goes below: the longest chain of tasks."""
    end: dict[str, float] = {}
    for task in tasks:
        end[task.name] = task.seconds + max((end[name] for name in task.after), default=0.0)
    return max(end.values(), default=0.0)


def count_jobs(experiment: Experiment) -> dict[str, int]:
    """The graph's jobs by rule, from nothing to the report."""
    scale, runs = experiment.scale, list(experiment.grid.values())
    jobs = Counter(all=1, report=1, latency=1, flops=1, trained_flops=1, ceiling=1)
    used = {name for run in runs for name in run.datasets}
    jobs["synth"] = sum(isinstance(scale.datasets[name], SynthData) for name in used)
    jobs["crops"] = len(crop_stores(experiment))
    jobs["detect"] = len({(r.datasets[0], d) for r in runs for d in experiment.detectors(r)})
    jobs["trunk"] = sum(len(steps) for _, _, steps in experiment.trunks().values())
    jobs["train"] = len(experiment.trainings())
    jobs["evaluate"] = len(experiment.evaluations())
    return dict(sorted((rule, number) for rule, number in jobs.items() if number))


def needs(
    experiment: Experiment, sizes: dict[str, Size], speed: Speed, gpus_each: int
) -> dict[str, dict[str, int]]:
    """Memory, time and disk of the largest job of each rule, as ``job_needs`` gives them, by this speed."""
    longest: dict[str, float] = {}
    for task in gpu_tasks(experiment, sizes, speed, gpus_each):
        longest[task.rule] = max(longest.get(task.rule, 0), task.seconds)
    return job_needs(experiment, sizes, longest)


@dataclass(frozen=True)
class Purchase:
    """A table, what it adds to the bill once those before it are bought, and whether the budget holds it."""

    table: int
    runs: list[str]
    gpu_hours: float
    total_gpu_hours: float
    affordable: bool


def buy_tables(
    experiment: Experiment, tasks: list[Task], tables: dict[int, list[str]], budget: float | None
) -> list[Purchase]:
    """The tables, cheapest first: each time the one that adds least to what is trained already."""
    cost = {task.name: task.gpu_hours for task in tasks}
    needs = {table: _tasks_of(experiment, runs, tasks) for table, runs in tables.items()}
    bought: set[str] = set()
    purchases: list[Purchase] = []
    while needs:
        price = {table: sum(cost[name] for name in names - bought) for table, names in needs.items()}
        table = min(price, key=lambda number: (price[number], number))
        bought |= needs.pop(table)
        total = sum(cost[name] for name in bought)
        fits = budget is None or total <= budget
        purchases.append(Purchase(table, tables[table], price[table], total, fits))
    return purchases


def _tasks_of(experiment: Experiment, runs: list[str], tasks: list[Task]) -> set[str]:
    chosen = {
        f"{name} seed {seed} on {detector}"
        for name in runs
        for seed in experiment.scale.seeds
        for detector in experiment.detectors(experiment.run(name))
    }
    evaluations = [task for task in tasks if task.name in chosen]
    after = {task.name: task.after for task in tasks}
    found: set[str] = set()
    waiting = [task.name for task in evaluations] + [
        experiment.training_id(experiment.run(member), seed)
        for name in runs
        for member in experiment.run(name).members or (name,)
        for seed in experiment.scale.seeds
    ]
    while waiting:
        name = waiting.pop()
        if name in after and name not in found:
            found.add(name)
            waiting += after[name]
    return found


def table_runs(experiment: Experiment, path: Path) -> dict[int, list[str]]:
    """Table -> the runs that its figures name, those of this scale, from the paper's figures as data."""
    tables: dict[int, list[str]] = {}
    for figure in load_figures(path).values():
        if figure.run in experiment.grid and figure.run not in tables.setdefault(figure.table, []):
            tables[figure.table].append(figure.run)
    return {table: runs for table, runs in sorted(tables.items()) if runs}


def make_plan(
    experiment: Experiment,
    *,
    gpus: int,
    gpus_each: int,
    gpu: str,
    share: float,
    budget: float | None,
    bench: Path = THROUGHPUT,
    options: Mapping[str, Any] | None = None,
    figures: Path = Path("reports/paper/figures.tsv"),
    image_deviation: float | None = None,
    seed_deviation: float | None = None,
) -> dict[str, Any]:
    """The whole plan as JSON values: hours are ``_h``, sizes ``_gb`` (10^9 bytes); ``claims`` is what
    `detectable` returns. ``options`` are those of trainings whose measured speed is taken.
    """
    sizes = network_sizes(experiment)
    speed = choose_speed(experiment, sizes, gpu, share, bench, options)
    parameters = {run: size.parameters for run, size in sizes.items()}
    tasks = gpu_tasks(experiment, sizes, speed, gpus_each)
    trainings = [task for task in tasks if task.rule == "train"]
    longest = max(trainings, key=lambda task: task.seconds, default=None)
    total = sum(task.gpu_hours for task in tasks)
    counts = sorted({gpus_each * 2**i for i in range(8)} | {gpus})
    walls = {n: wall_time(tasks, n) / 3600 for n in counts if n >= gpus_each}
    return {
        "scale": experiment.scale.name,
        "jobs": count_jobs(experiment),
        "trainings_to_do": len(trainings),
        "trainings_done": len(experiment.trainings()) - len(trainings),
        "speed": speed.source,
        "gpus_each": gpus_each,
        "gpu_hours": {
            rule: sum(task.gpu_hours for task in tasks if task.rule == rule) for rule in ("train", "evaluate")
        },
        "longest_training": longest and {"training": longest.name, "hours": longest.seconds / 3600},
        "critical_path_h": critical_path(tasks) / 3600,
        "gpus": gpus,
        "wall_h": walls[gpus],
        "scaling": [
            {"gpus": n, "wall_h": wall, "efficiency": total / (n * wall) if wall else 1.0}
            for n, wall in walls.items()
        ],
        "disk_gb": {kind: size / 1e9 for kind, size in disk_bytes(experiment, parameters).items()},
        "budget_h": budget,
        "tables": [asdict(p) for p in buy_tables(experiment, tasks, table_runs(experiment, figures), budget)],
        "needs": needs(experiment, sizes, speed, gpus_each),
        "claims": detectable(experiment, image_deviation, seed_deviation),
    }
