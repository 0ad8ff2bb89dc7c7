"""A made-up results tree in the real files' forms, for the report's tests. No number in it was measured."""

import atexit
import base64
import contextlib
import functools
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mspn.data.detectors import BOXES_HASH
from mspn.evaluation.metrics import bootstrap
from mspn.evaluation.metrics.matches import save_matches
from mspn.evaluation.protocols import protocols_for
from mspn.evaluation.rescoring import EVIDENCE, evidence
from mspn.experiment.experiment import Experiment
from mspn.experiment.grid import Run
from mspn.experiment.load import load_experiment
from mspn.experiment.log import HASHES, log_hashes
from mspn.experiment.paper import Figures, load_figures
from mspn.files import sha256, write_hash, write_sealed
from mspn.report import points, popover

REPOSITORY = Path(__file__).resolve().parent.parent
MPII = ("Head", "Shoulder", "Elbow", "Wrist", "Hip", "Knee", "Ankle", "Mean", "AUC", "Head top")
IMAGES, PERSONS = 60, 3

SCALE = """\
extends: demo
name: {name}
recipes:
  coco: {{iterations: 100, warmup_iterations: 10, cooldown: null}}
  mpii: {{iterations: 100, warmup_iterations: 10, cooldown: null}}
description: made up for the tests; nothing was measured
seeds: {seeds}
bootstrap: {bootstrap}
"""


def make_root(
    root: Path,
    name: str = "madeup",
    seeds: tuple[int, ...] = (0, 1, 2),
    bootstrap: int = 100,
    more: str = "runs: null\n",
) -> Path:
    """A copy of what the report reads of the repository, and a scale; the working directory of a test.

    ``more`` is the end of the scale's file, without which it has every run of the grid.
    """
    shutil.copytree(REPOSITORY / "workflow" / "config", root / "workflow" / "config")
    (root / "reports" / "paper").mkdir(parents=True)
    shutil.copy(REPOSITORY / "reports" / "paper" / "figures.tsv", root / "reports" / "paper")
    path = root / "workflow" / "config" / "scales" / f"{name}.yaml"
    path.write_text(SCALE.format(name=name, seeds=list(seeds), bootstrap=bootstrap) + more)
    rules = root / "workflow" / "config" / "claims.yaml"
    rules.write_text(re.sub(r"draws: \d+", f"draws: {5 * bootstrap}", rules.read_text()))
    return root


def fill(
    name: str, runs: tuple[str, ...] | None = None, quality: dict[str, float] | None = None
) -> Experiment:
    """Results of the scale ``name`` in the working directory, of the runs named (default: all).

    A run's AP follows the paper's, times a factor, so that the claims come out as the paper has them;
    ``quality`` overrides that by run.
    """
    experiment = load_experiment(name)
    write_flops(experiment)
    write_trained(experiment)
    write_ceiling(experiment)
    write_latency(experiment)
    write_boxes(experiment)
    write_pictures(experiment)
    for run, seed in experiment.trainings().values():
        write_training(experiment, run, seed)
    figures = load_figures()
    for run, seed, detector in experiment.evaluations():
        if runs is None or run.run in runs:
            wanted = (quality or {}).get(run.run, target(figures, run.row or run.run, detector))
            wanted *= (points.share_of_budget(experiment, run) or 1) ** 0.1
            write_evaluation(experiment, run, seed, detector, wanted)
    return experiment


def target(figures: Figures, run: str, detector: str) -> float:
    """The quality wanted: the paper's AP where it prints one for the run and detector, else near it."""
    for figure in figures.values():
        if (
            (figure.run, figure.detector) == (run, detector)
            and figure.unit == "%"
            and figure.column not in ("AR",)
        ):
            return figure.number
    return 70.0


def fake_matches(quality: float, seed: int, salt: str) -> bootstrap.Matches:
    """Matches of PERSONS detections an image; the same hard persons for every run, so that pairing
    matters.
    """
    shared, own = np.random.default_rng(1), np.random.default_rng([seed, *salt.encode()])
    n = IMAGES * PERSONS
    difficulty = shared.normal(0, 14, n)
    skill = (quality - 50) * 1.6 + own.normal(0, 0.2)
    thresholds = np.arange(10)[:, None] * 4.0
    hit = skill - difficulty + own.normal(0, 0.5, n) > thresholds
    scores = shared.uniform(0.2, 1, n)
    order = np.argsort(-scores, kind="stable")
    image = np.repeat(np.arange(IMAGES, dtype=np.int32), PERSONS)[order]
    areas = np.stack([hit[:, order]] * 3)
    persons = np.full((3, IMAGES), PERSONS, np.int32)
    return bootstrap.Matches(
        np.arange(IMAGES) + 1, image, scores[order], areas, np.zeros_like(areas), persons
    )


