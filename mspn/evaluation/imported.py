"""Weights from elsewhere on a scale's data: a run's whole evaluation, kept apart and marked as what it is."""

import re
from dataclasses import replace
from pathlib import Path

import torch

from mspn.data.skeletons import skeleton
from mspn.errors import UserError, shown
from mspn.evaluation.evaluate import measure
from mspn.evaluation.inference import Ensemble, load_ensemble
from mspn.experiment.experiment import Experiment
from mspn.experiment.grid import Run
from mspn.experiment.identity import digest
from mspn.files import read_json, sha256


def evaluate_weights(
    experiment: Experiment,
    path: Path,
    detector: str,
    device: torch.device,
    *,
    out: Path | None = None,
    batch: int = 32,
    workers: int = 0,
) -> Path:
    """Evaluate a weight file and return the folder of its files: ``out``, or the one that the report reads.

    That is ``Experiment.imported_folder``, named after the file. Raises UserError, before any data are read,
    where the network's joints or input size are not the scale's, boxes are missing, or the folder holds the
    figures of other weights.
    """
    ensemble = load_ensemble([path], device, experiment.scale.evaluation_precision)
    header = ensemble.headers[0]
    run = _run(experiment, path, ensemble, detector)
    folder = out or experiment.imported_folder(run.run, detector)
    there = _measured_before(folder)
    if there is not None and there != header["tensor_hash"]:
        raise UserError(
            f"{folder}: holds figures of other weights ({there[:12]}); remove it, or rename {path}"
        )
    who = {
        "file": path.name,
        "sha256": sha256(path),
        "source": header.get("source"),
        "measured_by": digest(experiment.measuring_identity(run.datasets[0], detector)),
    }
    return measure(
        experiment, run, detector, ensemble, folder, {"imported": who}, batch=batch, workers=workers
    )


def _run(experiment: Experiment, path: Path, ensemble: Ensemble, detector: str) -> Run:
    """The weights as a run of no grid, named after the file; UserError where they do not fit the scale.

    Its data are those of the grid's first run with the same joints and input size.
    """
    scale = experiment.scale
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", path.stem):
        raise UserError(
            f"'{shown(path.stem)}' cannot name a folder of results; rename the file to letters, digits, '.', "
            "'_' and '-'"
        )
    runs = [run for run in experiment.grid.values() if skeleton(run.joint_set) == ensemble.skeleton]
    if not runs:
        sets = sorted({skeleton(run.joint_set).name for run in experiment.grid.values()})
        raise UserError(
            f"{path}: predicts the joints of {ensemble.skeleton.name}; scale {scale.name} has runs on those "
            f"of {', '.join(sets)} only"
        )
    sizes = {experiment.input_size(run): run for run in reversed(runs)}
    if ensemble.input_size not in sizes:
        wanted = " or ".join(f"{height}x{width}" for height, width in sorted(sizes))
        height, width = ensemble.input_size
        raise UserError(
            f"{path}: its input is {height}x{width}, that of scale {scale.name}'s runs on the same joints is "
            f"{wanted}; if the weights were trained at that, import them with --input"
        )
    like = sizes[ensemble.input_size]
    given = like.joint_set == "mpii"  # its persons are given, not detected
    known = experiment.detectors(like) if given else list(scale.detectors)
    if detector not in known:
        raise UserError(f"scale {scale.name} has no detector {detector!r} for it; it has: {', '.join(known)}")
    boxes = experiment.boxes_file(like.datasets[0], detector)
    if not given and not boxes.is_file():
        raise UserError(
            f"{boxes}: no boxes yet; make them by `mspn detect --scale {scale.name} --dataset "
            f"{like.datasets[0]} --detector {detector}`"
        )
    # Published MSPNs were trained from coarse to fine: the targets beside their heat maps are that's.
    return replace(
        like, run=path.stem, network="", members=(), row="", changes=(), supervision="ctf",
        detectors=(detector,),
    )  # fmt: skip


def _measured_before(folder: Path) -> str | None:
    """The hash of the weights whose figures a folder holds; None where it holds none."""
    if not (folder / "metrics.json").exists():
        return None
    try:
        return str(read_json(folder / "metrics.json", "metrics file")["address"]["tensor_hash"])
    except (KeyError, TypeError):
        raise UserError(f"{folder / 'metrics.json'}: not a metrics file; remove it") from None
