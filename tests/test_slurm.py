"""A real SLURM on this machine: the whole graph, interrupted, out of memory, and without its controller.

The cluster is installed, started and stopped by ``tests/slurm/cluster.sh``; where it may not be, the tests
are skipped with its reason.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from mspn.cluster import doctor, jobs
from mspn.networks.weights import load_weights

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent
CLUSTER = ROOT / "tests/slurm/cluster.sh"
STEPS = 300
SCALE = """
extends: smoke
name: slurm
description: one small training on a real cluster
datasets: {{coco: {{train_images: 12, val_images: 6}}}}
recipes: {{coco: {{iterations: {steps}}}}}
runs: [mspn-1]
evaluate_on: [gt]
seeds: [{seed}]
bootstrap: 20
"""
PATIENCE_S = 300
STARTED: list[subprocess.Popen[str]] = []


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """SLURM with one node, this one, for the tests of this file."""
    started = subprocess.run(["bash", str(CLUSTER), "start"], capture_output=True, text=True)
    if started.returncode == 3:
        pytest.skip(started.stdout.strip() or started.stderr.strip())
    assert started.returncode == 0, started.stdout + started.stderr
    yield
    if "already running" not in started.stdout:
        subprocess.run(["bash", str(CLUSTER), "stop"], check=True)


@pytest.fixture(scope="module")
def folder(cluster, tmp_path_factory) -> Iterator[Path]:
    """A fresh copy of the repository with a profile that ``mspn profile`` wrote for the cluster."""
    copy = tmp_path_factory.mktemp("slurm") / "mspn"
    copy.mkdir()
    for name in ("mspn", "baselines", "workflow", "reports"):
        ignored = shutil.ignore_patterns("__pycache__", "demo", "smoke")
        shutil.copytree(ROOT / name, copy / name, ignore=ignored)
    for name in ("Snakefile", "environment.yml", "requirements.lock"):
        shutil.copy(ROOT / name, copy / name)
    mspn(copy, "profile", "--partition", "main", "--out", "site")
    profile = yaml.safe_load((copy / "site/config.yaml").read_text())
    assert profile["slurm-status-command"] == "squeue"  # the test's cluster keeps no accounting
    # Small enough that two jobs run at once, and looked at often.
    profile["slurm-init-seconds-before-status-checks"] = 2
    profile["latency-wait"] = 5
    profile["retries"] = 2
    profile["default-resources"]["mem_mb"] = 3000
    for rule in profile["set-resources"].values():
        rule["mem_mb"] = 1500
    # On the only node an exclusive job would wait for all others, and they for it.
    del profile["set-resources"]["latency"]["slurm_extra"]
    profile["set-threads"] = dict.fromkeys(profile["set-threads"], 1)
    (copy / "site/config.yaml").write_text(yaml.safe_dump(profile))
    yield copy
    for controller in STARTED:
        if controller.poll() is None:
            os.killpg(controller.pid, signal.SIGKILL)
            controller.wait()
    for job in jobs.slurm_jobs(copy):
        subprocess.run(["scancel", job], check=True)


def environment(copy: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(copy), "OMP_NUM_THREADS": "1"}


def mspn(copy: Path, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mspn", *arguments],
        cwd=copy,
        env=environment(copy),
        capture_output=True,
        text=True,
        check=check,
    )


def scale(copy: Path, seed: int, steps: int = STEPS) -> Path:
    """Write the scale for a seed; the path of its one training's checkpoints."""
    (copy / "one.yaml").write_text(SCALE.format(seed=seed, steps=steps))
    code = "from mspn.experiment.load import load_experiment as l; print(*l('one.yaml').trainings())"
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, cwd=copy, env=environment(copy), capture_output=True, text=True, check=True
    )
    return copy / "results/slurm/checkpoints" / done.stdout.strip()


