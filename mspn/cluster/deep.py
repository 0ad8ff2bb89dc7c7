"""What a scale's steps have written: whether it belongs together and, read whole, what is damaged."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mspn.cluster.findings import Check
from mspn.cluster.preflight import damaged_split, used_splits
from mspn.data.skeletons import skeleton
from mspn.errors import UserError
from mspn.evaluation.metrics.bootstrap import pack
from mspn.evaluation.metrics.matches import hashes, load_matches
from mspn.evaluation.rescoring import MAIN, MATCHES, intervals
from mspn.experiment.config import SynthData
from mspn.experiment.experiment import Experiment
from mspn.files import read_json
from mspn.report.reading import Damage, read_box_metrics, read_metrics
from mspn.report.results import gather


def _again(experiment: Experiment, path: Path) -> str:
    """The command that makes a file of the graph again."""
    return f"snakemake --cores all --config scale={experiment.scale.name} -R {path}"


def check_figures(experiment: Experiment) -> Check:
    """What the report would refuse: figures that do not belong to their files; and what is stale."""
    check, damage = Check("figures"), Damage()
    results = gather(experiment, damage)
    for path, problem in damage.found.items():
        check.wrong(problem, _again(experiment, path), path)
    check.facts.append(f"{len(results.evaluations)} evaluations agree with their matches")
    for evaluation in results.evaluations.values():
        if evaluation.stale:
            check.warn(f"{evaluation.folder}: {evaluation.stale}", "snakemake -R evaluate measures anew")
    return check


def read_everything(experiment: Experiment) -> list[Check]:
    """Pictures, crop stores, weights, checkpoints and predictions, each read to its end."""
    return [
        check_pictures(experiment),
        check_stores(experiment),
        check_weight_files(experiment),
        check_boxes(experiment),
        check_predictions(experiment),
    ]


def check_pictures(experiment: Experiment) -> Check:
    """Every picture has the hash that its data set lists; without a list, decoders complain of nothing."""
    from mspn.data.load import load_split
    from mspn.data.pictures import read_picture, read_upright

    check = Check("pictures, read whole")
    for name, split in used_splits(experiment):
        data, root = experiment.scale.datasets[name], experiment.data_folder(name)
        if isinstance(data, SynthData) and not (root / "dataset.json").exists():
            continue
        made = isinstance(data, SynthData)
        remedy = "fetch it anew: no step of the workflow makes it"
        if made:
            remedy = f"mspn synth --scale {experiment.scale.name} --dataset {name}"
        try:
            pictures = list(load_split(data, root, split, check_pictures=False).pictures.values())
        except UserError as error:
            damaged_split(check, str(error), experiment, name, split)
            continue
        for picture in pictures:
            try:
                read_picture(picture)
                if picture.sha256 is None:
                    read_upright(picture.path)
            except UserError as error:
                check.wrong(str(error), remedy, *([picture.path] if made else []))
        listed = sum(picture.sha256 is not None for picture in pictures)
        check.facts.append(f"{name} {split}: {len(pictures)} pictures, {listed} with a hash to compare")
    return check


def check_stores(experiment: Experiment) -> Check:
    """Every file of every crop store has its manifest's hash."""
    from mspn.data.store import verify_store

    check = Check("crop stores, read whole")
    for manifest in sorted((experiment.results / "crops").glob("*/manifest.json")):
        dataset, _, size = manifest.parent.name.rpartition("-")
        again = f"mspn crops --scale {experiment.scale.name} --dataset {dataset} --input {size}"
        try:
            found, damaged = verify_store(manifest.parent)
        except UserError as error:
            check.wrong(str(error), again, manifest)
            continue
        check.facts.append(f"{manifest.parent.name}: {found['persons']} persons")
        for path in damaged:
            check.wrong(f"{path}: damaged or missing", again, path)
    return check


def check_weight_files(experiment: Experiment) -> Check:
    """Every training's tensors have the hash of their header, every checkpoint and trunk its own."""
    from mspn.networks.weights import load_weights
    from mspn.training.checkpoints import read_checkpoint

    check = Check("weights and checkpoints, read whole")
    weights = sorted((experiment.results / "trainings").glob("*/weights.safetensors"))
    for path in weights:
        try:
            load_weights(path)
        except UserError as error:
            check.wrong(str(error), _again(experiment, path), path)
    states = sorted(experiment.results.glob("checkpoints/*/step-*.ckpt"))
    states += sorted(experiment.results.glob("trunks/*/*/state.ckpt"))
    for path in states:
        try:
            read_checkpoint(path)
        except ValueError as error:
            remedy = "move it away: a training goes on from the checkpoint before, a trunk is trained again"
            check.wrong(f"{path}: damaged ({error})", remedy, path)
    check.facts.append(f"{len(weights)} weight files, {len(states)} checkpoints")
    return check


