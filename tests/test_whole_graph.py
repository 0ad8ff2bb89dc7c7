"""The whole graph for real: killed and continued, and on real pictures where there are any.."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mspn.networks.weights import load_weights
from tests.test_workflow import clone, snakemake

pytestmark = pytest.mark.slow

OWN = """
extends: smoke
name: own
datasets: {coco: {train_images: 8, val_images: 2}}
recipes: {coco: {batch: 4, iterations: 60}}
runs: [mspn-1]
evaluate_on: [gt]
"""


def own_clone(folder: Path) -> tuple[Path, list[str]]:
    """A checkout with the scale above, whose trainings save every other step, and the training's files."""
    folder.mkdir()
    copy = clone(folder)
    (copy / "own.yaml").write_text(OWN)
    rule = copy / "workflow/rules/training.smk"
    rule.write_text(rule.read_text().replace("--threads {threads}", "--threads {threads} --save-steps 2"))
    listing = "from mspn.experiment.load import load_experiment as e; print(*e('own.yaml').trainings())"
    done = subprocess.run(
        [sys.executable, "-c", listing], cwd=copy, capture_output=True, text=True, check=True
    )
    return copy, [f"results/own/trainings/{name}/weights.safetensors" for name in done.stdout.split()]


def trainings_of(copy: Path) -> list[int]:
    """The processes that train in a folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
            if b"train" in words and b"mspn" in words and (process / "cwd").resolve() == copy.resolve():
                found.append(int(process.name))
        except OSError:
            continue
    return found


@pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="finds the training's process in /proc")
def test_a_training_killed_again_and_again_under_snakemake_ends_as_one_never_killed(tmp_path):
    calm, targets = own_clone(tmp_path / "calm")
    assert snakemake(calm, "--config", "scale=own.yaml", "--", *targets).returncode == 0

    stormy, _ = own_clone(tmp_path / "stormy")
    moments, kills = random.Random(time.time_ns()), 0
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--cores",
        "2",
        "--config",
        "scale=own.yaml",
        "--",
        *targets,
    ]
    while kills < 4:
        process = subprocess.Popen(
            command,
            cwd=stormy,
            env={**os.environ, "PYTHONPATH": str(stormy)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        before = set((stormy / "results/own/checkpoints").glob("*/step-*"))
        ahead = moments.randint(2, 6)
        while process.poll() is None:
            if len(set((stormy / "results/own/checkpoints").glob("*/step-*")) - before) >= min(ahead, 2):
                time.sleep(moments.uniform(0, 0.3))
                for pid in trainings_of(stormy):
                    os.kill(pid, signal.SIGKILL)
                break
            time.sleep(0.02)
        if process.wait() == 0:
            break
        kills += 1
    assert kills >= 2
    done = snakemake(stormy, "--config", "scale=own.yaml", "--", *targets)
    assert done.returncode == 0, done.stdout + done.stderr

    for target in targets:
        header = [load_weights(folder / target)[1] for folder in (calm, stormy)]
        assert header[0]["tensor_hash"] == header[1]["tensor_hash"]
        logs = [(folder / target).with_name("log.jsonl").read_bytes() for folder in (calm, stormy)]
        assert logs[0] == logs[1]


COCO_MINI = Path(
    os.environ.get("MSPN_COCO_MINI", Path(__file__).resolve().parents[2] / "shared/data/coco-mini")
)


@pytest.mark.skipif(not COCO_MINI.is_dir(), reason=f"no real pictures at {COCO_MINI}: set MSPN_COCO_MINI")
def test_a_small_network_learns_real_persons_by_heart(tmp_path, monkeypatch):
    monkeypatch.setenv("MSPN_COCO_MINI", str(COCO_MINI.resolve()))
    folder = clone(tmp_path)
    target = "results/coco-mini-overfit/runs/mspn-1/seed-0/gt/metrics.json"
    done = snakemake(folder, "--config", "scale=coco-mini-overfit", "--", target)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads((folder / target).read_text())["rows"]
    (ap,) = (row["value"] for row in rows if (row["protocol"], row["metric"]) == ("paper", "AP"))
    # 91.4 was measured with other initial weights and the stride on the 1x1, and not yet again with these.
    assert ap > 75
