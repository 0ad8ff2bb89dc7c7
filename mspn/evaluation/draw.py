"""Skeletons drawn on pictures: by limb, left and right in colours that colour-blind people tell apart."""

import math
from collections.abc import Sequence

import cv2
import numpy as np

from mspn.data.skeletons import Skeleton

# Okabe and Ito's palette, BGR: blues for the left, orange and vermilion for the right, green for the middle.
MIDDLE = (115, 158, 0)
COLOURS = {
    ("left", "arm"): (233, 180, 86),
    ("left", "leg"): (178, 114, 0),
    ("right", "arm"): (0, 159, 230),
    ("right", "leg"): (0, 94, 213),
    ("middle", "arm"): MIDDLE,
    ("middle", "leg"): MIDDLE,
    ("left", "head"): (233, 180, 86),
    ("right", "head"): (0, 159, 230),
    ("middle", "head"): MIDDLE,
}
_DARK, _LIGHT = (30, 30, 30), (255, 255, 255)
TRUTH_COLOUR = _LIGHT
_LEG = ("hip", "knee", "ankle")
_ARM = ("shoulder", "elbow", "wrist")


def limb_colour(skeleton: Skeleton, limb: tuple[int, int]) -> tuple[int, int, int]:
    """The BGR colour of a limb, by its side and its part of the body."""
    names = [skeleton.joints[joint] for joint in limb]
    sides = {name.split("_")[0] for name in names if name.startswith(("left", "right"))}
    side = sides.pop() if len(sides) == 1 else "middle"
    if all(name.endswith(_LEG + _ARM) for name in names):
        part = "arm" if names[0].endswith(_ARM) and names[1].endswith(_ARM) else "leg"
        trunk = any(n.endswith(_ARM) for n in names) and any(n.endswith(_LEG) for n in names)
        return COLOURS["middle" if trunk else side, part]
    return COLOURS[side, "head"]


def draw_skeleton(
    image: np.ndarray,
    joints: np.ndarray,
    skeleton: Skeleton,
    *,
    minimum: float = 0.0,
    threshold: float = -math.inf,
    colour: tuple[int, int, int] | None = None,
    thickness: int | None = None,
) -> np.ndarray:
    """Draw one person's joints and limbs on a picture, in place, and return it.

    Args:
        image: (H, W, 3) uint8, BGR.
        joints: (K, 3) x, y in the picture's pixels, and a score or visibility.
        minimum: joints whose score is not above this are left out, and their limbs with them.
        threshold: joints whose score is not above this are drawn thin, as rings, and their limbs as lines of
            a pixel without an edge.
        colour: one BGR colour for everything; None for a colour by limb.
        thickness: of the lines, in pixels; None for one that suits the person's size.
    """
    shown = np.isfinite(joints).all(axis=1) & (joints[:, 2] > minimum)
    if not shown.any():
        return image
    # OpenCV draws at fixed-point coordinates of 16 bits before the point.
    points = np.nan_to_num(joints[:, :2]).clip(-30000, 30000)
    if thickness is None:
        extent = float(np.ptp(points[shown], axis=0).max())
        thickness = int(np.clip(round(extent / 80), 1, 6))
    at = [(int(x), int(y)) for x, y in points.round()]
    sure = shown & (joints[:, 2] > threshold)
    limbs = [limb for limb in skeleton.limbs if shown[limb[0]] and shown[limb[1]]]
    thick = [limb for limb in limbs if sure[limb[0]] and sure[limb[1]]]
    for a, b in thick:
        cv2.line(image, at[a], at[b], _DARK, thickness + 2, cv2.LINE_AA)
    for a, b in limbs:
        width = thickness if (a, b) in thick else 1
        cv2.line(image, at[a], at[b], colour or limb_colour(skeleton, (a, b)), width, cv2.LINE_AA)
    for k in np.flatnonzero(shown):
        if sure[k]:
            cv2.circle(image, at[k], thickness + 1, _DARK, -1, cv2.LINE_AA)
            cv2.circle(image, at[k], thickness, colour or _LIGHT, -1, cv2.LINE_AA)
        else:
            cv2.circle(image, at[k], thickness + 1, colour or _LIGHT, 1, cv2.LINE_AA)
    return image


def draw_box(image: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Draw a box (x, y, width, height) as a light line with a dark edge, in place, and return the picture."""
    x, y, width, height = np.clip(box[:4], -30000, 30000).round().astype(int).tolist()
    for colour, line in ((_DARK, 3), (_LIGHT, 1)):
        cv2.rectangle(image, (x, y), (x + width, y + height), colour, line)
    return image


def cut_out(
    image: np.ndarray, box: np.ndarray, size: int, margin: float = 1.25
) -> tuple[np.ndarray, np.ndarray]:
    """A square of ``size`` pixels around a box (x, y, w, h), and the (2, 3) matrix picture -> square."""
    side = max(float(box[2]), float(box[3]), 1.0) * margin
    scale = size / side
    centre = np.array([box[0] + box[2] / 2, box[1] + box[3] / 2], float)
    matrix = np.array([[scale, 0, size / 2 - scale * centre[0]], [0, scale, size / 2 - scale * centre[1]]])
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return cv2.warpAffine(image, matrix, (size, size), flags=interpolation), matrix


def person_tile(
    image: np.ndarray,
    box: np.ndarray,
    truth: np.ndarray,
    predicted: np.ndarray | None,
    skeleton: Skeleton,
    caption: str,
    size: int = 176,
) -> np.ndarray:
    """A square of the picture around a person: annotated joints in white, predicted ones in colour."""
    tile, matrix = cut_out(image, box, size)
    for joints, colour, thickness in ((truth, TRUTH_COLOUR, 1), (predicted, None, 2)):
        if joints is not None:
            moved = np.array(joints, np.float64)
            moved[:, :2] = moved[:, :2] @ matrix[:, :2].T + matrix[:, 2]
            draw_skeleton(tile, moved, skeleton, colour=colour, thickness=thickness)
    return write(tile, caption)


def write(tile: np.ndarray, text: str) -> np.ndarray:
    """A line of text at the tile's foot, light on a dark strip, in place."""
    tile[-16:] = tile[-16:] // 4
    cv2.putText(
        tile, text, (4, tile.shape[0] - 4), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255, 255, 255), 1, cv2.LINE_AA
    )
    return tile


def sheet(rows: Sequence[Sequence[np.ndarray]], gap: int = 4) -> np.ndarray:
    """Tiles of one size as one picture, a row each; shorter rows are filled up with grey."""
    height, width = rows[0][0].shape[:2]
    columns = max(len(row) for row in rows)
    page = np.full((len(rows) * (height + gap) + gap, columns * (width + gap) + gap, 3), 200, np.uint8)
    for r, row in enumerate(rows):
        for c, tile in enumerate(row):
            top, left = gap + r * (height + gap), gap + c * (width + gap)
            page[top : top + height, left : left + width] = tile
    return page


def encode_jpeg(image: np.ndarray, quality: int = 88) -> bytes:
    """The picture as JPEG bytes."""
    done, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise RuntimeError("OpenCV could not encode a JPEG")
    return bytes(data.tobytes())