def check_boxes(experiment: Experiment) -> Check:
    """Every file of boxes measures what was measured of it; whether it is the same file is asked before."""
    from mspn.data.detectors import box_ap

    check = Check("boxes, measured again")
    for path in sorted((experiment.results / "boxes").glob("*/*.metrics.json")):
        boxes = path.with_name(path.name.removesuffix(".metrics.json") + ".json")
        try:
            told = read_box_metrics(boxes)["box_ap"]
        except (UserError, KeyError, TypeError):
            continue  # the check of figures names it
        annotations = truth(experiment, boxes.parent.name) if told is not None else None
        if annotations is None:
            continue
        try:
            found = box_ap(annotations, read_json(boxes, "file of boxes"))
        except (UserError, KeyError, TypeError) as error:
            check.wrong(f"{boxes}: not a file of boxes: {error}", _again(experiment, boxes), boxes)
            continue
        if abs(found - told) > 1e-6:
            problem = f"{boxes}: box AP {found:.4f}, and {told:.4f} in {path.name}"
            check.wrong(problem, _again(experiment, boxes), boxes)
        check.facts.append(f"{boxes.stem} on {boxes.parent.name}: box AP {found:.1f}")
    return check


def truth(experiment: Experiment, dataset: str) -> dict[str, Any] | None:
    """The annotations that a data set's predictions are scored by; None where they are MPII's or cannot be
    read, which the check of pictures says.
    """
    from mspn.data.load import is_mpii, load_annotations, load_split

    data = experiment.scale.datasets.get(dataset)
    if data is None or is_mpii(data):
        return None
    root = experiment.data_folder(dataset)
    try:
        load_split(data, root, "val", check_pictures=False)  # compares the hashes that are listed
        return load_annotations(data, root, "val")
    except UserError:
        return None


def check_predictions(experiment: Experiment) -> Check:
    """Every evaluation's predictions, scored again, give its matches; and those its figures and intervals."""
    check = Check("evaluations, scored again")
    count = 0
    for folder, problem in _evaluations(experiment):
        count += 1
        if problem:
            check.wrong(problem, _again(experiment, folder / "metrics.json"), folder / "metrics.json")
    check.facts.append(f"{count} evaluations")
    return check


def _evaluations(experiment: Experiment) -> Iterator[tuple[Path, str]]:
    """(folder, what is wrong with it or nothing) of every evaluation that is there."""
    from mspn.evaluation.metrics import coco

    truths: dict[str, Any] = {}
    for run, seed, detector in experiment.evaluations():
        folder, dataset = experiment.evaluation_folder(run, seed, detector), run.datasets[0]
        if not (folder / "metrics.json").is_file():
            continue
        if dataset not in truths:
            # MPII's predictions are kept rounded, and scored unrounded.
            annotations = truth(experiment, dataset)
            truths[dataset] = None if annotations is None else coco.index(annotations)
        try:
            address, rows, _ = read_metrics(folder / "metrics.json", run.joint_set)
        except UserError:
            continue  # the check of figures names it
        try:
            problem = _scored_again(folder, run.joint_set, address, rows, truths[dataset])
        except UserError as error:
            problem = str(error)
        yield folder, problem


def _scored_again(
    folder: Path, joint_set: str, address: dict[str, Any], rows: pd.DataFrame, truth: Any
) -> str:
    """What is wrong with an evaluation; UserError names a damaged file."""
    from mspn.evaluation.metrics import coco

    joints, path = skeleton(joint_set), folder / "metrics.json"
    if not (folder / MATCHES).is_file():
        return ""
    matches = load_matches(folder / MATCHES)
    predictions = folder / "predictions.json"
    if truth is not None and predictions.is_file() and MAIN in matches:
        found = pack(coco.evaluate(truth, read_json(predictions, "predictions"), skeleton=joints))
        if hashes({MAIN: found}) != hashes({MAIN: matches[MAIN]}):
            return f"{predictions}: scored again, it does not give {MATCHES}"
    drawn = address.get("bootstrap") or {}
    if not drawn.get("replicates"):
        return ""
    ends = intervals(matches, joints, int(drawn["seed"]), int(drawn["replicates"]))
    for row in rows.to_dict("records"):
        again = ends.get((row["protocol"], row["metric"]), (row["low"], row["high"]))
        if not np.allclose(again, (row["low"], row["high"]), rtol=0, atol=1e-6, equal_nan=True):
            return f"{path}: the interval of {row['metric']} under {row['protocol']} is not that of {MATCHES}"
    return ""
