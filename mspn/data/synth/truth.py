"""What is true of a drawn person: joints with visibility, silhouette, box, head box."""

from dataclasses import dataclass

import cv2
import numpy as np

from mspn.data.skeletons import COCO, MPII
from mspn.data.synth.canvas import PARTS_PER_PERSON, Canvas
from mspn.data.synth.parts import PART, SHOWN_AT
from mspn.data.synth.pose import Figure

# COCO's annotators leave out what looks away from the viewer: the far ear, the face of a head from behind.
_AWAY = 0.0  # cosine of the angle between the feature's direction and the viewer's
# A shoulder or hip counts as seen through the trunk unless it lies on the trunk's far side, by this share of
# half the joints' distance.
_FAR_SIDE = 0.8
# COCO labels no joints on small persons (under 32 x 32 pixels), nor where hardly anything of them is seen.
_SMALL_AREA_PX = 32 * 32
_FEW_VISIBLE = 3
_NORMALS = {"nose": (0.0, -0.1, 1.0), "eye": (0.3, 0.05, 1.0), "ear": (1.0, 0.0, -0.1)}  # of a left side


@dataclass(frozen=True)
class Truth:
    """A person of a picture; pixels, the picture's first pixel's centre at (0, 0).

    ``joints`` (17, 3): x, y, v in COCO's sense, before COCO's habit of labelling nothing on small persons
    (``labelled``). ``mpii`` (16, 3): x, y and 1 within the picture, 0 outside. ``outline``: polygons of what
    is visible. ``head``: x0, y0, x1, y1 around the head, also where it is hidden or cut.
    """

    joints: np.ndarray
    mpii: np.ndarray
    area: float
    box: tuple[int, int, int, int]  # x, y, width, height of what is visible
    outline: list[list[int]]
    head: tuple[float, float, float, float]
    labelled: bool


def truth_of(
    canvas: Canvas, number: int, figure: Figure, flat: dict[str, np.ndarray], head: np.ndarray
) -> Truth | None:
    """The truth about person ``number`` on a finished canvas; None where nothing of the person is visible."""
    width, height = canvas.size
    points = np.stack(list(flat.values()))
    low = np.clip(points.min(axis=0) - 0.2 * np.ptp(points[:, 1]) - 8, 0, (width, height)).astype(int)
    high = np.clip(points.max(axis=0) + 0.2 * np.ptp(points[:, 1]) + 8, 0, (width, height)).astype(int)
    owner = canvas.owner[low[1] : high[1], low[0] : high[0]]
    if not owner.size:
        return None
    first = PARTS_PER_PERSON * number
    mask = cv2.inRange(owner, first, first + PARTS_PER_PERSON - 1)
    area = cv2.countNonZero(mask)
    if not area:
        return None
    x, y, w, h = cv2.boundingRect(mask)
    contours, _ = cv2.findContours(
        mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_TC89_L1, offset=(int(low[0]), int(low[1]))
    )
    outline: list[list[int]] = [c.reshape(-1).astype(int).tolist() for c in contours if len(c) >= 3]
    box = (int(x + low[0]), int(y + low[1]), int(w), int(h))
    if not outline:
        x0, y0, x1, y1 = box[0], box[1], box[0] + box[2], box[1] + box[3]
        outline = [[x0, y0, x1, y0, x1, y1, x0, y1]]
    joints = np.array([_coco_joint(canvas, number, figure, name, flat[name]) for name in COCO.joints])
    mpii = np.zeros((len(MPII.joints), 3))
    for k, name in enumerate(MPII.joints):
        px, py = flat[name]
        if _inside(canvas, px, py):
            mpii[k] = px, py, 1
    labelled = area >= _SMALL_AREA_PX and int((joints[:, 2] == 2).sum()) >= _FEW_VISIBLE
    x0, y0 = head.min(axis=0).tolist()
    x1, y1 = head.max(axis=0).tolist()
    return Truth(joints, mpii, float(area), box, outline, (x0, y0, x1, y1), labelled)


def _inside(canvas: Canvas, x: float, y: float) -> bool:
    width, height = canvas.size
    return bool(0 <= round(x) < width and 0 <= round(y) < height)


def _coco_joint(
    canvas: Canvas, number: int, figure: Figure, name: str, place: np.ndarray
) -> tuple[int, int, int]:
    """x, y of the joint's pixel and v: 0 outside the picture or looking away, 1 hidden, 2 visible."""
    x, y = round(float(place[0])), round(float(place[1]))
    if not _inside(canvas, x, y):
        return 0, 0, 0
    side, _, kind = name.rpartition("_")
    if kind in _NORMALS:
        normal = np.array(_NORMALS[kind]) * (-1.0 if side == "right" else 1.0, 1.0, 1.0)
        facing = float(figure.frames["head"][2] @ normal / np.linalg.norm(normal))
        if facing < _AWAY:
            return 0, 0, 0
    shown = SHOWN_AT[name]
    if kind in ("shoulder", "hip"):
        middle = figure.points["thorax" if kind == "shoulder" else "pelvis"]
        reach = figure.body.shoulder if kind == "shoulder" else figure.body.hip
        if figure.points[name][2] - middle[2] < -_FAR_SIDE * reach:
            shown = shown - {PART["torso"], PART["pelvis"]}
    part = int(canvas.owner[y, x]) - PARTS_PER_PERSON * number
    return x, y, 2 if part in shown else 1
