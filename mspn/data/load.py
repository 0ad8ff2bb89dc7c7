"""A scale's data sets as Persons, whatever their layout."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from mspn.data.coco import read_annotations, read_coco
from mspn.data.detectors import read_detections
from mspn.data.hashes import read_hashes, with_hashes
from mspn.data.mpii import read_mpii
from mspn.data.persons import Persons, Picture
from mspn.data.skeletons import skeleton
from mspn.errors import UserError
from mspn.experiment.config import Data, MpiiData, SynthData, joint_set_of
from mspn.experiment.experiment import Experiment
from mspn.experiment.grid import Run

if TYPE_CHECKING:
    from mspn.data.store import CropStore

Split = Literal["train", "val"]


def split_name(data: Data, split: Split) -> str:
    """The data set's own name of a split; UserError where it has none."""
    if isinstance(data, SynthData):
        return "valid" if (data.layout, split) == ("mpii", "val") else split
    name = data.train if split == "train" else data.val
    if name is None:
        raise UserError(f"{data.root}: the data set has no {split} split")
    return name


def is_mpii(data: Data) -> bool:
    """Whether the data set is in MPII's layout, with its joints; else COCO's."""
    return isinstance(data, MpiiData) or (isinstance(data, SynthData) and data.layout == "mpii")


def load_split(data: Data, root: Path, split: Split, check_pictures: bool = True) -> Persons:
    """The persons of a data set's split; ``root`` is ``Experiment.data_folder``.

    Raises UserError that names the file and the entry; see the readers for what is left out. Where the data
    set has a list of hashes, annotations that have another are refused, and so are pictures when they are
    read.
    """
    name, root = split_name(data, split), Path(root)
    listed = read_hashes(root, name)
    if is_mpii(data):
        persons = read_mpii(root, name, check_pictures)
    else:
        persons = read_coco(root, name, check_pictures, skeleton(joint_set_of(data)))
    return with_hashes(persons, listed, root) if listed else persons


def load_annotations(data: Data, root: Path, split: Split) -> dict[str, Any]:
    """COCO's own annotations of a split, crowd and unlabelled persons included, as scoring needs them."""
    if is_mpii(data):
        raise UserError(f"{root}: MPII has no annotations in COCO's form")
    return read_annotations(Path(root), split_name(data, split))


def join(parts: list[Persons]) -> Persons:
    """Several data sets of one joint set as one, rows in order; image and annotation ids are renumbered."""
    if len(parts) == 1:
        return parts[0]
    if len({part.skeleton.name for part in parts}) != 1:
        raise UserError(f"data sets of different joint sets: {', '.join(part.name for part in parts)}")
    pictures: dict[int, Picture] = {}
    image_ids = []
    for part in parts:
        new = {old: len(pictures) + i for i, old in enumerate(part.pictures)}
        pictures |= {new[old]: picture for old, picture in part.pictures.items()}
        image_ids += [new[old] for old in part.image_ids.tolist()]
    rows = {
        key: np.concatenate([getattr(part, key) for part in parts])
        for key in ("boxes", "joints", "scores", "areas", "head_sizes")
    }
    return Persons(
        name=" + ".join(part.name for part in parts),
        skeleton=parts[0].skeleton,
        pictures=pictures,
        ids=np.arange(len(image_ids)),
        image_ids=np.array(image_ids, np.int64),
        **rows,
    )


def load_detections(path: Path, persons: Persons) -> Persons:
    """The detections in ``path`` (COCO's result format) on the pictures of ``persons``; see ``detectors``."""
    return read_detections(Path(path), persons)


def load_training(
    experiment: Experiment, run: Run, exact: bool = False
) -> "tuple[list[Persons], CropStore | None]":
    """A run's training persons, a data set each, and their crop stores, joined as ``join`` joins persons.

    None in place of stores where the scale uses none, or with ``exact``. UserError says which store is
    missing, unfinished, foreign or truncated.
    """
    from mspn.data.store import join_stores, open_store

    size, settings = experiment.input_size(run), "exact" if exact else experiment.scale.crops
    parts, stores = [], []
    for name in run.datasets:
        data = experiment.scale.datasets[name]
        pictures = settings == "exact"
        parts.append(load_split(data, experiment.data_folder(name), "train", check_pictures=pictures))
        if settings != "exact":
            folder, augmentation = experiment.crop_store(name, size), experiment.augmentation(name)
            stores.append(open_store(folder, parts[-1], size, augmentation, settings))
    return parts, join_stores(stores) if stores else None
