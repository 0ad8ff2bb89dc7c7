"""Checks of an experiment's inputs before any training: data sets, detections, pretrained weights, truth."""

import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mspn.cluster.findings import Check
from mspn.cluster.remembered import remembered
from mspn.errors import UserError
from mspn.experiment.config import Data, DetectionFile, SynthData, joint_set_of
from mspn.experiment.experiment import Experiment
from mspn.experiment.grid import Run
from mspn.experiment.identity import code_hash, content_hash
from mspn.experiment.joint_sets import load_joint_set
from mspn.experiment.networks import is_own, network_spec

if TYPE_CHECKING:
    from mspn.data.persons import Persons

Split = Literal["train", "val"]
SOURCES = ("data sets", "detections", "pretrained weights")  # the checks that name files that are absent
_NAMED = 5  # lines of an error that names every parameter that does not fit
BOX_AP_TOLERANCE = 0.1  # percent: a detection file is measured, not simulated
WHERE = {
    "coco": "download train2017, val2017 and annotations_trainval2017 from https://cocodataset.org",
    "external": "the paper's external data set is not public; link a data set in COCO's layout here, or "
    "leave the "
    "runs with coco+external out of the scale's runs",
    "mpii": "download mpii_human_pose_v1 from http://human-pose.mpi-inf.mpg.de and its JSON annotations",
}


def used_splits(experiment: Experiment) -> list[tuple[str, Split]]:
    """The splits that the scale's runs read, each once: training sets, and the first one's validation set."""
    names = {name: None for run in experiment.grid.values() for name in run.datasets}
    evaluated = {run.datasets[0] for run in experiment.grid.values()}
    splits: list[tuple[str, Split]] = []
    for name in names:
        splits.append((name, "train"))
        if name in evaluated:
            splits.append((name, "val"))
    return splits


def _data(experiment: Experiment, name: str) -> Data:
    return experiment.scale.datasets[name]


def _where(experiment: Experiment, name: str) -> str:
    """Where a data set is to be had; of one's own, where it is expected."""
    own = f"put its annotations/ and pictures into {experiment.data_folder(name)}, or mend datasets.{name}"
    return WHERE.get(name, own) if joint_set_of(_data(experiment, name)) in ("coco", "mpii") else own


def _question(experiment: Experiment, name: str, split: Split) -> dict[str, Any]:
    """What decides, besides its files, what is found in a split."""
    data = _data(experiment, name)
    return {
        "data": data.model_dump(mode="json", exclude={"counts"}),
        "joints": load_joint_set(joint_set_of(data)).model_dump(mode="json"),
        "split": split,
        "code": code_hash("mspn/data", "mspn/evaluation/metrics"),
    }


def _files(experiment: Experiment, name: str) -> list[Path]:
    """What a data set's splits are read from, pictures apart: files in its folder and in ``annotations/``."""
    root = experiment.data_folder(name)
    folders = [root, root / "annotations"]
    return [*folders, *(path for folder in folders for path in folder.glob("*") if path.is_file())]


def damaged_split(check: Check, problem: str, experiment: Experiment, name: str, split: Split) -> None:
    """Record that a split's annotations are not what they should be; the workflow makes synthetic ones."""
    from mspn.data.hashes import hash_list
    from mspn.data.load import split_name

    data = _data(experiment, name)
    if isinstance(data, SynthData):
        again = f"mspn synth --scale {experiment.scale.name} --dataset {name}"
        listed = hash_list(experiment.data_folder(name), split_name(data, split))
        check.wrong(problem, again, *experiment.annotation_files(name, split), listed)
    else:
        check.wrong(problem, f"annotations are damaged or edited: {_where(experiment, name)}")


