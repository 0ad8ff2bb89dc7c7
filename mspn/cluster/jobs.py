"""The jobs of a working directory, as Snakemake and SLURM tell of them: what runs, is queued, and failed."""

import json
import os
import re
import shutil
import subprocess
from base64 import urlsafe_b64decode
from pathlib import Path
from typing import NamedTuple

import psutil

STATE = Path(".snakemake")


class SlurmJob(NamedTuple):
    """A job of the cluster; ``comment`` is the executor's, with the rule and its wildcards."""

    state: str
    comment: str


def controllers(folder: Path) -> list[int]:
    """The Snakemakes that work in a folder, on this machine, by process; a cluster's jobs are not counted."""
    found = []
    for process in psutil.process_iter(["pid", "cmdline"]):
        words = process.info["cmdline"] or []
        called = any(Path(word).name == "snakemake" for word in words[:3])
        if not called or "--target-jobs" in words or "--dry-run" in words or "-n" in words:
            continue
        try:
            if Path(process.cwd()) == folder:
                found.append(process.info["pid"])
        except psutil.Error:
            continue
    return found


def slurm_jobs(folder: Path) -> dict[str, SlurmJob]:
    """This user's SLURM jobs that work in a folder, by id; none where SLURM does not answer."""
    if shutil.which("squeue") is None:
        return {}
    command = ["squeue", "--me", "--noheader", "--format=%i|%T|%k|%Z"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    except subprocess.TimeoutExpired:
        return {}
    rows = [line.split("|") for line in done.stdout.splitlines() if line.count("|") == 3]
    return {job: SlurmJob(status, rule) for job, status, rule, where in rows if where == str(folder)}


def outputs_being_made(state: Path = STATE) -> dict[str, str | None]:
    """The outputs that Snakemake has marked as being made, each with the id of its job on a cluster (None: on
    this machine). Marks of a Snakemake that was killed stay. They are named by the path in base 64.
    """
    marks, found = state / "incomplete", {}
    for mark in sorted(marks.rglob("*")):
        if mark.is_file():
            # A long name is cut into folders that begin with @.
            name = re.sub("@|/", "", mark.relative_to(marks).as_posix())
            try:
                job = json.loads(mark.read_text()).get("external_jobid")
            except (OSError, ValueError):  # gone by now, or just being written
                job = None
            found[urlsafe_b64decode(name).decode()] = job
    return found


def failures(state: Path = STATE) -> dict[str, str]:
    """The outputs of the jobs that failed in the newest Snakemake's log, each with its job's log."""
    logs = sorted((state / "log").glob("*.snakemake.log"), key=lambda path: path.stat().st_mtime)
    found = {}
    for log in logs[-1:]:
        text = log.read_text(encoding="utf-8", errors="replace")
        for entry in re.findall(r"^Error in rule \w+:\n((?:    .*\n)+)", text, re.MULTILINE):
            values = dict(re.findall(r"^    (output|log): (.*?)(?: \(check .*)?$", entry, re.MULTILINE))
            for output in values.get("output", "").split(", "):
                found[output] = values.get("log", "")
    return found


def requeue() -> bool:
    """Have SLURM end the job that this process is part of and start it again; False where it does not."""
    job = os.environ.get("SLURM_JOB_ID")
    if not job or shutil.which("scontrol") is None:
        return False
    try:
        return not subprocess.run(["scontrol", "requeue", job], capture_output=True, timeout=60).returncode
    except subprocess.TimeoutExpired:
        return False
