"""A scale of a few tiny pictures in a folder of its own, and the command line run there."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mspn.experiment.config import CONFIG

REPOSITORY = Path(__file__).resolve().parent.parent

SCALE = """
name: tiny
description: a few tiny pictures, for tests of training
datasets:
  coco: {{kind: coco, root: data, train: train}}
detectors:
  gt: {{kind: truth}}
width: 0.0625
inputs: {{256x192: 32x24}}
recipes:
  coco: {{batch: 4, iterations: {iterations}, lr: 4.0e-3, warmup_iterations: 2, norm_batch: {norm_batch}}}
crops: exact
seeds: [0]
evaluate_on: [gt]
runs: [mspn-1, mspn-2]
bootstrap: 1
"""


def make(folder: Path, iterations: int = 6, norm_batch: int | None = None) -> Path:
    """Fill a folder with a data set, the grid and the scale ``tiny``; returns the folder."""
    random = np.random.default_rng(0)
    (folder / "data/train").mkdir(parents=True)
    (folder / "data/annotations").mkdir()
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number in range(3):
        name = f"{number}.png"
        cv2.imwrite(str(folder / "data/train" / name), random.integers(0, 256, (48, 64, 3), np.uint8))
        images.append({"id": number, "file_name": name, "width": 64, "height": 48})
        for _ in range(2):
            xy = random.uniform((8, 4), (50, 44), (17, 2)).round(1)
            joints = np.column_stack([xy, random.integers(1, 3, 17)]).ravel().tolist()
            annotations.append(
                {
                    "id": 100 + len(annotations),
                    "image_id": number,
                    "category_id": 1,
                    "iscrowd": 0,
                    "bbox": [8, 4, 42, 40],
                    "area": 800.0,
                    "num_keypoints": 17,
                    "keypoints": joints,
                }
            )
    value = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "person"}]}
    (folder / "data/annotations/person_keypoints_train.json").write_text(json.dumps(value))
    shutil.copytree(REPOSITORY / CONFIG, folder / CONFIG)
    (folder / CONFIG / "scales/tiny.yaml").write_text(
        SCALE.format(iterations=iterations, norm_batch=norm_batch or "null")
    )
    return folder


def command(*arguments: str, run: str = "mspn-1") -> list[str]:
    """``mspn train`` of a run of the scale."""
    return [
        sys.executable,
        "-m",
        "mspn",
        "train",
        "--scale",
        "tiny",
        "--run",
        run,
        "--device",
        "cpu",
        *arguments,
    ]


def environment() -> dict[str, str]:
    """For a process that runs in another folder."""
    return {**os.environ, "PYTHONPATH": str(REPOSITORY)}


def run(folder: Path, line: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder to its end."""
    return subprocess.run(line, cwd=folder, env=environment(), capture_output=True, text=True, timeout=300)


def start(folder: Path, line: list[str]) -> "subprocess.Popen[str]":
    """Start a command in a folder."""
    return subprocess.Popen(
        line, cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def checkpoints(folder: Path) -> Path:
    """The one checkpoint folder of the scale."""
    (found,) = (folder / "results/tiny/checkpoints").iterdir()
    return found


def results(folder: Path) -> Path:
    """The one results folder of the scale."""
    (found,) = (folder / "results/tiny/trainings").iterdir()
    return found
