"""Checks of an experiment's inputs before any training: data sets, detections, pretrained weights, truth."""

import re
from typing import Literal

from mspn.cluster.findings import Check
from mspn.errors import UserError
from mspn.experiment.config import CocoData, Data, DetectionFile, SynthData, joint_set_of
from mspn.experiment.experiment import Experiment
from mspn.files import sha256
from mspn.networks.build import construct, definition

Split = Literal["train", "val"]
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


def _is_absent(experiment: Experiment, name: str, split: Split) -> bool:
    """Whether a split's annotations are not there, which the check of data sets says, once."""
    # MPII may be there by its official file, in place of the JSON.
    coco = isinstance(_data(experiment, name), CocoData)
    return coco and not all(path.is_file() for path in experiment.annotation_files(name, split))


def check_data(experiment: Experiment) -> Check:
    """Every split is there, of the size that the scale states; every picture that its annotations name
    exists.
    """
    from mspn.data.load import load_split

    check = Check("data sets")
    for name, split in used_splits(experiment):
        data = _data(experiment, name)
        if isinstance(data, SynthData):
            check.facts.append(f"{name} {split}: synthetic, made by the workflow")
            continue
        try:
            persons = load_split(data, experiment.data_folder(name), split)
        except UserError as error:
            check.wrong(f"{name} {split}: {error}", _where(experiment, name))
            continue
        check.facts.append(f"{name} {split}: {len(persons.pictures)} pictures, {len(persons)} persons")
        pictures, count = data.counts.get(split, (None, None))
        if pictures is not None and len(persons.pictures) != pictures:
            check.wrong(
                f"{name} {split}: {len(persons.pictures)} pictures, not {pictures}",
                f"not the whole split: {_where(experiment, name)}",
            )
        elif count is not None and abs(len(persons) - count) > 1:  # image 366379 is left out by intent
            check.warn(
                f"{name} {split}: {len(persons)} persons, not {count}",
                "see mspn check-data for what was left out and why",
            )
    return check


def check_truth(experiment: Experiment) -> Check:
    """The annotated joints as predictions score 1: reading, geometry and metric agree."""
    from mspn.data.load import is_mpii, load_annotations, load_split
    from mspn.evaluation.metrics import coco, mpii

    check = Check("ground truth scores 1.0")
    for name, split in used_splits(experiment):
        data, root = _data(experiment, name), experiment.data_folder(name)
        if split != "val":
            continue
        if isinstance(data, SynthData) and not (root / "dataset.json").exists():
            check.facts.append(f"{name}: synthetic and not made yet; each evaluation checks it")
            continue
        if _is_absent(experiment, name, split):
            check.facts.append(f"{name}: not there")
            continue
        try:
            persons = load_split(data, root, "val", check_pictures=False)
            if is_mpii(data):
                mpii.check_truth_scores_one(
                    persons.joints, persons.head_sizes, persons.image_ids, persons.name
                )
            else:
                truth = coco.index(load_annotations(data, root, "val"))
                coco.check_truth_scores_one(
                    truth, persons.image_ids, persons.joints, persons.name, persons.skeleton
                )
            check.facts.append(f"{name}: 1.0")
        except UserError as error:
            check.wrong(f"{name}: {error}", f"annotations are damaged or edited: {_where(experiment, name)}")
    return check


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
    from mspn.data.detectors import as_detections, box_ap, read_detections
    from mspn.data.load import load_annotations, load_split

    remedy = (
        f"put COCO results (image_id, category_id, bbox, score) with a box AP of {detector.box_ap} at "
        f"{detector.path}, or change detectors.{name} in the scale's file"
    )
    if not detector.path.exists():
        check.wrong(f"{name}: {detector.path} is not there", remedy)
        return
    if _is_absent(experiment, dataset, "val"):
        check.facts.append(f"{name} on {dataset}: not measured, as the annotations are not there")
        return
    data, root = _data(experiment, dataset), experiment.data_folder(dataset)
    try:
        persons = load_split(data, root, "val", check_pictures=False)
        annotations = load_annotations(data, root, "val")
        detections = as_detections(read_detections(detector.path, persons))
    except UserError as error:
        check.wrong(f"{name}: {error}", remedy)
        return
    measured = box_ap(annotations, detections)
    check.facts.append(f"{name} on {dataset}: {len(detections)} boxes, box AP {measured:.1f}")
    if detector.box_ap is not None and abs(measured - detector.box_ap) > BOX_AP_TOLERANCE:
        check.wrong(f"{name}: box AP {measured:.1f} measured, {detector.box_ap} expected", remedy)


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
        if match and not sha256(file).startswith(match[1]):
            check.wrong(f"{file}: its SHA-256 does not begin with {match[1]}, as its name promises", remedy)
    said: dict[str, list[str]] = {}
    for network in experiment.networks():
        try:
            said.setdefault(_start(experiment, network), []).append(network)
        except UserError as error:
            if not any(finding.problem == str(error) for finding in check.findings):
                check.wrong(str(error), remedy)
    check.facts += [f"{', '.join(networks)}: {sentence}" for sentence, networks in said.items()]
    return check


def _start(experiment: Experiment, name: str) -> str:
    """What a network starts from, said by the code that does it in a training."""
    from mspn.networks.imagenet import pretrain

    run = next(run for run in experiment.trained if run.network == name)
    return pretrain(construct(*definition(run, experiment.scale.width)), experiment, run)
