"""The sheet of an evaluation: its best, median and worst persons, drawn."""

from pathlib import Path

import numpy as np

from mspn.data.persons import Persons
from mspn.data.pictures import read_picture
from mspn.evaluation import draw
from mspn.evaluation.metrics.analysis import Verdicts
from mspn.files import atomic

PER_ROW = 6
FEWEST_JOINTS = 5  # of a person on the sheet: one or two joints say little about a pose


def write_sheet(path: Path, truth: Persons, joints: np.ndarray, verdicts: Verdicts) -> None:
    """Draw the persons that score best, in the middle and worst, a row each, and write a JPEG atomically."""
    with atomic(path) as temporary:
        temporary.write_bytes(draw.encode_jpeg(draw.sheet(_tiles(truth, joints, verdicts))))


def chosen(truth: Persons, verdicts: Verdicts) -> list[np.ndarray]:
    """Rows of the best, the median and the worst persons, from best to worst in each."""
    labelled = (truth.joints[..., 2] > 0).sum(axis=1)
    rows = np.flatnonzero(labelled >= min(FEWEST_JOINTS, labelled.max()))
    ranked = rows[np.lexsort((truth.ids[rows], -verdicts.similarity[rows]))]
    count = min(PER_ROW, len(ranked))
    middle = (len(ranked) - count) // 2
    return [ranked[:count], ranked[middle : middle + count], ranked[len(ranked) - count :]]


def _tiles(truth: Persons, joints: np.ndarray, verdicts: Verdicts) -> list[list[np.ndarray]]:
    unit = "OKS" if truth.skeleton.sigmas is not None else "similarity"
    sheet = []
    for name, rows in zip(("best", "median", "worst"), chosen(truth, verdicts), strict=True):
        tiles = []
        for row in rows:
            detection = verdicts.detection[row]
            image = read_picture(truth.pictures[int(truth.image_ids[row])])
            caption = (
                f"{name} {unit} {verdicts.similarity[row]:.2f}" if detection >= 0 else f"{name} not found"
            )
            predicted = joints[detection] if detection >= 0 else None
            tiles.append(
                draw.person_tile(
                    image, truth.boxes[row], truth.joints[row], predicted, truth.skeleton, caption
                )
            )
        sheet.append(tiles)
    return sheet
