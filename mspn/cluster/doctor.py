"""The preflight: all that can be known to be wrong before a GPU hour is spent, each with its remedy."""

import importlib.metadata
import json
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from mspn.cluster import preflight
from mspn.cluster.deep import check_figures, read_everything
from mspn.cluster.failures import explain_files
from mspn.cluster.findings import Check
from mspn.cluster.jobs import STATE, controllers, outputs_being_made, slurm_jobs
from mspn.cluster.lease import list_devices, visible_devices
from mspn.cluster.remembered import RECORDS
from mspn.cluster.site import Site, read_site
from mspn.errors import UserError
from mspn.experiment.experiment import Experiment
from mspn.experiment.identity import code_hash
from mspn.experiment.load import left_out, load_experiment
from mspn.files import project_file, read_json

LOCK = Path("requirements.lock")


def check_versions(lock: Path = LOCK) -> Check:
    """Every pinned package is installed at its version."""
    check = Check("versions")
    remedy = "make the environment anew: make clean-env && make, or conda env create -f environment.yml"
    lock = project_file(lock)
    if not lock.exists():
        check.wrong(f"{lock} is not there", "run from the repository's root")
        return check
    pins = dict(line.split("==") for line in lock.read_text(encoding="utf-8").split())
    for name, pinned in pins.items():
        try:
            found = importlib.metadata.version(name).split("+")[0]  # +cpu, +cu128: builds of one version
        except importlib.metadata.PackageNotFoundError:
            found = "not installed"
        if found != pinned:
            check.wrong(f"{name}: {found}, pinned {pinned}", remedy)
    check.facts.append(f"Python {sys.version.split()[0]}, {len(pins)} pinned packages")
    return check


def check_disk(experiment: Experiment, needed: dict[str, float], free: int | None = None) -> Check:
    """The disk of ``results/`` has room for what the scale will write; ``needed`` is the plan's estimate."""
    check = Check("disk")
    here = experiment.results
    while not here.exists():
        here = here.parent
    free = shutil.disk_usage(here).free if free is None else free
    there = sum(path.stat().st_size for path in experiment.results.rglob("*") if path.is_file())
    missing = sum(size for kind, size in needed.items() if kind != "data sets") - there
    check.facts.append(f"{free / 1e9:.1f} GB free for {max(missing, 0) / 1e9:.1f} GB to come (estimate)")
    if free < missing:
        check.wrong(
            f"{free / 1e9:.1f} GB are free at {here.resolve()}; about {missing / 1e9:.1f} GB will be written",
            "free space, link results/ to a larger disk, or set crops: exact in the scale's file (slower)",
        )
    return check


def check_memory(experiment: Experiment, site: Site, machine_mb: int | None = None) -> Check:
    """The machine, or the cluster's largest node, has what the profile's largest job asks for."""
    check = Check("memory")
    from mspn.cluster.costs import memory_mb

    needed = site.memory_mb() or memory_mb(experiment)
    own = psutil.virtual_memory().total // 2**20
    have = site.cluster.memory_mb if site.cluster else own if machine_mb is None else machine_mb
    check.facts.append(f"{have} MB for a largest job of {needed} MB")
    if needed > have:
        place = f"partition {site.cluster.partition}" if site.cluster else "this machine"
        check.wrong(
            f"{place} has {have} MB; a job asks for {needed} MB",
            "lower mem_mb and threads in the profile, or go elsewhere",
        )
    return check


