"""How far a scale is: what runs, is done, failed or waits, and the time left, all read from files.

A result stands for its job, a lock or Snakemake's mark for one that runs, a training's journal for its steps:
so it is the same beside a running Snakemake, on SLURM and after a kill. A journal is on the disk as of the
last checkpoint, up to a minute ago. Imports no torch.
"""

import fcntl
import json
import os
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from statistics import mean
from typing import Any, Literal

from mspn.cluster.jobs import STATE, SlurmJob, controllers, failures, outputs_being_made, slurm_jobs
from mspn.errors import UserError
from mspn.experiment.experiment import Experiment
from mspn.experiment.grid import Run
from mspn.experiment.tuning import candidate, round_evaluations, round_file, searched
from mspn.files import read_json

State = Literal["done", "running", "queued", "failed", "stopped", "waiting"]
TAIL = 100_000  # bytes of a journal's end: hundreds of steps
RECENT = 50  # steps whose mean speed is taken as the present one


@dataclass(frozen=True)
class Job:
    """A job of the graph. ``output`` stands for its result; a training has steps, and ``live``, where its
    journal lies until it is done. ``problem`` is the log of a failed one.
    """

    rule: str
    name: str
    output: Path
    network: str = ""
    live: Path | None = None
    first_step: int = 0
    steps: int = 0
    batch: int = 0
    state: State = "waiting"
    step: int = 0
    loss: float | None = None
    step_s: float | None = None
    left_s: float | None = None
    problem: str | None = None


def look(experiment: Experiment, state: Path = STATE) -> dict[str, Any]:
    """The jobs and what is known of them, as JSON values: ``snakemake`` (processes on this machine),
    ``slurm`` (its jobs of this folder by state), ``counts`` (rule -> state -> number), ``jobs``, ``left_s``
    (seconds until all are done with as many ``at_once`` as run now; None where nothing was measured), and
    ``unmeasured`` (rules that it leaves out).
    """
    folder = state.resolve().parent
    running, cluster = controllers(folder), slurm_jobs(folder)
    making, failed = outputs_being_made(state), failures(state)
    jobs = [_seen(job, making, failed, bool(running), cluster) for job in expected(experiment)]
    jobs = _measured(experiment, jobs)
    counts: dict[str, dict[str, int]] = {}
    for job in jobs:
        counts.setdefault(job.rule, {}).setdefault(job.state, 0)
        counts[job.rule][job.state] += 1
    to_do = [job for job in jobs if job.state != "done"]
    at_once = max(1, sum(job.state == "running" for job in jobs))
    known = [job.left_s for job in to_do if job.left_s is not None]
    states = [job.state for job in cluster.values()]
    return {
        "scale": experiment.scale.name,
        "snakemake": running,
        "slurm": {name: states.count(name) for name in dict.fromkeys(states)},
        "counts": counts,
        "at_once": at_once,
        "left_s": max(sum(known) / at_once, *known) if known else None if to_do else 0.0,
        "unmeasured": sorted({job.rule for job in to_do if job.left_s is None}),
        "jobs": [{**asdict(job), "output": str(job.output), "live": str(job.live or "")} for job in jobs],
    }


