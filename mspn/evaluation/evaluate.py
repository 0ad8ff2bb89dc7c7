"""One run on one detector's boxes: a single pass of the network, scored under every protocol, into files.

Written into `Experiment.evaluation_folder`, ``metrics.json`` last: ``predictions.json`` (protocol paper, COCO
results), ``matches.npz`` (what bootstraps need, by protocol), ``stages.npz`` (heat maps by stage, if there
are several).
"""

import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mspn.data.batches import evaluation_batches
from mspn.data.detectors import BOXES_HASH
from mspn.data.load import load_annotations, load_detections, load_split
from mspn.data.persons import Persons
from mspn.errors import UserError
from mspn.evaluation.decode import decode, merge, to_picture
from mspn.evaluation.inference import Ensemble, heat_maps, load_ensemble, stage_maps
from mspn.evaluation.metrics import coco, mpii
from mspn.evaluation.metrics.matches import save_matches
from mspn.evaluation.protocols import Protocol, filter_kernel, protocols_for
from mspn.evaluation.rescoring import EVIDENCE, MAIN, MATCHES, evidence, figure_rows
from mspn.evaluation.scoring import BOOTSTRAP_SEED, matches_of, score_coco, score_mpii
from mspn.experiment import provenance
from mspn.experiment.experiment import Experiment
from mspn.experiment.grid import SUPERVISIONS, Run
from mspn.experiment.joint_sets import load_joint_set
from mspn.files import atomic, read_sealed, sha256, write_json, write_sealed
from mspn.training.hardware import describe_device
from mspn.training.targets import make_targets


def evaluate(
    experiment: Experiment,
    run: Run,
    seed: int,
    detector: str,
    device: torch.device,
    *,
    batch: int = 32,
    workers: int = 0,
) -> Path:
    """Evaluate a run and return the folder of its files.

    Raises UserError where weights, data or boxes are missing or do not belong together.
    """
    if detector not in (experiment.detectors(run) if run.joint_set == "mpii" else experiment.scale.detectors):
        raise UserError(
            f"run {run.run!r} has no detector {detector!r} at scale {experiment.scale.name}; "
            f"the grid asks for {', '.join(experiment.detectors(run))}"
        )
    ensemble = load_run(experiment, run, seed, device)
    folder, who = experiment.evaluation_folder(run, seed, detector), {"run": run.run, "seed": seed}
    return measure(experiment, run, detector, ensemble, folder, who, batch=batch, workers=workers)


def measure(
    experiment: Experiment,
    run: Run,
    detector: str,
    ensemble: Ensemble,
    folder: Path,
    who: dict[str, Any],
    *,
    batch: int = 32,
    workers: int = 0,
) -> Path:
    """Score networks on a run's data, into ``folder``, which is returned; ``who`` begins the address."""
    started = time.monotonic()
    dataset = run.datasets[0]
    data, root = experiment.scale.datasets[dataset], experiment.data_folder(dataset)
    truth = load_split(data, root, "val")
    boxes_file = experiment.boxes_file(dataset, detector)
    if run.joint_set == "mpii":
        boxes, annotations = truth, None
        mpii.check_truth_scores_one(truth.joints, truth.head_sizes, truth.image_ids, truth.name)
    else:
        _check_boxes(boxes_file)
        boxes = load_detections(boxes_file, truth)
        annotations = coco.index(load_annotations(data, root, "val"))
        coco.check_truth_scores_one(annotations, truth.image_ids, truth.joints, truth.name, truth.skeleton)

    protocols = protocols_for(run.joint_set)
    joints = joints_by_way(ensemble, boxes, list(protocols.values()), batch=batch, workers=workers)
    scored = {
        name: score_coco(annotations, truth, boxes, joints[joints_of(protocol)], protocol)
        if annotations is not None
        else score_mpii(truth, joints[joints_of(protocol)])
        for name, protocol in protocols.items()
    }
    (folder / "metrics.json").unlink(missing_ok=True)  # what it speaks of is about to change
    matches = matches_of(scored)
    rows = figure_rows(matches, truth.skeleton, BOOTSTRAP_SEED, experiment.scale.bootstrap)
    main = scored[MAIN]
    results = coco.results(main.image_ids, main.joints, main.scores)
    write_json(folder / "predictions.json", results, indent=None)
    save_matches(folder / MATCHES, matches)
    if not run.members:
        _write_stages(folder / "stages.npz", ensemble, run, truth)
    address = who | _address(experiment, run, detector, ensemble, truth, boxes, boxes_file)
    address["protocols"] = {name: asdict(protocol) for name, protocol in protocols.items()}
    address["pck"] = {
        length: {"persons": len(truth), "without_length": distances.without_length}
        for length, distances in main.pck.items()
    }
    address["seconds"] = round(time.monotonic() - started, 2)
    found = {"address": address, "rows": rows, EVIDENCE: evidence(folder, matches)}
    write_sealed(folder / "metrics.json", found)
    return folder


def _check_boxes(path: Path) -> None:
    """Refuse boxes that are not those that were made; an older version did not write down which they were."""
    beside = path.with_suffix(".metrics.json")
    remedy = f"make both again: snakemake --cores all -R {path}"
    made = read_sealed(beside, "box metrics file", remedy).get(BOXES_HASH) if beside.is_file() else None
    if made is not None and path.is_file() and sha256(path) != made:
        raise UserError(f"{path}: not the boxes that {beside} speaks of; {remedy}")


