"""What a scale's steps have written: whether it belongs together and, read whole, what is damaged."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mspn.cluster.findings import Check
from mspn.cluster.preflight import used_splits
from mspn.data.skeletons import skeleton
from mspn.errors import UserError
from mspn.evaluation.metrics.bootstrap import pack
from mspn.evaluation.metrics.matches import hashes, load_matches
from mspn.evaluation.rescoring import MAIN, MATCHES, intervals
from mspn.experiment.config import SynthData
from mspn.experiment.experiment import Experiment
from mspn.files import read_json
from mspn.report.reading import Damage, read_box_metrics, read_metrics
from mspn.report.results import collect

AGAIN = "snakemake --cores all --config scale={scale} -R {path}"


def check_figures(experiment: Experiment) -> Check:
    """What the report would refuse: figures that do not belong to their files; and what is stale."""
    check = Check("figures")
    try:
        results = collect(experiment)
    except UserError as error:
        problem, _, remedy = str(error).rpartition(". This makes them again: ")
        check.wrong(problem or str(error), remedy or "mend the file that it names")
        return check
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
        remedy = (
            f"mspn synth --scale {experiment.scale.name} --dataset {name}"
            if isinstance(data, SynthData)
            else "fetch these anew"
        )
        try:
            pictures = list(load_split(data, root, split, check_pictures=False).pictures.values())
        except UserError as error:
            check.wrong(str(error), remedy)
            continue
        for picture in pictures:
            try:
                read_picture(picture)
                if picture.sha256 is None:
                    read_upright(picture.path)
            except UserError as error:
                check.wrong(str(error), remedy)
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
            found = verify_store(manifest.parent)
            check.facts.append(f"{manifest.parent.name}: {found['persons']} persons")
        except UserError as error:
            check.wrong(str(error), again)
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
            check.wrong(str(error), AGAIN.format(scale=experiment.scale.name, path=path))
    states = sorted(experiment.results.glob("checkpoints/*/step-*.ckpt"))
    states += sorted(experiment.results.glob("trunks/*/*/state.ckpt"))
    for path in states:
        try:
            read_checkpoint(path)
        except ValueError as error:
            check.wrong(f"{path}: damaged ({error})", "remove it: a training goes on from the one before")
    check.facts.append(f"{len(weights)} weight files, {len(states)} checkpoints")
    return check


def check_boxes(experiment: Experiment) -> Check:
    """Every file of boxes is the one that was measured, and measures that again."""
    from mspn.data.detectors import box_ap
    from mspn.data.load import is_mpii, load_annotations

    check = Check("boxes, measured again")
    for path in sorted((experiment.results / "boxes").glob("*/*.metrics.json")):
        boxes = path.with_name(path.name.removesuffix(".metrics.json") + ".json")
        again = AGAIN.format(scale=experiment.scale.name, path=boxes)
        data = experiment.scale.datasets.get(boxes.parent.name)
        try:
            told = read_box_metrics(boxes)["box_ap"]
            if data is None or is_mpii(data) or told is None:
                continue
            annotations = load_annotations(data, experiment.data_folder(boxes.parent.name), "val")
            found = box_ap(annotations, read_json(boxes, "file of boxes"))
            if abs(found - told) > 1e-6:
                check.wrong(f"{boxes}: box AP {found:.4f}, and {told:.4f} in {path.name}", again)
            check.facts.append(f"{boxes.stem} on {boxes.parent.name}: box AP {found:.1f}")
        except (UserError, KeyError, TypeError) as error:
            check.wrong(str(error), again)
    return check


def check_predictions(experiment: Experiment) -> Check:
    """Every evaluation's predictions, scored again, give its matches; and those its figures and intervals."""
    check, damage = Check("evaluations, scored again"), Damage()
    count = 0
    for folder, problem in _evaluations(experiment):
        count += 1
        if problem:
            damage.found[folder / "metrics.json"] = problem
    check.facts.append(f"{count} evaluations")
    if damage.found:
        check.wrong("; ".join(damage.found.values()), damage.command(experiment.scale.name))
    return check


def _evaluations(experiment: Experiment) -> Iterator[tuple[Path, str]]:
    """(folder, what is wrong with it or nothing) of every evaluation that is there."""
    from mspn.data.load import load_annotations
    from mspn.evaluation.metrics import coco

    truths: dict[str, Any] = {}
    for run, seed, detector in experiment.evaluations():
        folder, dataset = experiment.evaluation_folder(run, seed, detector), run.datasets[0]
        if not (folder / "metrics.json").is_file():
            continue
        try:
            if dataset not in truths:
                data, root = experiment.scale.datasets[dataset], experiment.data_folder(dataset)
                given = run.joint_set == "mpii"  # its predictions are kept rounded, and scored unrounded
                truths[dataset] = None if given else coco.index(load_annotations(data, root, "val"))
            yield folder, _scored_again(folder, run.joint_set, truths[dataset])
        except UserError as error:
            yield folder, str(error)


def _scored_again(folder: Path, joint_set: str, truth: Any) -> str:
    """What is wrong with an evaluation; UserError names a damaged file."""
    from mspn.evaluation.metrics import coco

    joints, path = skeleton(joint_set), folder / "metrics.json"
    address, rows, _ = read_metrics(path, joint_set)
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
