"""What the graph makes and is damaged, made again: data sets and crop stores at once, the rest by Snakemake.

What trainings read is made again in its place, as Snakemake would repeat each training whose data are absent.
"""

import shutil
import time
from collections.abc import Iterable
from pathlib import Path

from mspn.cluster.findings import Check
from mspn.cluster.jobs import controllers, slurm_jobs
from mspn.cluster.status import is_locked
from mspn.errors import UserError
from mspn.experiment.experiment import Experiment

DAMAGED = "damaged"  # the folder of results/SCALE that damaged files are moved to
# Below results/SCALE, how deep the folders lie that a job each fills. Snakemake would delete all of a job's
# files before it makes one of them again.
FOLDERS = {"trainings": 2, "trunks": 3, "runs": 4}


def put_aside(
    experiment: Experiment, scale: str, checks: Iterable[Check]
) -> tuple[list[Path], list[list[str]]]:
    """Move all that the checks found damaged, with what the same job has made; nothing is deleted.

    Returns the places moved to, and the words after ``mspn`` that make data sets and crop stores again.
    UserError where Snakemake or its jobs are at work here.
    """
    here, locks = Path.cwd(), experiment.results.glob("checkpoints/*/.lock")
    if controllers(here) or slurm_jobs(here) or any(map(is_locked, locks)):
        raise UserError("--repair: Snakemake, a training or jobs of a cluster work here; wait for them first")
    found = {path: None for check in checks for finding in check.findings for path in finding.damaged}
    results = experiment.results
    target = results / DAMAGED / time.strftime("%Y%m%d-%H%M%S")
    moved, verbs = [], []
    for file in dict.fromkeys(one for path in found for one in made_together(results, path)):
        if file.exists() or file.is_symlink():
            place = target / file.relative_to(results)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(file, place)
            moved.append(place)
    for path in found:
        kind, *inner = path.relative_to(results).parts
        if kind == "data":
            verbs.append(["synth", "--scale", scale, "--dataset", inner[0]])
        elif kind == "crops":
            dataset, _, size = inner[0].rpartition("-")
            verbs.append(["crops", "--scale", scale, "--dataset", dataset, "--input", size])
    return moved, sorted(map(list, set(map(tuple, verbs))), reverse=True)  # data sets before their crops


def made_together(results: Path, path: Path) -> list[Path]:
    """A file below ``results``, and what the job that makes it makes besides."""
    kind, *inner = path.relative_to(results).parts
    if kind == "data":  # pictures that are whole are kept
        return [path]
    if kind == "crops":  # and so are shards
        return [path, path.with_suffix(".json")]
    if kind in FOLDERS:
        return [results.joinpath(kind, *inner[: FOLDERS[kind] - 1])]
    if kind == "boxes":
        name = path.name.removesuffix(".json").removesuffix(".metrics")
        return [path.with_name(f"{name}.json"), path.with_name(f"{name}.metrics.json")]
    names = {"flops.csv": ("flops.csv", "flops.json", "ledger.csv")}.get(path.name, (path.name,))
    return [path.with_name(name + end) for name in names for end in ("", ".sha256")]