def load_run(experiment: Experiment, run: Run, seed: int, device: torch.device) -> Ensemble:
    """The networks of a run (several for an ensemble), each checked to be the training that it stands for.

    Raises UserError for a weight file that is missing, damaged, or of another training or geometry.
    """
    members = [experiment.run(name) for name in run.members] or [run]
    paths = [experiment.weights_file(member, seed) for member in members]
    ensemble = load_ensemble(paths, device, experiment.scale.evaluation_precision)
    for path, member, header in zip(paths, members, ensemble.headers, strict=True):
        wanted = {
            "training_id": experiment.training_id(member, seed),
            "joint_set": load_joint_set(member.joint_set).name,
            "input_size": list(experiment.input_size(member)),
            "seed": seed,
            "step": experiment.recipe(member).iterations,
        }
        wrong = [
            f"{key} {header.get(key)!r}, not {value!r}"
            for key, value in wanted.items()
            if header.get(key) != value
        ]
        if wrong:
            raise UserError(
                f"{path}: not the finished training of run {member.run!r}, seed {seed}: {'; '.join(wrong)}; "
                "train it again"
            )
    return ensemble


def joints_of(protocol: Protocol) -> Protocol:
    """The protocol with what only decides how persons are scored left at its default."""
    return replace(protocol, nms=False, box_score=True)


def joints_by_way(
    ensemble: Ensemble, boxes: Persons, protocols: list[Protocol], *, batch: int = 32, workers: int = 0
) -> dict[Protocol, np.ndarray]:
    """Joints (D, K, 3) in picture pixels with scores, by `joints_of` each of the protocols; one pass.

    Heat maps of COCO's detections would fill tens of gigabytes: each batch is decoded in every way at once.
    """
    kernel = filter_kernel(ensemble.skeleton.name)
    parts: dict[Protocol, list[np.ndarray]] = {joints_of(protocol): [] for protocol in protocols}
    order = ensemble.skeleton.mirrored
    for images, matrices, _ in evaluation_batches(
        boxes,
        input_size=ensemble.input_size,
        batch=batch,
        workers=workers,
        pin=ensemble.device.type == "cuda",
    ):
        maps, mirrored = heat_maps(ensemble, images)
        matrices = matrices.to(maps.device)
        for way, joints in parts.items():
            merged = merge(maps, mirrored if way.flip else None, order, way.shift)
            decoded = decode(merged, kernel if way.filter else 0, way.offset)
            joints.append(to_picture(decoded, matrices).cpu().numpy())
    return {way: np.concatenate(arrays) for way, arrays in parts.items()}


def _address(
    experiment: Experiment,
    run: Run,
    detector: str,
    ensemble: Ensemble,
    truth: Persons,
    boxes: Persons,
    boxes_file: Path,
) -> dict[str, Any]:
    """Where the figures come from, whole."""
    members = [
        {key: header.get(key) for key in ("run", "training_id", "tensor_hash", "step", "source", "identity")}
        for header in ensemble.headers
    ]
    single = members[0] if len(members) == 1 else None
    dataset = run.datasets[0]
    return {
        "scale": experiment.scale.name,
        "detector": detector,
        "training_id": "+".join(str(member["training_id"]) for member in members),
        "tensor_hash": "+".join(str(member["tensor_hash"]) for member in members),
        "identity": single["identity"] if single else [member["identity"] for member in members],
        "members": members,
        "input_size": list(ensemble.input_size),
        "precision": ensemble.precision,
        "filter_kernel": filter_kernel(ensemble.skeleton.name),
        "data": {
            "dataset": dataset,
            **experiment.data_identity(dataset, "val"),
            "content": experiment.annotation_hashes(dataset, "val"),
            "images": len(truth.pictures),
            "persons": len(truth),
        },
        "boxes": {
            "count": len(boxes),
            "sha256": sha256(boxes_file) if boxes_file.exists() and boxes is not truth else None,
        },
        "bootstrap": {"replicates": experiment.scale.bootstrap, "seed": BOOTSTRAP_SEED, "level": 0.95},
        **provenance.describe(),
        **describe_device(ensemble.device),
    }


def _write_stages(path: Path, ensemble: Ensemble, run: Run, truth: Persons) -> None:
    """Targets and predictions stage by stage (Figure 4) of one person, the same for every run of a scale.

    Arrays: ``crop`` (H, W, 3) uint8 BGR; ``target`` and ``prediction`` (S, K, H/4, W/4) float16, the finest
    scale; ``joints`` (K, 3) in input pixels; ``person`` (1,) its id. The person has the most visible joints,
    then the largest box. A network of one stage has nothing to show and gets no file.
    """
    path.unlink(missing_ok=True)
    visible = (truth.joints[..., 2] == 2).sum(axis=1)
    row = int(np.lexsort((truth.ids, -truth.boxes[:, 2] * truth.boxes[:, 3], -visible))[0])
    person = truth.select(np.array([row]))
    size = ensemble.input_size
    images, matrices, _ = next(iter(evaluation_batches(person, input_size=size, batch=1)))
    maps = stage_maps(ensemble, images)[0, :, -1]
    if len(maps) < 2:
        return
    _, earlier, last = SUPERVISIONS[run.supervision]
    joints = torch.from_numpy(person.joints).double()
    joints[..., :2] = joints[..., :2] @ matrices[:, :, :2].transpose(1, 2) + matrices[:, None, :, 2]
    kernels = (earlier[-1], last[-1])
    targets = make_targets(joints.float(), kernels, size)[0]
    stages = [targets[0]] * (len(maps) - 1) + [targets[1]]
    with atomic(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(
            file,
            crop=images[0].numpy(),
            target=torch.stack(stages).numpy().astype(np.float16),
            # Half precision ends at 65,504; only a network that is not trained goes there.
            prediction=maps.cpu().numpy().clip(-6e4, 6e4).astype(np.float16),
            joints=joints[0].numpy().astype(np.float32),
            person=person.ids,
        )
