"""The graph where no file system is shared: each job has what it declares, and leaves what it declares."""

import shutil
from pathlib import Path

import pytest

from mspn.files import read_json
from mspn.networks.weights import load_weights
from tests.test_workflow import LINK, ROOT, clone, snakemake

PLUGIN = "snakemake_storage_plugin_shelf"
OWN = """
extends: smoke
datasets: {coco: {train_images: 8, val_images: 2}}
recipes: {coco: {batch: 4, iterations: 10, cooldown: 0.2}}
runs: [mspn-1]
evaluate_on: [gt]
"""


def run(folder: Path, *arguments: str) -> str:
    """What Snakemake says in a checkout with the scale above; it must succeed."""
    done = snakemake(folder, "--config", "scale=own.yaml", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def results(folder: Path) -> dict[str, object]:
    """The figures and the trained tensors below a folder, by their files."""
    figures = {
        str(path.relative_to(folder)): read_json(path, "figures")["rows"]
        for path in folder.rglob("metrics.json")
    }
    weights = {
        str(path.relative_to(folder)): {
            name: tensor.tolist() for name, tensor in load_weights(path)[0].items()
        }
        for path in folder.rglob("weights.safetensors")
    }
    assert len(figures) == len(weights) == 1
    return {**figures, **weights}


@pytest.mark.slow
def test_through_a_storage_the_results_are_those_of_a_shared_file_system(tmp_path):
    checkout, shelf = clone(tmp_path), tmp_path / "the shelf"
    shutil.copytree(ROOT / "tests/storage" / PLUGIN, checkout / PLUGIN)
    (checkout / "own.yaml").write_text(OWN)
    stored = ("--default-storage-provider", "shelf", "--default-storage-prefix", str(shelf))
    for rule in ("synth", "crops", "detect", "trunk", "train", "evaluate", "flops", "latency", "all"):
        run(checkout, *stored, "--until", rule)
        # Another machine has nothing of what lies beside the declared files.
        shutil.rmtree(checkout / ".snakemake/storage")
    assert "Nothing to be done" in run(checkout, *stored)
    assert [path.name for path in (checkout / "results/own").iterdir()] == ["scale.json"]
    assert not (checkout / "reports/own").exists()

    run(checkout, "--until", "evaluate")
    assert results(shelf / "results/own") == results(checkout / "results/own")
    # Put beside the checkout's own files, the report has all that it links to.
    shutil.copytree(shelf / "reports/own", checkout / "reports/own")
    page = checkout / "reports/own/index.html"
    links = LINK.findall(page.read_text())
    assert links and not [link for link in links if not (page.parent / link).exists()]
