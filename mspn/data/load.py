"""A scale's data sets as Persons, whatever their layout."""

from pathlib import Path
from typing import Any, Literal

from mspn.config import Data, MpiiData, SynthData
from mspn.data.coco import read_annotations, read_coco
from mspn.data.persons import Persons
from mspn.errors import UserError

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

    Raises UserError that names the file and the entry; see the readers for what is left out.
    """
    return read_coco(Path(root), split_name(data, split), check_pictures)


def load_annotations(data: Data, root: Path, split: Split) -> dict[str, Any]:
    """COCO's own annotations of a split, crowd and unlabelled persons included, as scoring needs them."""
    if is_mpii(data):
        raise UserError(f"{root}: MPII has no annotations in COCO's form")
    return read_annotations(Path(root), split_name(data, split))
