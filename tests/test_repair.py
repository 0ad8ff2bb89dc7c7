"""What doctor finds damaged and the graph makes is moved out of the way, and only that is made again."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mspn.cluster import repair
from mspn.cluster.deep import check_figures
from mspn.cluster.findings import Check
from mspn.errors import UserError
from mspn.experiment.load import load_experiment
from mspn.networks.weights import load_weights
from tests.test_damage import FOLDER, cut, edited, flip, here, tree
from tests.test_workflow import clone, snakemake

__all__ = ["here", "tree"]  # fixtures

SCALE = """
extends: smoke
name: own
datasets: {coco: {train_images: 6, val_images: 3}}
recipes: {coco: {batch: 4, iterations: 3}}
runs: [mspn-1, mspn-2]
evaluate_on: [gt]
"""


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_damaged_files_are_moved_with_what_the_same_job_makes_and_nothing_else(here, monkeypatch):
    monkeypatch.setattr(repair, "controllers", lambda folder: [])
    experiment = load_experiment("madeup")
    training = min(experiment.results.glob("trainings/mspn-4-*"))
    before = files(experiment.results)
    edited("value")
    cut(str(experiment.results / "latency.csv"))
    cut(str(training / "environment.json"))
    flip(experiment.boxes_file("coco", "det-49.4"), -3)
    check = check_figures(experiment)
    assert len(check.findings) == 4 and all(finding.damaged for finding in check.findings)
    moved, verbs = repair.put_aside(experiment, "madeup", [check])
    assert verbs == []
    gone = before - files(experiment.results)
    expected = {"latency.csv", "latency.csv.sha256", "boxes/coco/det-49.4.json"}
    expected |= {"boxes/coco/det-49.4.metrics.json"}
    for folder in (FOLDER, training):
        inside = f"{folder.relative_to(experiment.results)}/"
        expected |= {name for name in before if name.startswith(inside)}
    assert gone == expected
    kept = experiment.results / repair.DAMAGED / moved[0].parts[3]
    assert files(kept) == gone, "nothing is deleted"
    assert check_figures(experiment).findings == []


def test_a_damaged_shard_is_made_again_in_its_place():
    results = Path("results/own")
    damaged = results / "crops/coco-64x48/00001.npy"
    assert repair.made_together(results, damaged) == [damaged, damaged.with_suffix(".json")]


def test_nothing_is_moved_beside_a_snakemake_that_works(here, monkeypatch):
    monkeypatch.setattr(repair, "controllers", lambda folder: [1])
    check = Check("one")
    check.wrong("damaged", "", FOLDER / "metrics.json")
    with pytest.raises(UserError, match="work here"):
        repair.put_aside(load_experiment("madeup"), "madeup", [check])
    assert FOLDER.is_dir()


def doctor(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mspn", "doctor", "--scale", "own.yaml", "--deep", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment)


@pytest.mark.slow
def test_one_command_makes_again_what_is_damaged_and_no_other_training(tmp_path):
    folder = clone(tmp_path)
    (folder / "own.yaml").write_text(SCALE)
    made = ["runs/mspn-1/seed-0/gt/metrics.json", "runs/mspn-2/seed-0/gt/metrics.json", "latency.csv"]
    own = ("--config", "scale=own.yaml", "--", *(f"results/own/{name}" for name in made))
    done = snakemake(folder, *own)
    assert done.returncode == 0, done.stdout + done.stderr

    results = folder / "results/own"
    trainings = sorted(results.glob("trainings/*"))
    (weights,) = results.glob("trainings/mspn-1-*/weights.safetensors")
    whole = load_weights(weights)[1]["tensor_hash"]
    flip(weights, -300)
    (shard,) = results.glob("crops/*/00000.npy")
    flip(shard, -300)
    flip(min(results.glob("data/coco/train/*.jpg")), 900)
    flip(results / "data/coco/annotations/person_keypoints_val.json", -30)
    cut(str(results / "runs/mspn-2/seed-0/gt/matches.npz"))
    cut(str(results / "latency.csv"))

    done = doctor(folder)
    assert done.returncode == 1
    assert "doctor --scale own.yaml --deep --repair" in done.stdout
    done = doctor(folder, "--repair")
    assert done.returncode == 0, done.stdout + done.stderr
    records = [f"results/own/trainings/{path.name}/environment.json" for path in trainings]
    text = snakemake(folder, "--dry-run", *own, *records).stdout
    found = re.findall(
        r"^rule (\w+):\n(?:    input:.*\n)?    output: results/own/([^/\n]+(?:/[^/\n]+)?)", text, re.M
    )
    assert sorted(found) == sorted(
        [
            ("train", f"trainings/{weights.parent.name}"),
            ("evaluate", "runs/mspn-1"),
            ("evaluate", "runs/mspn-2"),
            ("latency", "latency.csv"),
        ]
    ), text
    done = snakemake(folder, *own, *records)
    assert done.returncode == 0, done.stdout + done.stderr
    assert load_weights(weights)[1]["tensor_hash"] == whole
    done = doctor(folder)
    assert done.stdout.endswith("nothing wrong\n"), done.stdout