def start(copy: Path, *arguments: str) -> subprocess.Popen[str]:
    """Snakemake in a process group of its own, its output in ``snakemake.log``."""
    command = [sys.executable, "-m", "snakemake", "--workflow-profile", "site", "--config", "scale=one.yaml"]
    log = (copy / "snakemake.log").open("w")
    controller = subprocess.Popen(
        [*command, *arguments],
        cwd=copy,
        env=environment(copy),
        stdout=log,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    STARTED.append(controller)
    return controller


def wait(what: Callable[[], object], controller: subprocess.Popen[str] | None = None) -> None:
    """Until ``what`` is true; fails when it takes too long or the controller ends before."""
    for _ in range(PATIENCE_S * 20):
        if what():
            return
        assert controller is None or controller.poll() is None, "Snakemake ended too early"
        time.sleep(0.05)
    raise AssertionError("waited too long")


def steps(checkpoints: Path) -> int:
    log = checkpoints / "log.jsonl"
    return len(log.read_text().splitlines()) if log.exists() else 0


def attempts(checkpoints: Path) -> list[dict[str, Any]]:
    """The records of the training's attempts so far, or of the finished one."""
    record = checkpoints.parents[1] / "trainings" / checkpoints.name / "environment.json"
    if record.exists():
        return list(json.loads(record.read_text())["attempts"])
    live = checkpoints / "attempts.json"
    return list(json.loads(live.read_text())) if live.exists() else []


def train_job() -> str:
    """The SLURM job of the training that runs; empty if none does."""
    return next((job for job, rule in running().items() if rule.startswith("rule_train")), "")


def running() -> dict[str, str]:
    """The running SLURM jobs: id -> the rule's comment."""
    command = ["squeue", "--noheader", "--states=RUNNING,COMPLETING", "--format=%i|%k"]
    rows = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return {row.split("|")[0]: row.split("|")[1] for row in rows}


def kill_all(job: str) -> None:
    """Kill every process of a job at once, parents first, so that none tidies up after another."""
    for process in sorted(psutil.process_iter(), key=lambda process: process.pid):
        with contextlib.suppress(psutil.Error):
            if process.environ().get("SLURM_JOB_ID") == job:
                process.kill()


def found(copy: Path) -> str:
    """What the doctor's check of the workflow says about the copy."""
    findings = doctor.check_workflow(copy / "results/slurm/logs", copy / ".snakemake").findings
    return "\n".join(f"{finding.problem} -> {finding.remedy}" for finding in findings)


def slurm_logs(copy: Path) -> str:
    return "\n".join(path.read_text() for path in (copy / ".snakemake/slurm_logs").rglob("*.log"))


def test_the_graph_with_a_training_stopped_and_requeued_ends_as_if_undisturbed(folder):
    checkpoints = scale(folder, seed=0)
    controller = start(folder)
    # The warning before a time limit: the training saves and puts its job back into the queue.
    wait(lambda: steps(checkpoints) >= 3, controller)
    job = train_job()
    subprocess.run(["scancel", "--signal=USR1", job], check=True)
    wait(lambda: job not in running(), controller)
    # SLURM lets a job that went back into the queue wait for two minutes.
    subprocess.run(["scontrol", "update", f"JobId={job}", "StartTime=now"], check=True)
    wait(lambda: len(attempts(checkpoints)) >= 2, controller)
    # A node that is taken away: SLURM ends the job and gives it back to the queue.
    before = attempts(checkpoints)[0]["to_step"]
    wait(lambda: steps(checkpoints) >= before + 3, controller)
    job = train_job()
    subprocess.run(["scontrol", "requeue", job], check=True)
    wait(lambda: job not in running(), controller)
    subprocess.run(["scontrol", "update", f"JobId={job}", "StartTime=now"], check=True)
    code = controller.wait(PATIENCE_S)
    assert code == 0, (folder / "snakemake.log").read_text() + slurm_logs(folder)
    assert (folder / "reports/slurm/index.html").exists()
    told = attempts(checkpoints)
    assert len(told) >= 3
    assert 3 <= before < STEPS

    undisturbed = folder.parent / "undisturbed"
    shutil.copytree(
        folder, undisturbed, ignore=shutil.ignore_patterns(".snakemake", "checkpoints", "trainings")
    )
    mspn(undisturbed, "train", "--scale", "one.yaml", "--run", "mspn-1", "--seed", "0", "--threads", "1")
    weights = f"results/slurm/trainings/{checkpoints.name}/weights.safetensors"
    hashes = [load_weights(place / weights)[1]["tensor_hash"] for place in (folder, undisturbed)]
    assert hashes[0] == hashes[1]


def test_a_job_that_exceeds_its_memory_is_reported_with_the_remedy(folder):
    checkpoints = scale(folder, seed=1)
    weights = f"results/slurm/trainings/{checkpoints.name}/weights.safetensors"
    controller = start(folder, "--retries", "0", "--set-resources", "train:mem_mb=200", "--", weights)
    assert controller.wait(PATIENCE_S) != 0
    text = (folder / "snakemake.log").read_text()
    assert "train: the job used more memory than it asked for" in text
    assert "raise mem_mb of rule train under set-resources in the profile" in text
    assert "raise mem_mb of rule train" in found(folder)


def test_after_a_controllers_death_a_second_one_goes_on(folder):
    checkpoints = scale(folder, seed=2)
    weights = f"results/slurm/trainings/{checkpoints.name}/weights.safetensors"
    controller = start(folder, "--", weights)
    wait(lambda: steps(checkpoints) >= 3, controller)
    os.killpg(controller.pid, signal.SIGKILL)
    controller.wait()
    job = train_job()
    text = found(folder)
    assert "no Snakemake runs here" in text
    assert "snakemake --unlock" in text
    assert f"{job} (running, rule_train" in text
    # The node dies as well, with all that ran on it.
    kill_all(job)
    wait(lambda: job not in running())
    assert "outputs were being made when Snakemake died, such as results/slurm/trainings/" in found(folder)

    assert start(folder, "--", weights).wait(PATIENCE_S) != 0
    assert "cannot be locked" in (folder / "snakemake.log").read_text()
    assert start(folder, "--unlock").wait(PATIENCE_S) == 0
    second = start(folder, "--", weights)
    assert second.wait(PATIENCE_S) == 0, (folder / "snakemake.log").read_text() + slurm_logs(folder)
    assert attempts(checkpoints)[-1]["to_step"] == STEPS
    checked = mspn(folder, "doctor", "--scale", "one.yaml", "--profile", "site")
    assert "ok     workflow" in checked.stdout