def expected(experiment: Experiment) -> Iterator[Job]:
    """Every job up to the report or the search's table. Which candidates a search's later rounds have is not
    known before: as many as will be kept stand for them.
    """
    results, scale = experiment.results, experiment.scale
    evaluations = _evaluations(experiment)
    trained = [(member, seed) for run, seed, _ in evaluations for member in _members(experiment, run)]
    data = list(dict.fromkeys(name for run, _ in trained for name in run.datasets))
    for name in data:
        if scale.datasets[name].kind == "synth":
            yield Job("synth", name, results / "data" / name / "dataset.json")
    if scale.crops != "exact":
        stores = {experiment.crop_store(n, experiment.input_size(r)) for r, _ in trained for n in r.datasets}
        for store in sorted(stores):
            yield Job("crops", store.name, store / "manifest.json")
    for dataset, detector in dict.fromkeys((run.datasets[0], detector) for run, _, detector in evaluations):
        yield Job("detect", f"{detector} on {dataset}", experiment.boxes_file(dataset, detector))
    yield from _trainings(experiment, trained)
    for run, seed, detector in evaluations:
        output = experiment.evaluation_folder(run, seed, detector) / "metrics.json"
        yield Job("evaluate", f"{run.run} seed {seed} on {detector}", output, run.network)
    if scale.search is not None:
        for row in searched(experiment):
            for number in range(1, len(scale.search.rounds) + 1):
                yield Job("halve", f"{row} round {number}", round_file(experiment, row, number))
        yield Job("tune", "search.csv", results / "search.csv")
        return
    for rule, path in (("flops", "flops/flops.csv"), ("trained_flops", "flops/trained.csv"),
                       ("ceiling", "ceiling.json"), ("latency", "latency.csv")):  # fmt: skip
        yield Job(rule, Path(path).name, results / path)
    yield Job("report", "index.html", experiment.reports / "index.html")


def _evaluations(experiment: Experiment) -> list[tuple[Run, int, str]]:
    search = experiment.scale.search
    if search is None:
        return experiment.evaluations()

    def kept(row: str, number: int) -> list[str]:
        decided = round_file(experiment, row, number)
        if decided.exists():
            return list(read_json(decided, "outcome of a round")["kept"])
        names = dict.fromkeys(
            candidate(run) for run, _, _ in round_evaluations(experiment, row, number, kept)
        )
        return list(names)[: search.rounds[number - 1].keep]

    return [
        evaluation
        for row in searched(experiment)
        for number in range(1, len(search.rounds) + 1)
        for evaluation in round_evaluations(experiment, row, number, kept)
    ]


def _members(experiment: Experiment, run: Run) -> list[Run]:
    return [experiment.run(name) for name in run.members] or [run]


def _trainings(experiment: Experiment, trained: list[tuple[Run, int]]) -> Iterator[Job]:
    """Trunks up to each step at which a training to be done branches off, then the trainings, each once."""
    trunks, live = experiment.trunks(), experiment.results / "checkpoints"
    trainings = []
    until: dict[str, int] = {}
    for training, (run, seed) in {experiment.training_id(r, s): (r, s) for r, s in trained}.items():
        recipe = experiment.recipe(run)
        # Not the weights: results that were restored from a report's bundle have none, and need none.
        output = experiment.training_folder(run, seed) / "environment.json"
        first = 0 if recipe.cooldown is None else recipe.cooldown_start
        where = (output, run.network, live / training, first, recipe.iterations, recipe.batch)
        trainings.append(Job("train", training, *where))
        if first and not output.exists() and recipe.cooldown is not None:
            trunk = experiment.trunk_id(run, seed)
            until[trunk] = max(until.get(trunk, 0), first)
    for trunk, (run, seed, steps) in trunks.items():
        for before, step in pairwise([0, *steps]):
            output = experiment.trunk_folder(run, seed, step) / "state.ckpt"
            if step <= until.get(trunk, 0) or output.exists():
                where = (output, run.network, live / trunk, before, step, experiment.recipe(run).batch)
                yield Job("trunk", f"{trunk} to step {step}", *where)
    yield from trainings


def _seen(
    job: Job,
    making: dict[str, str | None],
    failed: dict[str, str],
    controlled: bool,
    cluster: dict[str, SlurmJob],
) -> Job:
    """The job with its state, and one that trains with its steps."""
    marked, slurm = str(job.output) in making, cluster.get(making.get(str(job.output)) or "")
    if job.output.exists() and not marked:
        return replace(job, state="done", step=job.steps)
    live, held = job.live, False
    if live is not None:
        step, loss, step_s = read_journal(live, job.batch)
        # A trunk's journal lies in one place, whichever of its parts is being trained.
        if job.first_step <= step <= job.steps:
            job = replace(job, step=step, loss=loss, step_s=step_s)
            held = is_locked(live / ".lock")
    if slurm is not None:
        return replace(job, state="queued" if slurm.state == "PENDING" else "running")
    if held or (marked and controlled and making[str(job.output)] is None):
        return replace(job, state="running")
    if str(job.output) in failed:
        return replace(job, state="failed", problem=failed[str(job.output)])
    return replace(job, state="stopped" if job.step > job.first_step else "waiting")


