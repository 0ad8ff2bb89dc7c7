"""Light and camera: grain, exposure, colour cast, blur and noise."""

from functools import cache

import cv2
import numpy as np

from mspn.data.synth.canvas import PARTS_PER_PERSON, Canvas
from mspn.data.synth.difficulty import Difficulty

_TILE = 640  # side of the tiles of noise, which are cut at random; larger than any picture
_NOISE_UNIT = 24.0  # the standard deviation of the noise tile


@cache
def _grain() -> np.ndarray:
    """(640, 640, 3) uint8 around 128: surfaces are never quite even. The same in every process."""
    rng = np.random.Generator(np.random.Philox(7))
    fine = rng.normal(0.0, 1.0, (_TILE, _TILE)).astype(np.float32)
    coarse = rng.normal(0.0, 1.0, (40, 40)).astype(np.float32)
    noise = 4.0 * cv2.GaussianBlur(fine, (0, 0), 1.0)
    noise += 1.8 * cv2.resize(coarse, (_TILE, _TILE), interpolation=cv2.INTER_CUBIC)
    return np.repeat(np.clip(128 + noise, 90, 166).astype(np.uint8)[..., None], 3, axis=2)


@cache
def _noise() -> np.ndarray:
    """(640, 640, 3) uint8: normal noise about 128 of deviation ``_NOISE_UNIT``."""
    rng = np.random.Generator(np.random.Philox(8))
    return np.clip(rng.normal(128.0, _NOISE_UNIT, (_TILE, _TILE, 3)), 0, 255).astype(np.uint8)


def _cut(tile: np.ndarray, picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    height, width = picture.shape[:2]
    y, x = int(rng.integers(_TILE - height + 1)), int(rng.integers(_TILE - width + 1))
    return tile[y : y + height, x : x + width]


def roughen(picture: np.ndarray, rng: np.random.Generator) -> None:
    """Multiply the picture by a piece of the grain."""
    cv2.multiply(picture, _cut(_grain(), picture, rng), dst=picture, scale=1 / 128)


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
    if noise > 0.3:
        share = noise / _NOISE_UNIT
        picture = cv2.addWeighted(picture, 1.0, _cut(_noise(), picture, rng), share, -128.0 * share)
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
