"""Light and camera: exposure, colour cast, blur and noise over the whole picture."""

import cv2
import numpy as np

from mspn.synth.canvas import PARTS_PER_PERSON, Canvas
from mspn.synth.difficulty import Difficulty


def expose(canvas: Canvas, rng: np.random.Generator, difficulty: Difficulty) -> np.ndarray:
    """(H, W, 3) uint8: the picture as the camera would keep it."""
    picture = canvas.picture
    if rng.random() < difficulty.backlight:
        persons = cv2.inRange(canvas.owner, PARTS_PER_PERSON, 1 << 30)
        dark = cv2.convertScaleAbs(picture, alpha=float(rng.uniform(0.3, 0.6)))
        bright = cv2.convertScaleAbs(picture, alpha=1.15, beta=18)
        picture = np.where(persons[..., None] > 0, dark, bright)
    defocus = float(rng.uniform(*difficulty.defocus_px))
    if defocus > 0.25:
        picture = cv2.GaussianBlur(picture, (0, 0), defocus)
    if rng.random() < difficulty.motion_blur:
        length, turn = float(rng.uniform(*difficulty.motion_px)), float(rng.uniform(0.0, np.pi))
        picture = cv2.filter2D(picture, -1, motion_kernel(length, turn))
    tone = np.linspace(0.0, 1.0, 256)[:, None] ** float(rng.uniform(*difficulty.gamma))
    gains = float(rng.uniform(*difficulty.gain)) * (1.0 + difficulty.cast * rng.normal(0.0, 1.0, 3))
    picture = cv2.LUT(picture, np.clip(255.0 * tone * gains, 0, 255).astype(np.uint8)[:, None])
    noise = float(rng.uniform(*difficulty.noise))
    if noise > 0.5:
        grain = np.empty(picture.shape, np.int16)
        cv2.setRNGSeed(int(rng.integers(1 << 31)))
        cv2.randn(grain, 0.0, noise)
        picture = cv2.add(picture, grain, dtype=cv2.CV_8U)
    return picture


def motion_kernel(length: float, turn: float) -> np.ndarray:
    """(k, k) float32 of sum 1: a line of ``length`` pixels at the angle ``turn`` (radians)."""
    half = int(np.ceil(length / 2))
    kernel = np.zeros((2 * half + 1, 2 * half + 1), np.float32)
    reach = 0.5 * length * np.array((np.cos(turn), np.sin(turn)))
    ends = np.rint((np.array((-reach, reach)) + half) * 16).astype(np.int32)
    layer = np.zeros(kernel.shape, np.uint8)
    cv2.line(layer, ends[0].tolist(), ends[1].tolist(), 255, 1, cv2.LINE_AA, 4)
    kernel += layer
    return kernel / kernel.sum()