def read_journal(live: Path, batch: int) -> tuple[int, float | None, float | None]:
    """Of a training under way: steps that are on the disk, the last one's loss, and the seconds of a step of
    late (None: no such yet). A journal that is being written, or damaged, tells as much as can be read.
    """
    steps, timing = _tail(live / "log.jsonl"), _tail(live / "timing.jsonl")
    with suppress(LookupError, TypeError, ValueError, ZeroDivisionError):
        last = timing[-1]["attempt"]
        times = [batch / row["images_per_s"] for row in timing[-RECENT:] if row["attempt"] == last]
        return int(steps[-1]["step"]) + 1, float(steps[-1]["loss"]), sum(times) / len(times)
    return 0, None, None


def _tail(path: Path) -> list[Any]:
    """The records of whole lines at a file's end."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - TAIL))
            lines = file.read().split(b"\n")[:-1]
    except OSError:
        return []
    return [json.loads(line) for line in lines[1 if size > TAIL else 0 :]]


def is_locked(path: Path) -> bool:
    """Whether a process holds the lock of a training's folder: asked, not tried, as that would hold it."""
    layout = "qqihh" if sys.platform == "darwin" else "hhqqi4x"
    place = 3 if sys.platform == "darwin" else 0  # of the lock's kind
    ask = [0, 0, 0, 0, 0]
    ask[place] = fcntl.F_WRLCK
    with suppress(OSError), path.open("rb") as file:
        answer = struct.unpack(layout, fcntl.fcntl(file, fcntl.F_GETLK, struct.pack(layout, *ask)))
        return bool(answer[place] != fcntl.F_UNLCK)
    return False


def _measured(experiment: Experiment, jobs: list[Job]) -> list[Job]:
    """The jobs to do with the seconds that they still take: by the steps of the same network, of any where it
    has none yet; of other rules by the mean of those that are done.
    """
    spent: dict[str, list[float]] = {}
    for job in jobs:
        if job.live is None:
            continue
        if job.state == "done":
            name = "environment.json" if job.rule == "train" else "attempts.json"
            with suppress(UserError, LookupError, TypeError):  # doctor names what is damaged
                found = read_json(job.output.with_name(name))
                attempts = [a for a in (found["attempts"] if job.rule == "train" else found) if a["wall_s"]]
                steps = sum(attempt["to_step"] - attempt["from_step"] for attempt in attempts)
                if steps > 0:
                    spent.setdefault(job.network, []).append(sum(a["wall_s"] for a in attempts) / steps)
        elif job.step_s:
            spent.setdefault(job.network, []).append(job.step_s)
    step_s = {network: mean(times) for network, times in spent.items()}
    usual = mean(step_s.values()) if step_s else None
    rule_s = {rule: _benchmark(experiment.results, rule) for rule in {job.rule for job in jobs}}

    def left(job: Job) -> float | None:
        if job.live is None:
            return rule_s[job.rule]
        each = job.step_s or step_s.get(job.network, usual)
        if each is None:
            return None
        seconds = (job.steps - max(job.step, job.first_step)) * each
        if job.state == "running" and job.step_s:
            with suppress(OSError):
                seconds -= time.time() - (job.live / "timing.jsonl").stat().st_mtime
        return max(0.0, seconds)

    return [job if job.state == "done" else replace(job, left_s=left(job)) for job in jobs]


def _benchmark(results: Path, rule: str) -> float | None:
    """The mean seconds of a rule's jobs so far, by Snakemake's benchmarks; None without any."""
    folder, seconds = results / "benchmarks", []
    for path in (*folder.glob(f"{rule}.tsv"), *folder.glob(f"{rule}/*.tsv")):
        with suppress(OSError, LookupError, ValueError):
            seconds.append(float(path.read_text(encoding="utf-8").splitlines()[1].split("\t")[0]))
    return mean(seconds) if seconds else None