def check_data(experiment: Experiment) -> Check:
    """Every split is there, of the size that the scale states; every picture that its annotations name
    exists.
    """
    check = Check("data sets")
    for name, split in used_splits(experiment):
        data = _data(experiment, name)
        if isinstance(data, SynthData):
            check.facts.append(f"{name} {split}: synthetic, made by the workflow")
            continue
        try:
            pictures, persons = _count(experiment, name, split)
        except UserError as error:
            check.wrong(f"{name} {split}: {error}", _where(experiment, name))
            continue
        check.facts.append(f"{name} {split}: {pictures} pictures, {persons} persons")
        stated, count = data.counts.get(split, (None, None))
        if stated is not None and pictures != stated:
            check.wrong(
                f"{name} {split}: {pictures} pictures, not {stated}",
                f"not the whole split: {_where(experiment, name)}",
            )
        elif count is not None and abs(persons - count) > 1:  # image 366379 is left out by intent
            check.warn(
                f"{name} {split}: {persons} persons, not {count}",
                "see mspn check-data for what was left out and why",
            )
    return check


def _count(experiment: Experiment, name: str, split: Split) -> list[int]:
    """Pictures and persons of a split; UserError where it cannot be read, or a picture is missing."""
    from mspn.data.load import load_split

    def find() -> tuple[list[int], set[Path]]:
        persons = load_split(_data(experiment, name), experiment.data_folder(name), split)
        folders = {picture.path.parent for picture in persons.pictures.values()}
        return [len(persons.pictures), len(persons)], {*folders, *_files(experiment, name)}

    label = f"{experiment.data_folder(name)}, {split}: pictures and persons"
    counted: list[int] = remembered(label, _question(experiment, name, split), find)
    return counted


class _Unreadable(UserError):
    """A split that cannot be read, which the check of data sets says, once."""


def _read_val(experiment: Experiment, name: str) -> "Persons":
    """The validation split without a look at its pictures."""
    from mspn.data.load import load_split

    data, root = _data(experiment, name), experiment.data_folder(name)
    try:
        return load_split(data, root, "val", check_pictures=False)
    except UserError as error:
        raise (error if isinstance(data, SynthData) else _Unreadable(str(error))) from None


def check_truth(experiment: Experiment) -> Check:
    """The annotated joints as predictions score 1: reading, geometry and metric agree."""
    check = Check("ground truth scores 1.0")
    for name, split in used_splits(experiment):
        data, root = _data(experiment, name), experiment.data_folder(name)
        if split != "val":
            continue
        if isinstance(data, SynthData) and not (root / "dataset.json").exists():
            check.facts.append(f"{name}: synthetic and not made yet; each evaluation checks it")
            continue
        try:
            question = _question(experiment, name, "val")
            remembered(f"{root}, val: truth", question, partial(_score_truth, experiment, name))
            check.facts.append(f"{name}: 1.0")
        except _Unreadable:
            check.facts.append(f"{name}: not scored, as it cannot be read")
        except UserError as error:
            damaged_split(check, f"{name}: {error}", experiment, name, split)
    return check


def _score_truth(experiment: Experiment, name: str) -> tuple[None, list[Path]]:
    """UserError where the annotated persons do not score 1."""
    from mspn.data.load import is_mpii, load_annotations
    from mspn.evaluation.metrics import coco, mpii

    data, root, persons = _data(experiment, name), experiment.data_folder(name), _read_val(experiment, name)
    if is_mpii(data):
        mpii.check_truth_scores_one(persons.joints, persons.head_sizes, persons.image_ids, persons.name)
    else:
        truth = coco.index(load_annotations(data, root, "val"))
        coco.check_truth_scores_one(truth, persons.image_ids, persons.joints, persons.name, persons.skeleton)
    return None, _files(experiment, name)


def check_detections(experiment: Experiment) -> Check:
    """Every detection file is there and measures the box AP that the scale expects of it."""
    check = Check("detections")
    used = {(run.datasets[0], d) for run in experiment.grid.values() for d in experiment.detectors(run)}
    for dataset, name in sorted(used):
        detector = experiment.scale.detectors[name]
        if isinstance(detector, DetectionFile):
            _check_file(experiment, check, dataset, name, detector)
        else:
            check.facts.append(f"{name} on {dataset}: made by the workflow ({detector.kind})")
    return check