def check_gpus(experiment: Experiment, site: Site, devices: list[str] | None = None) -> Check:
    """The GPUs of a training are there, and torch can use them."""
    check = Check("GPUs")
    wanted = site.gpus()
    if site.cluster:
        have = sum(site.cluster.gpus.values())
        check.facts.append(f"{wanted} a training; a node of partition {site.cluster.partition} has {have}")
        if wanted > have:
            check.wrong(
                f"the profile asks for {wanted} GPUs; a node of partition {site.cluster.partition} has "
                f"{have}",
                f"mspn profile --partition NAME --gpus {have} --out DIR",
            )
        return check
    seen = visible_devices(os.environ, list_devices()) if devices is None else devices
    check.facts.append(f"{wanted} a training; {len(seen)} visible")
    if wanted > len(seen):
        check.wrong(
            f"the profile asks for {wanted} GPUs; {len(seen)} are visible",
            "check nvidia-smi -L and CUDA_VISIBLE_DEVICES",
        )
    elif not wanted and experiment.scale.width == 1:
        check.wrong(
            "no GPU is asked for, and full-size networks would train for months on a CPU",
            "give --profile, such as workflow/profiles/local; `mspn profile` writes one for this machine or "
            "cluster",
        )
    elif wanted and not _torch_sees_gpus():
        check.wrong(
            "torch cannot use the GPUs",
            "install the pinned torch from PyPI (its Linux build has CUDA) and a driver that it supports",
        )
    return check


def _torch_sees_gpus() -> bool:
    import torch

    return torch.cuda.is_available()


def build_graph(scale: str) -> "subprocess.CompletedProcess[str]":
    """Snakemake's dry run of a scale's graph."""
    graph = str(project_file(Path("Snakefile")))
    command = [sys.executable, "-m", "snakemake", "-s", graph, "--dry-run", "--nolock", "--cores", "1"]
    return subprocess.run([*command, "--config", f"scale={scale}"], capture_output=True, text=True)


def check_graph(built: "subprocess.CompletedProcess[str]", before: Sequence[Check] = ()) -> Check:
    """The graph of jobs could be built; files that are absent are not named again after checks that did."""
    check = Check("graph")
    text = built.stdout + built.stderr
    if built.returncode:
        lines = [line for line in text.splitlines() if line.strip()]
        start = next((i for i, line in enumerate(lines) if re.match(r"\w*(Exception|Error)\b", line)), -5)
        message = " ".join(line.strip() for line in lines[start:][:8])
        if "files that it needs are not there" in message and any(one.failed for one in before):
            check.facts.append("not built while files are absent: see above")
            return check
        check.wrong(message, "mend what it names; see also the checks above")
        return check
    total = re.search(r"^total\s+(\d+)", text, re.MULTILINE)
    check.facts.append(f"{total[1]} jobs to do" if total else "nothing to do")
    return check


def check_results(experiment: Experiment) -> Check:
    """Trainings that are there: by this code or other code of the same revisions, and those not in use."""
    check = Check("results")
    wanted, now = experiment.trainings(), code_hash("mspn", "baselines")
    folders = [p.parent for p in sorted((experiment.results / "trainings").glob("*/environment.json"))]
    used = [folder for folder in folders if folder.name in wanted]
    other = sum(_record(folder / "environment.json").get("code") != now for folder in used)
    check.facts.append(f"{len(used)} of {len(wanted)} trainings, {other} by other code of the same revisions")
    unused = [folder for folder in folders if folder.name not in wanted]
    former = [f for f in unused if "code" in _record(f / "config.json").get("identity", {})]
    if former:
        check.warn(
            f"{len(former)} trainings are named after the text of the code, as they once were, such as "
            f"{former[0]}",
            "they are not used, and nothing removes them: keep them for the record or remove their folders; "
            "what the scale needs is trained anew",
        )
    if len(unused) > len(former):
        check.facts.append(f"{len(unused) - len(former)} of other configurations or revisions beside them")
    return check


def _record(path: Path) -> dict[str, Any]:
    """A training's record; empty where it is damaged, which the check of figures says."""
    try:
        record = read_json(path)
    except UserError:
        return {}
    return record if isinstance(record, dict) else {}


