"""The ceiling of a scale: what perfect heat maps score on its own validation persons.

A heat map has a pixel for four of the input's side, and joints are read off at quarters of a pixel. What that
costs no network can win back: of the demo's persons 43 AP at 64x48, 2 AP at 256x192. The flip test gives some
of it back, as the mirror image lies on the grid otherwise: 64x48 has 57.0 AP without and 63.7 with it.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from mspn.data.geometry import crop_matrices, test_crops, transform
from mspn.data.load import load_annotations, load_split
from mspn.data.persons import Persons
from mspn.data.skeletons import Skeleton
from mspn.evaluation.decode import decode, merge, to_picture
from mspn.evaluation.metrics import coco, mpii
from mspn.evaluation.protocols import PROTOCOLS, Protocol, filter_kernel
from mspn.evaluation.rescoring import rescored
from mspn.evaluation.scoring import matches_of, score_coco, score_mpii
from mspn.experiment.experiment import Experiment
from mspn.experiment.grid import FINE
from mspn.training.targets import make_targets

BATCH = 256  # persons whose heat maps are in memory at once
Row = dict[str, Any]


def ceilings(experiment: Experiment) -> list[Row]:
    """What perfect heat maps score on every data set and at every input size that the scale evaluates on.

    A row each: ``dataset``, ``input`` as HEIGHTxWIDTH, ``protocol``, ``metric``, ``value`` in percent and the
    number of ``persons``.

    True boxes; the true joints' targets of the finest scale's kernel (`FINE`) are the heat maps, and those of
    the mirrored joints the mirror image's. Under the protocols "paper" and "no-flip": AP, and the mean PCK of
    each length that the joint set names.
    """
    wanted = dict.fromkeys((run.datasets[0], experiment.input_size(run)) for run in experiment.trained)
    return [
        ceiling
        for dataset, size in wanted
        for name in ("paper", "no-flip")
        for ceiling in _ceilings(experiment, dataset, size, name)
    ]


def _ceilings(experiment: Experiment, dataset: str, size: tuple[int, int], name: str) -> Iterator[Row]:
    data, root = experiment.scale.datasets[dataset], experiment.data_folder(dataset)
    truth = load_split(data, root, "val", check_pictures=False)
    joints = perfect_joints(truth, size, PROTOCOLS[name])
    if truth.skeleton.name == "mpii":
        scored = score_mpii(truth, joints)
    else:
        annotations = coco.index(load_annotations(data, root, "val"))
        scored = score_coco(annotations, truth, truth, joints, PROTOCOLS[name])
    found = rescored(matches_of({name: scored}), truth.skeleton)
    for metric in ("AP", mpii.PCKH.mean, *(one.name for one in truth.skeleton.pck)):
        if (name, metric) in found:
            yield {
                "dataset": dataset, "input": f"{size[0]}x{size[1]}", "protocol": name, "metric": metric,
                "value": found[name, metric], "persons": len(truth),
            }  # fmt: skip


def perfect_joints(truth: Persons, size: tuple[int, int], protocol: Protocol) -> np.ndarray:
    """(N, K, 3) joints in picture pixels with scores, as decoded from the targets of the true ones."""
    enlarge = truth.skeleton.name != "mpii"
    matrices = crop_matrices(test_crops(truth.boxes, size, enlarge), size)
    inside = truth.joints.astype(np.float64)
    inside[..., :2] = transform(inside[..., :2], matrices)
    parts = []
    for start in range(0, len(truth), BATCH):
        rows = slice(start, start + BATCH)
        there = torch.from_numpy(inside[rows]).float()
        maps = make_targets(there, FINE[-1:], size)[:, 0]
        mirrored = _mirrored_targets(there, truth.skeleton, size) if protocol.flip else None
        merged = merge(maps, mirrored, truth.skeleton.mirrored, protocol.shift)
        joints = decode(merged, filter_kernel(truth.skeleton.name) if protocol.filter else 0)
        parts.append(to_picture(joints, torch.from_numpy(matrices[rows])).numpy())
    return np.concatenate(parts)


def _mirrored_targets(joints: torch.Tensor, skeleton: Skeleton, size: tuple[int, int]) -> torch.Tensor:
    """(N, K, h, w) what a perfect network gives for the crops' mirror images, of joints (N, K, 3)."""
    mirrored = joints[:, torch.from_numpy(skeleton.mirrored)].clone()
    mirrored[..., 0] = size[1] - 1 - mirrored[..., 0]
    return make_targets(mirrored, FINE[-1:], size)[:, 0]
