"""The graph as a user meets it: its jobs, its refusals, a whole tiny run, and a second that does nothing."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from mspn.experiment.load import load_experiment

LINK = re.compile(r'(?:href|src)="([^"#:]+)"')  # to another file
ROOT = Path(__file__).resolve().parent.parent


def snakemake(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "2", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(folder)},
    )


def clone(tmp_path: Path) -> Path:
    """A copy of the code without any result, as a fresh checkout has it."""
    folder = tmp_path / "clone"
    folder.mkdir()
    for name in ("mspn", "baselines", "workflow", "reports"):
        shutil.copytree(
            ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "demo", "smoke")
        )
    for name in ("Snakefile", "environment.yml", "requirements.lock", "pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.mark.parametrize("scale", ["demo", "smoke-all"])
def test_the_graph_has_every_run_of_the_scale(tmp_path, scale):
    result = snakemake(clone(tmp_path), "--dry-run", "--config", f"scale={scale}")
    assert result.returncode == 0, result.stdout + result.stderr
    text = result.stdout + result.stderr
    experiment = load_experiment(scale)
    for training in experiment.trainings():
        assert f"trainings/{training}/weights.safetensors" in text
    for run, seed, detector in experiment.evaluations():
        assert f"{experiment.evaluation_folder(run, seed, detector)}/metrics.json" in text


def test_a_scale_that_searches_ends_in_its_table_not_in_a_report(tmp_path):
    result = snakemake(clone(tmp_path), "--dry-run", "--config", "scale=bench-search")
    assert result.returncode == 0, result.stdout + result.stderr
    text = result.stdout + result.stderr
    assert "results/bench-search/search.csv" in text and "index.html" not in text


@pytest.mark.parametrize(
    ("break_it", "arguments", "expected"),
    [
        (
            lambda f: None,
            ("--config", "scale=bensch"),
            "bensch.yaml: no such scale; did you mean bench? there are: ",
        ),
        (lambda f: None, ("--config", "scal=demo"), "unknown key ['scal']; allowed: scale"),
        (
            lambda f: (f / "workflow/config/grid.tsv").write_text(
                (f / "workflow/config/grid.tsv")
                .read_text()
                .replace("hourglass-8\thourglass-8", "hourglass-8\tglass")
            ),
            (),
            "column network: unknown network 'glass'; there are: mspn-1",
        ),
        (
            lambda f: (f / "workflow/config/scales/own.yaml").write_text("extends: demo\nwidht: 1\n"),
            ("--config", "scale=workflow/config/scales/own.yaml"),
            "widht: unknown key; allowed: name",
        ),
        (
            lambda f: (f / "workflow/config/scales/own.yaml").write_text(
                "extends: demo\ndatasets: {coco: {kind: coco, root: nowhere}}\n"
            ),
            ("--config", "scale=workflow/config/scales/own.yaml"),
            "nowhere",
        ),
        (
            lambda f: (f / "workflow/config/scales/own.yaml").write_text(
                "extends: smoke\ndetectors: {det-49.4: {kind: file, path: typo.json}}\n"
            ),
            ("--config", "scale=workflow/config/scales/own.yaml"),
            "1 files that it needs are not there: typo.json",
        ),
        (
            lambda f: (f / "reports/paper/figures.tsv").unlink(),
            (),
            "not there: reports/paper/figures.tsv",
        ),
        (
            lambda f: None,
            ("--config", "scale=paper"),
            "not there: data/coco/annotations/person_keypoints_train2017.json",
        ),
    ],
)
def test_bad_input_is_refused_with_one_message_before_any_job(tmp_path, break_it, arguments, expected):
    folder = clone(tmp_path)
    break_it(folder)
    result = snakemake(folder, *arguments)
    assert result.returncode != 0
    text = result.stdout + result.stderr
    assert expected in text
    assert "Traceback" not in text
    assert not (folder / "results").exists()


@pytest.mark.slow
def test_the_smallest_graph_runs_whole_and_a_second_time_does_nothing(tmp_path):
    folder = clone(tmp_path)
    first = snakemake(folder, "--config", "scale=smoke")
    assert first.returncode == 0, first.stdout + first.stderr
    assert "reports/smoke/index.html" in first.stdout + first.stderr
    assert (folder / "reports/smoke/index.html").stat().st_size > 10_000
    summary = snakemake(folder, "--summary", "--config", "scale=smoke").stdout
    declared = {line.split("\t")[0] for line in summary.splitlines()}
    written = {path.relative_to(folder) for path in (folder / "reports/smoke").rglob("*.*")}
    # Tables that only some reports have.
    assert {path.stem for path in written if str(path) not in declared} <= {"flops", "ceilings", "protocols"}
    second = snakemake(folder, "--config", "scale=smoke")
    assert second.returncode == 0
    assert "Nothing to be done" in second.stdout + second.stderr
    assert snakemake(folder, "--report", "whole.zip", "--config", "scale=smoke").returncode == 0
    with zipfile.ZipFile(folder / "whole.zip") as archive:
        pages = [name for name in archive.namelist() if name.endswith((".html", ".svg"))]
        links = [link for name in pages for link in LINK.findall(archive.read(name).decode())]
    assert len(pages) > 10
    assert links == []


@pytest.mark.slow
def test_a_failed_rule_names_its_log_and_the_remedy(tmp_path):
    folder = clone(tmp_path)
    target = "results/smoke/data/coco/dataset.json"
    assert snakemake(folder, "--config", "scale=smoke", "--", target).returncode == 0
    next((folder / "results/smoke/data/coco/train").glob("*.jpg")).write_bytes(b"not a picture")
    result = snakemake(
        folder, "--config", "scale=smoke", "--", "results/smoke/crops/coco-64x48/manifest.json"
    )
    text = result.stdout + result.stderr
    assert result.returncode != 0
    assert "results/smoke/logs/crops/coco-64x48.log" in text
    assert ".jpg" in (folder / "results/smoke/logs/crops/coco-64x48.log").read_text()
