"""Small pictures in folders, for the tests of what is done with anybody's pictures."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from mspn.data.notes import Notes
from mspn.data.photos import Photo, find_photos


def write_photos(folder: Path, names: Sequence[str], size: tuple[int, int] = (90, 70)) -> Path:
    """A folder of smooth pictures of ``size`` (height, width), the same for the same list of names."""
    rng = np.random.default_rng(0)
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        coarse = rng.integers(0, 120, (9, 7, 3), np.uint8)
        cv2.imwrite(str(folder / name), cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC))
    return folder


def photos_of(folder: Path) -> list[Photo]:
    """What is found in the folder."""
    return find_photos([folder], folder / "out", Notes("test"))
