"""The graph and the verbs away from a checkout: another directory, another workflow, an installed wheel."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.test_workflow import ROOT, clone

OUTER = """
import os, signal
before = (dict(os.environ), signal.getsignal(signal.SIGUSR1))
config["samples"] = ["a"]

module mspn:
    snakefile: "{root}/Snakefile"
    config: {{"scale": "{scale}"}}

use rule * from mspn as mspn_*

assert (dict(os.environ), signal.getsignal(signal.SIGUSR1)) == before

rule all:
    default_target: True
    input: "mine.txt", rules.mspn_all.input

rule mine:
    output: "mine.txt"
    shell: "echo {{config[samples]}} > {{output}}"
"""


def run(folder: Path, path: Path, *words: str) -> str:
    """What ``python -m words`` says in a folder, with ``path`` as the place of the package."""
    done = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(path)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_the_graph_runs_in_another_directory_under_its_own_configuration(tmp_path):
    smoke = ("--config", "scale=smoke")
    here = run(tmp_path, ROOT, "snakemake", "-n", "-s", str(ROOT / "Snakefile"), *smoke)
    assert "results/smoke/ceiling.json" in here
    assert f"input: {ROOT}/reports/paper/figures.tsv" in here
    grid = tmp_path / "workflow/config/grid.tsv"
    grid.parent.mkdir(parents=True)
    lines = (ROOT / "workflow/config/grid.tsv").read_text().splitlines(True)
    grid.write_text("".join(lines) + "own-row\tmspn-1\t256x192\tctf\tcoco\tgt\t\n")
    (tmp_path / "own.yaml").write_text("extends: smoke\nruns: [own-row]\n")
    there = run(ROOT, ROOT, "snakemake", "-n", "--directory", str(tmp_path), "--config", "scale=own.yaml")
    assert "results/own/runs/own-row/seed-0/gt/metrics.json" in there


@pytest.mark.parametrize(
    ("scale", "job"),
    [("smoke", "mspn_train"), pytest.param("bench-search", "mspn_tune", marks=pytest.mark.slow)],
)
def test_another_workflow_has_it_as_a_module_and_nothing_leaks(tmp_path, scale, job):
    (tmp_path / "Snakefile").write_text(OUTER.format(root=ROOT, scale=scale))
    said = run(tmp_path, ROOT, "snakemake", "-n")
    assert f"rule {job}:" in said and "rule mine:" in said


@pytest.mark.slow
def test_a_wheel_has_all_that_the_verbs_and_the_graph_need(tmp_path):
    checkout = clone(tmp_path)
    for name in ("setup.py", "MANIFEST.in", "LICENSE"):
        shutil.copy(ROOT / name, checkout / name)
    wheel = ["pip", "wheel", "--no-deps", "--no-build-isolation", "-w", str(tmp_path), str(checkout)]
    run(tmp_path, ROOT, *wheel)
    (built,) = tmp_path.glob("*.whl")
    site, empty = tmp_path / "site", tmp_path / "empty"
    with zipfile.ZipFile(built) as archive:
        archive.extractall(site)
        assert {name.split("/")[0].split("-")[0] for name in archive.namelist()} == {"mspn"}
    empty.mkdir()
    assert "hourglass-1" in run(empty, site, "mspn", "flops", "hourglass-1")
    run(empty, site, "mspn", "plan", "--scale", "smoke", "--json")
    (empty / "own.yaml").write_text(
        "extends: smoke\nruns: [hourglass-1]\nevaluate_on: [gt]\ndatasets: {coco: {val_images: 4}}\n"
    )
    run(
        empty,
        site,
        "snakemake",
        "--cores",
        "2",
        "-s",
        str(site / "mspn/Snakefile"),
        "--config",
        "scale=own.yaml",
    )
    assert (empty / "reports/own/index.html").is_file()
