"""Persons decoded per second, heat maps to joints, against a literal per-joint reference in OpenCV.

The network is not part of the measure. Both run on one thread on the same heat maps: as a trained network
gives them (a peak, sometimes a second, and noise), or with --noise nothing but noise, where no peak shortens
the search.
"""

import argparse
import json
import time
from collections.abc import Callable

import numpy as np

HELP = "decoding: persons per second, batched and per joint"
PERSONS, FEWER = 128, 16  # whose heat maps are decoded in a pass: batched, and one by one
KERNEL = 5  # of COCO's joints
SECONDS = 2.0  # about how long each is measured


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--noise", action="store_true", help="maps of nothing but noise")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    import cv2
    import torch

    from mspn.evaluation.decode import decode

    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    maps = make_maps(PERSONS, args.noise)
    tensor = torch.from_numpy(maps)
    batched = _rate(lambda: decode(tensor, KERNEL), PERSONS)
    literal = _rate(lambda: reference(maps[:FEWER], KERNEL), FEWER)
    result = {"batched_persons_s": batched, "literal_persons_s": literal, "ratio": batched / literal}
    if args.json:
        print(json.dumps(result))
    else:
        print(f"batched {batched:8.0f} persons/s\nliteral {literal:8.0f} persons/s")
        print(f"ratio   {batched / literal:8.1f}  (17 joints, 64x48 maps, {KERNEL}x{KERNEL} filter)")
    return 0


def make_maps(persons: int, noise: bool) -> np.ndarray:
    """(N, 17, 64, 48) float32 heat maps: peaks of various heights and widths, and noise of 2 to 8."""
    rng = np.random.default_rng(0)
    if noise:
        return rng.random((persons, 17, 64, 48), dtype=np.float32) * 255
    shape = (persons, 17, 1, 1)
    rows, columns = np.mgrid[:64, :48].astype(np.float32)
    maps = rng.normal(0, 1, (persons, 17, 64, 48)).astype(np.float32) * rng.uniform(2, 8, shape)
    for height, share in ((rng.uniform(60, 255, shape), 1.0), (rng.uniform(20, 150, shape), 0.3)):
        y, x = rng.uniform(0, 63, shape), rng.uniform(0, 47, shape)
        width = rng.uniform(1, 2.5, shape)
        there = rng.random(shape) < share
        maps += there * height * np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * width**2))
    return maps.astype(np.float32)


def reference(maps: np.ndarray, kernel: int) -> np.ndarray:
    """The released test code's rule by joint: maps (N, K, h, w) to input x, y and score (N, K, 3)."""
    n, k, _, _ = maps.shape
    return np.array([[_one_joint(maps[i, j], kernel) for j in range(k)] for i in range(n)])


def _one_joint(heat_map: np.ndarray, kernel: int, border: int = 10) -> tuple[float, float, float]:
    import cv2

    height, width = heat_map.shape
    padded = np.zeros((height + 2 * border, width + 2 * border))
    padded[border:-border, border:-border] = heat_map
    if kernel:
        padded = cv2.GaussianBlur(padded, (kernel, kernel), 0)
    peak_y, peak_x = np.unravel_index(padded.argmax(), padded.shape)
    padded[peak_y, peak_x] = 0
    next_y, next_x = np.unravel_index(padded.argmax(), padded.shape)
    x, y = float(peak_x - border), float(peak_y - border)
    step_x, step_y = float(next_x - peak_x), float(next_y - peak_y)
    length = (step_x**2 + step_y**2) ** 0.5
    if length > 1e-3:
        x += 0.25 * step_x / length
        y += 0.25 * step_y / length
    x, y = max(0.0, min(x, width - 1.0)), max(0.0, min(y, height - 1.0))
    return x * 4 + 2, y * 4 + 2, float(heat_map[round(y), round(x)]) / 255 + 0.5


def _rate(work: Callable[[], object], persons: int) -> float:
    work()  # warm-up
    passes, start = 0, time.process_time()
    while (elapsed := time.process_time() - start) < SECONDS:
        work()
        passes += 1
    return passes * persons / elapsed
