"""What starts work again and what does not, read off the dry run's job list of a finished smoke scale."""

import json
import os
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager
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
            # Weights are larger than what Snakemake compares by content where nobody says otherwise.
            (folder / name).write_bytes(b"0" * 1_100_000 if name.endswith(".safetensors") else b"")
    snakemake(folder, "--touch", "--forceall", *SMOKE)
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
        ("mspn/training/losses.py", "\nimport ", "\nCHANGED = 1\nimport "),
        ("mspn/training/train.py", "the loss is not finite at", "no finite loss at"),
        ("mspn/networks/resnet.py", "bottleneck, counts", "deep, counts"),
        ("workflow/config/scales/smoke.yaml", "description: ", "description: other words, "),
        ("environment.yml", "name: mspn", "# a comment\nname: mspn"),
        ("workflow/rules/training.smk", " --training {{wildcards", " --device auto --training {{wildcards"),
    ],
)
def test_code_that_computes_the_same_and_words_train_nothing(edit, name, old, new):
    """The page alone shows a scale's description."""
    assert set(edit(name, old, new)) <= {"report"}


def test_a_moved_module_starts_nothing(finished):
    before = {path: path.read_text() for path in (finished / "mspn").rglob("*.py")}
    (finished / "mspn/training/targets.py").rename(finished / "mspn/training/spots.py")
    for path in (finished / "mspn").rglob("*.py"):
        path.write_text(path.read_text().replace("mspn.training.targets", "mspn.training.spots"))
    try:
        assert jobs(finished) == {}
    finally:
        (finished / "mspn/training/spots.py").unlink()
        for path, text in before.items():
            path.write_text(text)


def test_a_scale_by_its_path_is_the_scale_by_its_name(finished):
    path = "workflow/config/scales/smoke.yaml"
    for spelt in (path, f"./{path}", str(finished / path)):
        assert jobs(finished, ("--config", f"scale={spelt}")) == {}


def test_a_new_row_trains_and_evaluates_itself_alone(edit):
    started = edit("workflow/config/scales/smoke.yaml", "hourglass-1,", "hourglass-1, mspn-3,")
    assert trained(started) == {"mspn-3"}
    assert len(started["train"]) == 1
    assert {Path(output).parts[3] for output in started["evaluate"]} == {"mspn-3"}
    assert not {"synth", "crops", "detect"} & set(started)


def test_after_an_addition_removed_crop_stores_are_made_again_by_themselves_first(edit, finished):
    """Made within a larger run they would repeat the trainings that have read them."""
    stores = {path: path.read_bytes() for path in finished.glob("results/smoke/crops/*/manifest.json")}
    for path in stores:
        path.unlink()
    try:
        assert jobs(finished) == {}
        edit("workflow/config/scales/smoke.yaml", "hourglass-1,", "hourglass-1, mspn-3,")
        assert set(jobs(finished, (*SMOKE, "--until", "crops"))) == {"crops"}
    finally:
        for path, content in stores.items():
            path.write_bytes(content)
    assert trained(jobs(finished)) == {"mspn-3"}


def test_a_second_label_of_a_run_trains_nothing(edit):
    edit("workflow/config/grid.tsv", "resnet-101\t", "twin\tmspn-2\t256x192\tctf\tcoco\tgt\t\nresnet-101\t")
    started = edit("workflow/config/scales/smoke.yaml", "hourglass-1,", "hourglass-1, twin,")
    assert trained(started) == set()
    assert {Path(output).parts[3] for output in started["evaluate"]} == {"twin"}


def test_a_changed_recipe_retrains_the_runs_that_use_it(edit):
    recipe = "  mpii: {batch: 4, iterations: 4, lr: "
    started = edit("workflow/config/scales/smoke.yaml", f"{recipe}5.0e-2", f"{recipe}1.0e-3")
    assert len(started["train"]) == 1
    assert trained(started) == {"mspn-4"}
    assert {Path(output).parts[3] for output in started["evaluate"]} == {"mspn-4-mpii"}
    assert set(started) == {"train", "evaluate", "report"}


def test_a_raised_revision_repeats_what_it_concerns(edit):
    started = edit("mspn/experiment/identity.py", '"hourglass": 1', '"hourglass": 2')
    assert trained(started) == {"hourglass-1"}
    assert {Path(output).parts[3] for output in started["evaluate"]} == {"hourglass-1"}
    # The network's cost is counted and timed again with it.
    assert set(started) == {"train", "evaluate", "flops", "trained_flops", "latency", "report"}


def test_a_raised_revision_of_the_training_makes_no_data(edit):
    started = edit("mspn/experiment/identity.py", '"training": 1', '"training": 2')
    assert len(started["train"]) == len({*started["train"]}) == 6
    assert set(started) == {"train", "evaluate", "ceiling", "report"}


def test_another_validation_split_trains_nothing(edit):
    started = edit("workflow/config/scales/smoke.yaml", "val_images: 12", "val_images: 14")
    assert not {"train", "crops"} & set(started)
    assert "evaluate" in started


