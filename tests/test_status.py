"""What `mspn status` reads from a folder: what is done, runs, waits or failed, and the time left."""

import json
import os
import subprocess
import sys
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import Any

import pytest

from mspn.cluster.status import look
from mspn.commands.cli import main
from mspn.experiment.experiment import Experiment
from mspn.experiment.load import load_experiment
from tests.tiny_scale import make

HOLD = """
import fcntl, sys, time
file = open(sys.argv[1], "a")
fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def tiny(tmp_path, monkeypatch) -> Experiment:
    """The tiny scale, of two trainings of 100 steps, in the working directory; nothing is done."""
    monkeypatch.chdir(make(tmp_path, iterations=100))
    return load_experiment("tiny")


def folders(experiment: Experiment, run: str) -> tuple[Path, Path]:
    """Where a run's training has its results, and its checkpoints."""
    one = experiment.run(run)
    return experiment.training_folder(one, 0), experiment.checkpoint_folder(one, 0)


def journal(live: Path, steps: int, step_s: float) -> None:
    """A training under way, of batches of 4; its last line is only half on the disk."""
    live.mkdir(parents=True)
    log = [json.dumps({"step": n, "loss": 50.0 - n}) + "\n" for n in range(steps)]
    timing = [json.dumps({"attempt": 1, "step": n, "images_per_s": 4 / step_s}) + "\n" for n in range(steps)]
    (live / "log.jsonl").write_text("".join(log) + '{"step": 1')
    (live / "timing.jsonl").write_text("".join(timing) + '{"att')


def finish(folder: Path, steps: int, step_s: float) -> None:
    folder.mkdir(parents=True)
    attempt = {"from_step": 0, "to_step": steps, "wall_s": steps * step_s}
    (folder / "environment.json").write_text(json.dumps({"attempts": [attempt]}))


def mark(output: Path, job: str | None) -> None:
    """Snakemake's mark of an output that is being made."""
    marks = Path(".snakemake/incomplete")
    marks.mkdir(parents=True, exist_ok=True)
    name = urlsafe_b64encode(str(output).encode()).decode()
    (marks / name).write_text(json.dumps({"external_jobid": job}))


def trainings(experiment: Experiment) -> dict[str, dict[str, Any]]:
    """The status of each network's training."""
    return {job["network"]: job for job in look(experiment)["jobs"] if job["rule"] == "train"}


def test_of_nothing_every_job_waits(tiny):
    found = look(tiny)
    assert {state for states in found["counts"].values() for state in states} == {"waiting"}
    assert (found["counts"]["train"], found["counts"]["report"]) == ({"waiting": 2}, {"waiting": 1})
    assert found["left_s"] is None


def test_a_training_runs_while_its_lock_is_held_and_is_stopped_after(tiny):
    _, live = folders(tiny, "mspn-1")
    journal(live, 40, step_s=2.0)
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(live / ".lock")], stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        job = trainings(tiny)["mspn-1"]
    finally:
        holder.kill()
        holder.wait()
    assert (job["state"], job["step"], job["loss"]) == ("running", 40, 11.0)
    assert job["left_s"] == pytest.approx(60 * 2.0, abs=60)
    assert trainings(tiny)["mspn-1"]["state"] == "stopped"


def test_the_time_left_is_of_the_steps_to_do_at_the_speed_of_those_done(tiny):
    finish(folders(tiny, "mspn-1")[0], steps=100, step_s=3.0)
    found = look(tiny)
    assert found["counts"]["train"] == {"done": 1, "waiting": 1}
    assert found["left_s"] == 300.0  # of mspn-2, which was not measured: as mspn-1
    assert "evaluate" in found["unmeasured"]
    benchmark = tiny.results / "benchmarks/evaluate/mspn-1-seed-0-gt.tsv"
    benchmark.parent.mkdir(parents=True)
    benchmark.write_text("s\th:m:s\n10.5\t0:00:10\n")
    assert look(tiny)["left_s"] == 321.0


def test_on_slurm_a_mark_names_the_job_and_squeue_its_state(tiny, tmp_path, monkeypatch):
    squeue = tmp_path / "squeue"
    rows = "\n".join(
        f"{job}|{state}|rule_train|{tmp_path}" for job, state in (("7", "RUNNING"), ("8", "PENDING"))
    )
    squeue.write_text(f"#!/bin/sh\ncat <<'END'\n{rows}\nEND\n")
    squeue.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    for run, job in (("mspn-1", "7"), ("mspn-2", "8")):
        mark(folders(tiny, run)[0] / "environment.json", job)
    assert {name: job["state"] for name, job in trainings(tiny).items()} == {
        "mspn-1": "running", "mspn-2": "queued"
    }  # fmt: skip
    assert look(tiny)["slurm"] == {"RUNNING": 1, "PENDING": 1}


def test_an_output_that_a_killed_snakemake_left_is_not_done(tiny):
    folder, _ = folders(tiny, "mspn-1")
    finish(folder, steps=100, step_s=1.0)
    mark(folder / "environment.json", None)
    assert trainings(tiny)["mspn-1"]["state"] == "waiting"


def test_what_failed_is_named_with_its_log_until_a_newer_snakemake_starts(tiny, capsys):
    output = folders(tiny, "mspn-2")[0] / "environment.json"
    log = Path(".snakemake/log/2026-01-01T000000.000000.snakemake.log")
    log.parent.mkdir(parents=True)
    log.write_text(
        f"[Thu]\nError in rule train:\n    jobid: 3\n    input: a, b\n    output: x/log.jsonl, {output}\n"
        "    log: logs/train/x.log (check log file(s) for error details)\n    shell:\n        python\n\n"
    )
    assert main(["status", "--scale", "tiny"]) == 1
    text = capsys.readouterr().out
    assert "Failed:\n  train mspn-2-s0-" in text and "see logs/train/x.log" in text
    log.with_name("2026-01-02T000000.000000.snakemake.log").write_text("Building DAG of jobs...\n")
    os.utime(log, (1, 1))
    assert main(["status", "--scale", "tiny", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["counts"]["train"] == {"waiting": 2}


def test_a_search_counts_as_many_as_its_later_rounds_will_keep(monkeypatch):
    monkeypatch.chdir(Path(__file__).resolve().parent.parent)
    experiment = load_experiment("bench-search")
    search = experiment.scale.search
    assert search is not None
    rows = len({run.row for run in experiment.grid.values()})
    expected = rows * (len(search.candidates) + sum(one.keep for one in search.rounds[:-1]))
    counts = look(experiment)["counts"]
    assert sum(counts["evaluate"].values()) == expected * len(experiment.scale.seeds)
