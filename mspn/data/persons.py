"""The one form of every data set: its persons as arrays, a row each, and the pictures that they stand in."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mspn.data.skeletons import Skeleton


@dataclass(frozen=True)
class Picture:
    """A picture of the data set: its file, its size in pixels, and the file's hash where that is known."""

    path: Path
    width: int
    height: int
    sha256: str | None = None


@dataclass(frozen=True)
class Persons:
    """N persons with K joints each. Coordinates are pixels of the picture, x right, y down.

    ``joints`` holds x, y and the visibility v in COCO's sense: 0 not labelled (x = y = 0), 1 labelled but
    hidden, 2 visible. ``boxes`` holds x, y, width, height. ``scores`` are 1 for annotated boxes and the
    detector's for detections. ``areas`` are COCO's segment areas (NaN where there is none). ``head_sizes``
    are MPII's (NaN elsewhere).
    """

    name: str  # data set and split, for messages
    skeleton: Skeleton
    pictures: dict[int, Picture]  # by image id; also those without a person
    ids: np.ndarray  # (N,) int64, unique: annotation ids; for detections 0, 1, 2, ...
    image_ids: np.ndarray  # (N,) int64
    boxes: np.ndarray  # (N, 4) float32
    joints: np.ndarray  # (N, K, 3) float32; all 0 for detections
    scores: np.ndarray  # (N,) float32
    areas: np.ndarray  # (N,) float32
    head_sizes: np.ndarray  # (N,) float32
    # MPII crops around an annotated centre at an annotated scale, not a box: both end up in ``boxes`` as
    # the square that its protocol crops before augmentation.

    def __len__(self) -> int:
        return len(self.ids)

    def select(self, index: np.ndarray) -> "Persons":
        """The persons at ``index`` (a mask or indices); the pictures stay."""
        rows = ("ids", "image_ids", "boxes", "joints", "scores", "areas", "head_sizes")
        return replace(self, **{key: getattr(self, key)[index] for key in rows})