def test_copied_as_it_is_nothing_starts(finished, tmp_path):
    """Times of change say nothing: a plain copy gives every file the present one, in any order."""
    subprocess.run(["cp", "-r", str(finished), str(tmp_path / "copy")], check=True)
    weights = list((tmp_path / "copy").rglob("weights.safetensors"))
    assert weights
    for path in weights:
        path.touch()
    assert jobs(tmp_path / "copy") == {}


def test_a_new_seed_trains_that_seed_alone(edit):
    started = edit("workflow/config/scales/smoke.yaml", "bootstrap:", "seeds: [0, 1]\nbootstrap:")
    assert len(started["train"]) == 6
    assert all("-s1-" in output for output in started["train"])


STAND_INS = (
    *(f"coco/annotations/person_keypoints_{split}2017.json" for split in ("train", "val")),
    "external/annotations/person_keypoints_train.json",
    *(f"mpii/annotations/{split}.json" for split in ("train", "valid")),
    *(f"coco/detections/{name}.json" for name in ("megdet_minival_49.4", "cpn_minival_41.1")),
    *(f"imagenet/resnet{depth}.pth" for depth in (18, 50, 101, 152)),
)  # files of the paper scale: for a dry run they need only be there


@pytest.fixture(scope="module")
def paper(finished) -> Path:
    """The finished copy with stand-ins for the files of the paper scale."""
    for name in STAND_INS:
        (finished / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (finished / "data" / name).write_text(json.dumps([name]))
    return finished


def test_a_page_without_its_results_is_not_the_end(finished):
    """As after ``mspn report make`` of results that are still to come."""
    runs = finished / "results/smoke/runs"
    runs.rename(finished / "away")
    try:
        found = jobs(finished)
    finally:
        (finished / "away").rename(runs)
    assert set(found) == {"evaluate", "report"} and len(found["evaluate"]) > 5


def planned(folder: Path) -> set[str]:
    """The trainings of the paper scale that a dry run would start."""
    return {Path(output).parent.name for output in jobs(folder, ("--config", "scale=paper"))["train"]}


@pytest.fixture(scope="module")
def before(paper) -> set[str]:
    return planned(paper)


def test_the_paper_scale_is_planned_from_its_files_alone(paper, before):
    """Every different training with every seed."""
    text = (paper / "workflow/config/grid.tsv").read_text()
    rows = [line.split("\t") for line in text.splitlines()[1:] if line]
    assert len(before) == 3 * len({tuple(row[1:5]) for row in rows if row[1]})


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("data/imagenet/vgg16.pth", None, "unused"),
        ("data/coco/annotations/person_keypoints_val2017.json", "[", "[1, "),
        ("workflow/config/scales/paper.yaml", "description: ", "description: in other words, "),
        ("mspn/training/train.py", "the loss is not finite at", "no finite loss at"),
        ("workflow/config/tables.yaml", "Single-stage networks", "Networks of one stage"),
    ],
)
def test_what_renames_no_training(paper, before, name, old, new):
    with changed(paper / name, old, new):
        assert planned(paper) == before


@pytest.mark.parametrize(
    ("name", "old", "new", "concerned"),
    [
        ("data/mpii/annotations/train.json", "[", "[1, ", {"mspn-4"}),
        ("data/external/annotations/person_keypoints_train.json", "[", "[1, ", {"mspn-4"}),
        ("data/imagenet/resnet18.pth", "[", "[1, ", {"mspn-2xres18"}),
        ("data/imagenet/resnet101.pth", "[", "[1, ", {"resnet-101"}),
        ("mspn/experiment/identity.py", '"hrnet": 1', '"hrnet": 2', {"hrnet-w32", "hrnet-w48"}),
        ("data/coco/annotations/person_keypoints_train2017.json", "[", "[1, ", None),
        ("workflow/config/scales/paper.yaml", "oversampling: 2.0", "oversampling: 0.5", None),
        ("workflow/config/scales/paper.yaml", "form: raw", "form: jpeg", None),
        ("workflow/config/recipes.yaml", "norm_batch: 32", "norm_batch: 64", None),
        ("mspn/experiment/identity.py", '"data": 1', '"data": 2', None),
    ],
)
def test_what_renames_the_trainings_concerned(paper, before, name, old, new, concerned):
    """None: every one, but that of other data where only COCO's changed."""
    with changed(paper / name, old, new):
        after = planned(paper)
    renamed = {training.rsplit("-s", 1)[0] for training in before - after}
    assert len(after) == len(before)
    if concerned:
        assert renamed == concerned
        assert len(before - after) == 3 * len(concerned)
    else:
        assert len(before & after) in (0, 3)


@contextmanager
def changed(path: Path, old: str | None, new: str):
    """A file with one change, or a new one, for the length of the block."""
    text = path.read_text() if old is not None else None
    assert text is None or (old and old in text), f"{path} has no {old!r}"
    path.write_text(new if text is None else text.replace(str(old), new, 1))
    try:
        yield
    finally:
        path.unlink() if text is None else path.write_text(text)


def test_after_all_edits_are_taken_back_nothing_starts(finished):
    assert jobs(finished) == {}
