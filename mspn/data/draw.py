"""Skeletons drawn on pictures: by limb, left and right in colours that colour-blind people tell apart."""

import math

import cv2
import numpy as np

from mspn.data.skeletons import Skeleton

# Okabe and Ito's palette, BGR: blues for the left, orange and vermilion for the right, green for the middle.
MIDDLE = (115, 158, 0)
# Side -> of arms and head, of legs.
COLOURS = {
    "left": ((233, 180, 86), (178, 114, 0)),
    "right": ((0, 159, 230), (0, 94, 213)),
    "middle": (MIDDLE, MIDDLE),
}
_DARK, _LIGHT = (30, 30, 30), (255, 255, 255)
_LEG = ("hip", "knee", "ankle")
_ARM = ("shoulder", "elbow", "wrist")


def limb_colour(skeleton: Skeleton, limb: tuple[int, int]) -> tuple[int, int, int]:
    """The BGR colour of a limb, by its side and its part of the body."""
    names = [skeleton.joints[joint] for joint in limb]
    sides = {name.split("_")[0] for name in names if name.startswith(("left", "right"))}
    side = sides.pop() if len(sides) == 1 else "middle"
    legs, arms = (sum(name.endswith(ends) for name in names) for ends in (_LEG, _ARM))
    return MIDDLE if legs == arms == 1 else COLOURS[side][legs == 2]  # one of each: the trunk


def draw_skeleton(
    image: np.ndarray,
    joints: np.ndarray,
    skeleton: Skeleton,
    *,
    minimum: float = 0.0,
    threshold: float = -math.inf,
) -> np.ndarray:
    """Draw one person's joints and limbs on a picture, in place, and return it.

    Args:
        image: (H, W, 3) uint8, BGR.
        joints: (K, 3) x, y in the picture's pixels, and a score or visibility.
        minimum: joints whose score is not above this are left out, and their limbs with them.
        threshold: joints whose score is not above this are drawn thin, as rings, and their limbs as lines of
            a pixel without an edge.
    """
    shown = np.isfinite(joints).all(axis=1) & (joints[:, 2] > minimum)
    if not shown.any():
        return image
    # OpenCV draws at fixed-point coordinates of 16 bits before the point.
    points = np.nan_to_num(joints[:, :2]).clip(-30000, 30000)
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
        cv2.line(image, at[a], at[b], limb_colour(skeleton, (a, b)), width, cv2.LINE_AA)
    for k in np.flatnonzero(shown):
        if sure[k]:
            cv2.circle(image, at[k], thickness + 1, _DARK, -1, cv2.LINE_AA)
            cv2.circle(image, at[k], thickness, _LIGHT, -1, cv2.LINE_AA)
        else:
            cv2.circle(image, at[k], thickness + 1, _LIGHT, 1, cv2.LINE_AA)
    return image


def draw_box(image: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Draw a box (x, y, width, height) as a light line with a dark edge, in place, and return the picture."""
    x, y, width, height = np.clip(box[:4], -30000, 30000).round().astype(int).tolist()
    for colour, line in ((_DARK, 3), (_LIGHT, 1)):
        cv2.rectangle(image, (x, y), (x + width, y + height), colour, line)
    return image


def encode_jpeg(image: np.ndarray, quality: int) -> bytes:
    """The picture as JPEG bytes."""
    done, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise RuntimeError("OpenCV could not encode a JPEG")
    return bytes(data.tobytes())