def write(path: Path, value: Any) -> None:
    """JSON, its folder made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def write_evaluation(experiment: Experiment, run: Run, seed: int, detector: str, quality: float) -> None:
    """The files of an evaluation, at its place."""
    folder = experiment.evaluation_folder(run, seed, detector)
    matches: dict[str, Any] = {}
    if run.joint_set == "mpii":
        names: tuple[str, ...] = MPII
        figures, half = 100 * np.linspace(0.8, 0.9, 10), np.full(10, 2.0)
    else:
        matches["paper"] = fake_matches(quality, seed, run.run)
        names = bootstrap.COCO_FIGURES
        figures = 100 * bootstrap.figures(matches["paper"])
        half = 100 * bootstrap.replicates(matches["paper"], 0, 12).std(axis=0)
    rows = [
        {
            "protocol": protocol,
            "metric": name,
            "value": value - i,
            "low": value - i - h,
            "high": value - i + h,
        }
        for i, protocol in enumerate(protocols_for(run.joint_set))
        for name, value, h in zip(names, figures, half, strict=True)
    ]
    members = [experiment.grid[member] for member in run.members] or [run]
    ids = [experiment.training_id(member, seed) for member in members]
    folder.mkdir(parents=True, exist_ok=True)
    save_matches(folder / "matches.npz", matches)
    write(folder / "predictions.json", predictions(seed))
    if not run.members and run.network.startswith("mspn-") and run.joint_set == "coco":
        write_stages(folder / "stages.npz", stages=4)
    address = {
        "run": run.run, "seed": seed, "scale": experiment.scale.name, "detector": detector,
        "training_id": "+".join(ids), "tensor_hash": "+".join("ab" * 32 for _ in ids),
        "members": [{"run": member.run, "identity": {"joints": run.joint_set}} for member in members],
        "commit": "0123456789abcdef", "dirty": False, "device": "made-up <i>device",
        "versions": {"python": "3.11", "torch": "0"},
        "machine": {"cpu": "made up"}, "bootstrap": {"replicates": 40, "seed": 0, "level": 0.95},
    }  # fmt: skip
    found = {"address": address, "rows": rows, EVIDENCE: evidence(folder, matches)}
    write_sealed(folder / "metrics.json", found)


def predictions(seed: int) -> list[dict[str, Any]]:
    """One person on each of eight pictures."""
    rng = np.random.default_rng(seed)
    out = []
    for image in range(1, 9):
        joints = np.column_stack([rng.uniform(20, 140, 17), rng.uniform(10, 110, 17), np.ones(17)])
        out.append({"image_id": image, "category_id": 1, "keypoints": joints.ravel().tolist(), "score": 0.5})
    return out


def write_stages(path: Path, stages: int, crop: int = 0) -> None:
    """Heat maps as the evaluation writes them; ``crop`` is the seed of what lies under them."""
    rng = np.random.default_rng(0)
    joints = np.column_stack([rng.uniform(8, 64, 17), rng.uniform(8, 88, 17), np.full(17, 2.0)])
    y, x = np.mgrid[:24, :18]
    maps = np.stack(
        [
            [
                255 * np.exp(-((x - a / 4) ** 2 + (y - b / 4) ** 2) / (2 * (stages - s + 1)))
                for a, b, _ in joints
            ]
            for s in range(stages)
        ]
    )
    np.savez_compressed(
        path,
        crop=np.random.default_rng(crop).integers(0, 255, (96, 72, 3), dtype=np.uint8),
        target=maps.astype(np.float16),
        prediction=maps.astype(np.float16),
        joints=joints.astype(np.float32),
        person=np.array([1]),
    )


def pictures_in(text: str) -> list[np.ndarray]:
    """The pictures (H, W, 3) that an SVG or a page holds itself."""
    encoded = re.findall(r"data:image/[a-z]+;base64,([^\"]+)", text)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(one))).convert("RGB"), int) for one in encoded]


def write_training(experiment: Experiment, run: Run, seed: int) -> None:
    """Log, config and environment of a training."""
    folder = experiment.training_folder(run, seed)
    folder.mkdir(parents=True, exist_ok=True)
    decay = 3 + len(run.run) % 5
    lines = [
        {
            "step": step,
            "lr": 1e-3,
            "loss": 1.0,
            "losses": [[1.0], [100 * np.exp(-step / (10 * decay)) + decay]],
        }
        for step in range(80)
    ]
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    write(folder / "config.json", {"recipe": {"batch": 32, "iterations": 80}})
    environment = {
        "device": "made-up <i>device", "commit": "0123456789abcdef", "dirty": False,
        "versions": {"python": "3.11"},
        "wall_s": 12.5, "device_s": 10.0 + len(run.run), "data_wait_s": 0.5, "peak_memory_bytes": 2**29,
        "attempts": [{"started": "2024-05-06T07:08:09+00:00"}],
        HASHES: log_hashes((folder / "log.jsonl").read_bytes()),
    }  # fmt: skip
    write(folder / "environment.json", environment)


def write_flops(experiment: Experiment) -> None:
    """``flops.csv`` with the printed figure plus a little."""
    printed = {f.run: f.number for f in load_figures().values() if f.column == "GFLOPs"}
    header = (
        "run,network,input,parameters,gmacs,gflops_paper_convention,printed,difference,verdict,reason,"
        "training_gflops,flip_gflops,source\n"
    )
    lines = [header]
    for run in dict.fromkeys(one.row or one.run for one in experiment.grid.values()):
        paper = printed.get(run)
        ours = (paper or 8.0) + 0.004
        tail = f"{paper},0.004,match" if paper else ",,not printed"
        if run == "resnet-101":
            tail = f"{paper},0.004,known discrepancy"
        source = "the paper" if paper else ""
        costs = f"{ours * 1e7:.0f},{ours * 1.08},{ours}"
        lines.append(f'{run},n,256x192,{costs},{tail},"made up, for tests",{ours},{2 * ours},{source}\n')
    path = experiment.results / "flops" / "flops.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(lines))
    write_hash(path)


def write_trained(experiment: Experiment) -> None:
    """``trained.csv``: a hundredth of the printed figure."""
    printed = {f.run: f.number for f in load_figures().values() if f.column == "GFLOPs"}
    lines = ["run,network,input,width,parameters,gflops_paper_convention\n"]
    for run in experiment.grid.values():
        gflops = printed.get(run.row or run.run, 8.0) / 100
        lines.append(f"{run.run},n,64x48,0.125,{gflops * 1e8:.0f},{gflops}\n")
    (experiment.results / "flops" / "trained.csv").write_text("".join(lines))


def write_ceiling(experiment: Experiment) -> None:
    """``ceiling.json``: the same everywhere."""
    sizes = {(run.datasets[0], experiment.input_size(run)): None for run in experiment.trained}
    rows = [
        {"dataset": d, "input": f"{h}x{w}", "protocol": "paper", "metric": "AP", "value": 83.25}
        for d, (h, w) in sizes
    ]
    write_sealed(experiment.results / "ceiling.json", {"scale": experiment.scale.name, "ceilings": rows})


def write_latency(experiment: Experiment) -> None:
    """``latency.csv``: longer names are slower."""
    lines = ["run,ms_per_crop,ms_per_crop_of_32,input,width,threads,device\n"]
    for run in experiment.grid:
        alone = 2 + len(run) / 3
        lines.append(f"{run},{alone:.2f},{alone / 4:.2f},96x72,0.125,1,made-up <i>device\n")
    (experiment.results / "latency.csv").write_text("".join(lines))
    write_hash(experiment.results / "latency.csv")


def write_boxes(experiment: Experiment) -> None:
    """Box AP of every detector on COCO."""
    for detector, ap in (("gt", 100.0), ("det-49.4", 49.3), ("det-41.1", 41.2)):
        path = experiment.boxes_file("coco", detector).with_suffix(".metrics.json")
        measured = {"kind": "simulated", "box_ap": ap, "expected_box_ap": None, "detections": 180}
        write(experiment.boxes_file("coco", detector), [{"made up": True}])
        boxes = sha256(experiment.boxes_file("coco", detector))
        write_sealed(path, {**measured, BOXES_HASH: boxes})


def write_pictures(experiment: Experiment) -> None:
    """Eight pictures of noise and their annotations, in COCO's layout."""
    from PIL import Image

    folder = experiment.data_folder("coco")
    (folder / "val").mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    images, annotations = [], []
    for i in range(1, 9):
        Image.fromarray(rng.integers(90, 160, (120, 160, 3), dtype=np.uint8)).save(
            folder / "val" / f"{i}.jpg"
        )
        images.append({"id": i, "file_name": f"{i}.jpg", "width": 160, "height": 120})
        annotations.append(
            {"id": i, "image_id": i, "category_id": 1, "iscrowd": 0, "bbox": [10, 10, 130, 100], "area": 9000,
             "num_keypoints": 1, "keypoints": [50, 50, 2] + [0] * 48}
        )  # fmt: skip
    content = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "person"}]}
    write(folder / "annotations" / "person_keypoints_val.json", content)


def links(page: str) -> list[str]:
    """The links of a page's addresses."""
    data = popover._unpack(page)
    return [f"{data['folders'][entry[2]]}/{entry[3]}" for entry in data["entries"] if len(entry) > 2]


@functools.cache
def shared(name: str, seeds: tuple[int, ...]) -> Path:
    """A filled root of that scale, made once for all tests that only read it; each changes into it."""
    root = make_root(Path(tempfile.mkdtemp(prefix="report-tree-")), name, seeds)
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    with contextlib.chdir(root):
        fill(name)
    return root


@functools.cache
def shared_report(name: str, seeds: tuple[int, ...]) -> Path:
    """The same with its report made, at ``reports/{name}``, in a process that must not import torch."""
    root = shared(name, seeds)
    code = (
        f"import sys; from mspn.commands.cli import main; main(['report', 'make', '--scale', '{name}']);"
        "sys.exit(any(name.split('.')[0] in ('torch', 'torchvision') for name in sys.modules))"
    )
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, cwd=root, timeout=3600)
    return root
