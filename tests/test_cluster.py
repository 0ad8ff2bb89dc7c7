"""What a cluster does to jobs: a controller that is away, and a time limit shorter than a training."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mspn.commands import train
from mspn.commands.cli import main
from tests.tiny_scale import REPOSITORY, make

# What the executor asks of SLURM: its one job ends after a while; squeue answers from the fifth call on.
COMMANDS = {
    "sbatch": """(sleep 1; echo made >"$HERE/made.txt"; touch "$HERE/ended") >/dev/null 2>&1 &
echo 7""",
    "squeue": """echo >>"$HERE/asked"
[ $(wc -l <"$HERE/asked") -lt 5 ] && exit 1
[ -e "$HERE/ended" ] && echo "7|COMPLETED" || echo "7|RUNNING\"""",
    "scontrol": """echo "$@" >>"$HERE/told"; echo 'MinJobAge = 300 sec'""",
    "sacct": "exit 1",
    "sinfo": "exit 1",
    "scancel": "exit 0",
}
SNAKEFILE = """
import sys
include: "{root}/workflow/rules/cluster.smk"
rule one:
    output: "made.txt"
    shell: "echo made > {{output}}"
"""


@pytest.fixture
def slurm(tmp_path, monkeypatch) -> Path:
    """A folder with SLURM's commands, as scripts, first on the path."""
    (tmp_path / "bin").mkdir()
    for name, text in COMMANDS.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\nHERE={tmp_path}\n{text}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    return tmp_path


@pytest.mark.slow
def test_a_job_is_waited_for_though_slurm_did_not_answer_for_a_while(slurm):
    """Left alone, the executor forgets its jobs at the first query that fails, and waits for ever."""
    (slurm / "Snakefile").write_text(SNAKEFILE.format(root=REPOSITORY))
    options = [
        "--executor",
        "slurm",
        "--jobs",
        "1",
        "--default-resources",
        "slurm_partition=main",
        "runtime=5",
    ]
    options += ["--slurm-no-account", "--slurm-init-seconds-before-status-checks", "1"]
    options += ["--slurm-status-command", "squeue", "--slurm-status-attempts", "1", "--latency-wait", "10"]
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", *options],
        cwd=slurm,
        capture_output=True,
        text=True,
        timeout=240,
        env={key: value for key, value in os.environ.items() if not key.startswith("SLURM")},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (slurm / "made.txt").read_text() == "made\n"
    assert "SLURM does not answer" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("steps", "number", "job", "back"),
    [
        (14, signal.SIGUSR1, "7", True),
        (0, signal.SIGUSR1, "7", False),  # an attempt that did nothing counts, or it would be tried for ever
        (14, signal.SIGTERM, "7", False),  # cancelled
        (14, signal.SIGUSR1, None, False),  # no job of a cluster
    ],
)
def test_a_training_whose_time_is_up_goes_back_into_the_queue_if_it_went_on(
    slurm, monkeypatch, steps, number, job, back
):
    monkeypatch.chdir(make(slurm / "tiny"))
    monkeypatch.setenv("SLURM_JOB_ID", job) if job else monkeypatch.delenv("SLURM_JOB_ID", raising=False)

    def stopped(args: Any, experiment: Any, task: train.Task, stop: Any) -> None:
        task.live.mkdir(parents=True)
        (task.live / "attempts.json").write_text(json.dumps([{"from_step": 5, "to_step": 5 + steps}]))
        stop.signal = number

    monkeypatch.setattr(train, "_train", stopped)
    assert main(["train", "--scale", "tiny", "--run", "mspn-1", "--requeue"]) == 75
    told = slurm / "told"
    assert (told.read_text() if told.exists() else "") == ("requeue 7\n" if back else "")