def _check_file(
    experiment: Experiment, check: Check, dataset: str, name: str, detector: DetectionFile
) -> None:
    remedy = (
        f"put COCO results (image_id, category_id, bbox, score) with a box AP of {detector.box_ap} at "
        f"{detector.path}, or change detectors.{name} in the scale's file"
    )
    if not detector.path.exists():
        check.wrong(f"{name}: {detector.path} is not there", remedy)
        return
    label = f"{detector.path} on {experiment.data_folder(dataset)}: box AP"
    try:
        count, measured = remembered(
            label,
            _question(experiment, dataset, "val"),
            lambda: _measure_boxes(experiment, dataset, detector.path),
        )
    except _Unreadable:
        check.facts.append(f"{name} on {dataset}: not measured, as the annotations cannot be read")
        return
    except UserError as error:
        check.wrong(f"{name}: {error}", remedy)
        return
    check.facts.append(f"{name} on {dataset}: {count} boxes, box AP {measured:.1f}")
    if detector.box_ap is not None and abs(measured - detector.box_ap) > BOX_AP_TOLERANCE:
        check.wrong(f"{name}: box AP {measured:.1f} measured, {detector.box_ap} expected", remedy)


def _measure_boxes(experiment: Experiment, dataset: str, path: Path) -> tuple[list[float], list[Path]]:
    """The number of boxes and their box AP in percent."""
    from mspn.data.detectors import as_detections, box_ap, read_detections
    from mspn.data.load import load_annotations

    detections = as_detections(read_detections(path, _read_val(experiment, dataset)))
    annotations = load_annotations(_data(experiment, dataset), experiment.data_folder(dataset), "val")
    return [len(detections), box_ap(annotations, detections)], [path, *_files(experiment, dataset)]


def check_weights(experiment: Experiment) -> Check:
    """ImageNet weights are there for every network that starts from them, fit, and have their name's hash."""
    check = Check("pretrained weights")
    folder = experiment.scale.pretrained
    if folder is None:
        check.facts.append("this scale trains from scratch")
        return check
    remedy = (
        f"put torchvision's ImageNet weights into {folder}: resnet18-f37072fd.pth, resnet50-0676ba61.pth, "
        "resnet101-63fe2227.pth, resnet152-394f9c45.pth from https://download.pytorch.org/models/"
    )
    for file in sorted(folder.glob("*.pth")) if folder.is_dir() else ():
        match = re.fullmatch(r".*-([0-9a-f]{8,})\.pth", file.name)
        if match and not str(content_hash(file)).startswith(match[1]):
            check.wrong(f"{file}: its SHA-256 does not begin with {match[1]}, as its name promises", remedy)
    said: dict[str, list[str]] = {}
    for network in experiment.networks():
        try:
            said.setdefault(_start(experiment, network), []).append(network)
        except UserError as error:
            lines = str(error).splitlines()
            more = [f"  and {len(lines) - _NAMED} more"] if len(lines) > _NAMED else []
            problem = "\n".join([*lines[:_NAMED], *more])
            if not any(finding.problem == problem for finding in check.findings):
                check.wrong(problem, remedy)
    check.facts += [f"{', '.join(networks)}: {sentence}" for sentence, networks in said.items()]
    return check


def _start(experiment: Experiment, name: str) -> str:
    """What a network starts from, said by the code that does it in a training."""
    run = next(run for run in experiment.trained if run.network == name)
    if is_own(name):  # another module's code, whose changes nobody here sees
        return _pretrain(experiment, run)[0]
    question = {"network": network_spec(name), "code": code_hash("mspn/networks", "baselines")}
    label = f"{experiment.scale.pretrained}: {name}"
    sentence: str = remembered(label, question, lambda: _pretrain(experiment, run))
    return sentence


def _pretrain(experiment: Experiment, run: Run) -> tuple[str, list[Path]]:
    import warnings

    from mspn.networks.build import outline
    from mspn.networks.imagenet import pretrain

    file, folder = experiment.pretrained_file(run), experiment.scale.pretrained
    network = outline(run, experiment.scale.width)  # names and shapes tell whether the file fits
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "for .*: copying from a non-meta parameter")
        sentence = pretrain(network, experiment, run)
    return sentence, [path for path in (file, folder) if path]


LONGEST = (check_data, check_truth, check_detections)  # seconds, at COCO's size
