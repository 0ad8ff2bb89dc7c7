"""What starts work again and what does not, read off the dry run's job list of a finished smoke scale."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

# A dry run takes seconds.
pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent
SMOKE = ("--config", "scale=smoke")


def snakemake(folder: Path, *arguments: str) -> str:
    """Its output; an error shows it whole."""
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "1", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(folder), "MSPN_COCO": "", "MSPN_MPII": ""},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def jobs(folder: Path, scale: tuple[str, ...] = SMOKE) -> dict[str, set[str]]:
    """The jobs that a dry run would start: rule -> what each would make first."""
    text = snakemake(folder, "--dry-run", *scale)
    found: dict[str, set[str]] = {}
    for rule, output in re.findall(r"^rule (\w+):\n(?:    input:.*\n)?    output: ([^\n,]+)", text, re.M):
        found.setdefault(rule, set()).add(output)
    return found


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A copy of the repository where the smoke scale is done: empty outputs, and Snakemake's record."""
    folder = tmp_path_factory.mktemp("finished")
    for name in ("mspn", "baselines", "workflow", "reports"):
        ignored = shutil.ignore_patterns("__pycache__", "demo", "smoke")
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    for name in ("Snakefile", "environment.yml", "README.md"):
        (folder / name).write_text((ROOT / name).read_text() if (ROOT / name).exists() else "")
    summary = snakemake(folder, "--summary", *SMOKE)
    for line in summary.splitlines():
        name = line.split("\t")[0]
        if re.match("(results|reports)/smoke/", name):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).touch()
    snakemake(folder, "--touch", *SMOKE)
    assert jobs(folder) == {}
    return folder


@pytest.fixture
def edit(finished):
    """``edit(path, old, new)`` changes a file for one test and gives the jobs that this starts."""
    before: dict[Path, str] = {}

    def change(name: str, old: str, new: str) -> dict[str, set[str]]:
        path = finished / name
        text = path.read_text()
        before.setdefault(path, text)
        assert old in text, f"{name} has no {old!r}"
        path.write_text(text.replace(old, new, 1))
        return jobs(finished)

    yield change
    for path, text in before.items():
        path.write_text(text)


def trained(started: dict[str, set[str]]) -> set[str]:
    """The networks of the trainings that are started, without seed and hash."""
    return {Path(output).parent.name.rsplit("-s", 1)[0] for output in started.get("train", ())}


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("mspn/report/style.py", "\nfrom ", "\nSTYLE = 1\nfrom "),
        ("workflow/config/tables.yaml", "Single-stage networks", "Networks of one stage"),
    ],
)
def test_a_figures_style_or_a_caption_makes_the_report_alone(edit, name, old, new):
    assert set(edit(name, old, new)) == {"report"}


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("README.md", "", "Another sentence.\n"),
        ("mspn/networks/mspn.py", '"""', '"""Another docstring.\n\n'),
        ("mspn/losses.py", "\nfrom ", "\n# a comment\nfrom "),
        ("workflow/config/scales/smoke.yaml", "description: ", "description: other words, "),
        ("environment.yml", "name: mspn", "# a comment\nname: mspn"),
    ],
)
def test_readme_comments_and_descriptions_start_nothing(edit, name, old, new):
    assert edit(name, old, new) == {}


def test_a_new_row_trains_and_evaluates_itself_alone(edit):
    started = edit("workflow/config/scales/smoke.yaml", "hourglass-1,", "hourglass-1, mspn-3,")
    assert trained(started) == {"mspn-3"}
    assert len(started["train"]) == 1
    assert {Path(output).parts[3] for output in started["evaluate"]} == {"mspn-3"}
    assert not {"synth", "crops", "detect"} & set(started)


def test_a_second_label_of_a_run_trains_nothing(edit):
    edit("workflow/config/grid.tsv", "resnet-101\t", "twin\tmspn-2\t256x192\tctf\tcoco\tgt\t\nresnet-101\t")
    started = edit("workflow/config/scales/smoke.yaml", "hourglass-1,", "hourglass-1, twin,")
    assert trained(started) == set()
    assert {Path(output).parts[3] for output in started["evaluate"]} == {"twin"}


def test_a_changed_recipe_retrains_the_runs_that_use_it(edit):
    started = edit(
        "workflow/config/scales/smoke.yaml", "  mpii: {batch: 4,", "  mpii: {lr: 1.0e-3, batch: 4,"
    )
    assert len(started["train"]) == 1
    assert trained(started) == {"mspn-4"}
    assert {Path(output).parts[3] for output in started["evaluate"]} == {"mspn-4-mpii"}
    assert set(started) == {"train", "evaluate", "report"}


def test_a_changed_networks_code_retrains_the_runs_that_use_it(edit):
    started = edit("baselines/hourglass.py", "\nfrom ", "\nCHANGED = 1\nfrom ")
    assert trained(started) == {"hourglass-1"}
    assert {Path(output).parts[3] for output in started["evaluate"]} == {"hourglass-1"}


def test_a_changed_loss_retrains_every_run_and_makes_no_data(edit):
    started = edit("mspn/losses.py", "\nfrom ", "\nCHANGED = 1\nfrom ")
    assert len(started["train"]) == len({*started["train"]}) == 6
    assert not {"synth", "crops", "detect", "flops"} & set(started)


def test_a_changed_training_loop_retrains_nothing(edit):
    """It only feeds, logs and saves; what decides a result lies in the modules of the identity."""
    assert trained(edit("mspn/train.py", "\nfrom ", "\nCHANGED = 1\nfrom ")) == set()


def test_a_new_seed_trains_that_seed_alone(edit):
    started = edit("workflow/config/scales/smoke.yaml", "bootstrap:", "seeds: [0, 1]\nbootstrap:")
    assert len(started["train"]) == 6
    assert all("-s1-" in output for output in started["train"])


def test_the_paper_scale_is_planned_from_its_files_alone(finished):
    """Every different training with every seed; for a dry run the files need only be there."""
    names = [f"coco/annotations/person_keypoints_{split}2017.json" for split in ("train", "val")]
    names += ["external/annotations/person_keypoints_train.json"]
    names += [f"mpii/annotations/{split}.json" for split in ("train", "valid")]
    names += [f"coco/detections/{name}.json" for name in ("megdet_minival_49.4", "cpn_minival_41.1")]
    for name in names:
        (finished / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (finished / "data" / name).write_text(json.dumps([]))
    started = jobs(finished, ("--config", "scale=paper"))
    text = (finished / "workflow/config/grid.tsv").read_text()
    rows = [line.split("\t") for line in text.splitlines()[1:] if line]
    assert len(started["train"]) == 3 * len({tuple(row[1:5]) for row in rows if row[1]})


def test_after_all_edits_are_taken_back_nothing_starts(finished):
    assert jobs(finished) == {}