def check_workflow(logs: Path, state: Path = STATE) -> Check:
    """What an earlier Snakemake left: locks, unfinished outputs, running jobs, and why jobs failed."""
    check = Check("workflow")
    running = controllers(state.resolve().parent)
    jobs = slurm_jobs(state.resolve().parent)
    locks = list((state / "locks").glob("*.lock"))
    if locks and running:
        check.warn(f"Snakemake works here as process {running}", "wait for it, or stop it by Ctrl-C")
    elif locks:
        check.wrong(
            f"{len(locks)} locks are held, and no Snakemake runs here on this machine",
            "if none runs on another login node either: snakemake --unlock",
        )
    if jobs:
        check.warn(
            "cluster jobs of this folder are queued or running: "
            + ", ".join(f"{job} ({status.lower()}, {rule})" for job, (status, rule) in jobs.items()),
            "leave them to the Snakemake that started them; if that one died, wait for them or scancel "
            "them: a second training of the same run refuses to start beside the first",
        )
    unfinished = [] if running else list(outputs_being_made(state))
    if unfinished:
        check.warn(
            f"{len(unfinished)} outputs were being made when Snakemake died, such as {unfinished[0]}",
            "run Snakemake with --rerun-incomplete (the profiles do); trainings go on from their checkpoints",
        )
    for message in explain_files(logs, state / "slurm_logs"):
        problem, _, log = message.partition(". Log: ")
        check.warn(f"an earlier job failed: {problem}", f"see {log}")
    return check


def examine(scale: str, profile: Path | None = None, graph: bool = True, deep: bool = False) -> list[Check]:
    """All checks, in order; a configuration that does not load, or a profile, ends them early.

    With ``deep`` every file that a step has written is read whole, and nothing is taken as remembered.
    """
    if deep:
        shutil.rmtree(RECORDS, ignore_errors=True)
    first = Check("configuration")
    try:
        experiment = load_experiment(scale)
        site = read_site(profile)
    except UserError as error:
        first.wrong(str(error), "mend the file that it names")
        return [first, check_versions()]
    found = [first, check_versions()]
    # What takes seconds, each in a process of its own; forked, as starting Python takes as long again.
    fork, count = multiprocessing.get_context("fork"), len(preflight.LONGEST) + 1
    with ProcessPoolExecutor(count, fork, initializer=_end_quietly) as beside:
        longest = [beside.submit(check, experiment) for check in preflight.LONGEST]
        # The ids of trainings take hashes of what they read, which are remembered for the graph.
        first.facts.append(f"{len(experiment.grid)} runs, {len(experiment.trainings())} trainings")
        first.facts += [f"without run {run.run}: no data set {run.data} here" for run in left_out(experiment)]
        built = beside.submit(build_graph, scale) if graph else None
        with _one_thread():
            try:
                sizes = _sizes(experiment)
            except UserError as error:
                first.wrong(str(error), "mend the file that it names")
                return found
            rest = [
                preflight.check_weights(experiment),
                check_disk(experiment, sizes),
                check_memory(experiment, site),
                check_gpus(experiment, site),
                _check_training(experiment, site),
            ]
        results = [check_results(experiment), check_figures(experiment)]
        try:
            found += [*(check.result() for check in longest), *rest]
            if built:
                named = [one for one in found if one.name in preflight.SOURCES]
                found.append(check_graph(built.result(), named))
        except BrokenProcessPool:
            raise UserError(
                "a check was killed, most likely for want of memory; run mspn doctor where there is more"
            ) from None
    found += [*results, check_workflow(experiment.results / "logs")]
    return found + read_everything(experiment) if deep else found


def _end_quietly() -> None:
    """Ctrl-C ends a process of the pool at once, without a traceback of its own."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Torch's other threads would only wait for the cores, at full load, that the checks beside have."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _check_training(experiment: Experiment, site: Site) -> Check:
    from mspn.cluster.gpu_memory import check_training

    return check_training(experiment, site.gpus(), site.training_options())


def _sizes(experiment: Experiment) -> dict[str, float]:
    from mspn.cluster.costs import count_parameters, disk_bytes

    return disk_bytes(experiment, count_parameters(experiment))


def as_json(checks: list[Check]) -> str:
    """The checks for programs: name, facts, findings with problem, remedy and level."""
    values = [{**vars(check), "findings": [vars(finding) for finding in check.findings]} for check in checks]
    return json.dumps(values, indent=1, default=str)
