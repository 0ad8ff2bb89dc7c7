"""No damaged file gives a number: each is named, with the command that makes it again."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from mspn.errors import UserError
from mspn.evaluation.rescoring import EVIDENCE
from mspn.experiment.load import load_experiment
from mspn.files import SEAL
from mspn.report.first_screen import warnings
from mspn.report.results import collect
from tests import report_tree

FOLDER = Path("results/madeup/runs/mspn-2/seed-0/gt")


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """Results of two runs."""
    root = report_tree.make_root(tmp_path_factory.mktemp("tree"), "madeup", (0,), bootstrap=20)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        report_tree.fill("madeup", runs=("mspn-2", "mspn-4"))
    return root


@pytest.fixture
def here(tree, tmp_path, monkeypatch):
    """A copy that a test may damage."""
    shutil.copytree(tree, tmp_path / "tree")
    monkeypatch.chdir(tmp_path / "tree")


def edit(path: str, old: str, new: str) -> None:
    text = Path(path).read_text()
    assert old in text
    Path(path).write_text(text.replace(old, new, 1))


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


def as_an_older_version_wrote_it(folder: Path) -> None:
    content = json.loads((folder / "metrics.json").read_text())
    del content[SEAL], content[EVIDENCE]
    (folder / "metrics.json").write_text(json.dumps(content))


def edited(key: str, older: bool = False) -> None:
    """Another number in the row of AP."""
    if older:
        as_an_older_version_wrote_it(FOLDER)
    content = json.loads((FOLDER / "metrics.json").read_text())
    content["rows"][0][key] += 0.01
    (FOLDER / "metrics.json").write_text(json.dumps(content))


def one_hit_more(older: bool) -> None:
    """Other matches than those that were scored, in a whole file."""
    with np.load(FOLDER / "matches.npz") as file:
        arrays = dict(file)
    arrays["paper/hit"][:, :, 0] ^= 0x80
    np.savez_compressed(FOLDER / "matches.npz", **arrays)
    if older:
        as_an_older_version_wrote_it(FOLDER)


def exchanged(older: bool) -> None:
    shutil.copy(str(FOLDER).replace("mspn-2", "mspn-4") + "/matches.npz", FOLDER / "matches.npz")
    if older:
        as_an_older_version_wrote_it(FOLDER)


def without_an_array() -> None:
    with np.load(FOLDER / "matches.npz") as file:
        arrays = {key: value for key, value in file.items() if key != "paper/persons"}
    np.savez_compressed(FOLDER / "matches.npz", **arrays)


def cut(path: str) -> None:
    data = Path(path).read_bytes()
    Path(path).write_bytes(data[: len(data) // 2])


DAMAGES = {
    "an edited AP": (lambda: edited("value"), "metrics.json: not as it was written"),
    "an edited AP, older": (lambda: edited("value", older=True), "one of them was damaged or exchanged"),
    "an edited interval": (lambda: edited("low"), "metrics.json: not as it was written"),
    "other matches": (lambda: one_hit_more(False), "matches.npz: paper: not the matches that were scored"),
    "other matches, older": (lambda: one_hit_more(True), "AP under paper is"),
    "exchanged matches": (lambda: exchanged(False), "matches.npz: paper: not the matches"),
    "exchanged matches, older": (lambda: exchanged(True), "AP under paper is"),
    "cut matches": (lambda: cut(str(FOLDER / "matches.npz")), "matches.npz: damaged"),
    "matches that lack an array": (without_an_array, "matches.npz: damaged (holds "),
    "a moved joint": (lambda: flip(FOLDER / "predictions.json", -9), "predictions.json: not the file"),
    "an edited box AP": (
        lambda: edit("results/madeup/boxes/coco/det-49.4.metrics.json", "49.3", "49.4"),
        "det-49.4.metrics.json: not as it was written",
    ),
    "an edited box": (
        lambda: edit("results/madeup/boxes/coco/gt.json", "true", "false"),
        "gt.json: not the boxes that",
    ),
    "edited FLOPs": (lambda: edit("results/madeup/flops/flops.csv", "4", "5"), "flops.csv: not as it was"),
    "FLOPs cut": (lambda: cut("results/madeup/flops/flops.csv"), "flops.csv: not as it was"),
    "latency cut": (lambda: cut("results/madeup/latency.csv"), "latency.csv: not as it was"),
    "an edited log": (
        lambda: edit(str(min(Path().glob("results/madeup/trainings/*/log.jsonl"))), "1.0", "1.5"),
        "log.jsonl: not the log that environment.json",
    ),
    "a record of something else": (
        lambda: min(Path().glob("results/madeup/trainings/*/environment.json")).write_text('{"attempts": 3}'),
        "environment.json: not a training's record",
    ),
    "an edited ceiling": (
        lambda: edit("results/madeup/ceiling.json", "83.25", "84.25"),
        "ceiling.json: not as",
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_what_is_damaged_is_refused_by_name_and_with_a_command(here, name):
    damage, message = DAMAGES[name]
    damage()
    with pytest.raises(UserError, match=r"snakemake --cores all --config scale=madeup -R results/") as error:
        collect(load_experiment("madeup"))
    assert message in str(error.value)
    assert str(error.value).startswith("1 of the results cannot be believed") and "\n" not in str(error.value)


def test_all_that_is_damaged_is_named_at_once(here):
    edited("value")
    cut("results/madeup/latency.csv")
    with pytest.raises(UserError, match=r"^2 of the results .*-R \S+/latency\.csv \S+/metrics\.json$"):
        collect(load_experiment("madeup"))


def test_older_results_that_agree_are_taken_and_named(here):
    before = collect(load_experiment("madeup"))
    assert not before.unbound and not any("not tied" in words for words in warnings(before))
    as_an_older_version_wrote_it(FOLDER)
    for path in Path("results/madeup").rglob("*.sha256"):
        path.unlink()
    after = collect(load_experiment("madeup"))
    assert after.metrics.equals(before.metrics) and after.flops == before.flops
    (words,) = (words for words in warnings(after) if "not tied" in words)
    assert words.startswith(f"1 of {len(before.evaluations)} evaluations")
    assert words.endswith("They are of mspn-2.")


def test_an_evaluation_on_other_boxes_annotations_or_data_is_stale(here):
    experiment = load_experiment("madeup")

    def state(**changes) -> str:
        content = json.loads((FOLDER / "metrics.json").read_text())
        content["address"] |= changes
        content.pop(SEAL, None)
        (FOLDER / "metrics.json").write_text(json.dumps(content))
        return collect(experiment).evaluations["mspn-2", "gt", 0].stale

    boxes = json.loads(Path("results/madeup/boxes/coco/gt.metrics.json").read_text())["boxes_sha256"]
    now = {"content": experiment.annotation_hashes("coco", "val"), **experiment.data_identity("coco", "val")}
    assert state(boxes={"sha256": boxes}, data=now) == ""
    assert "other annotations" in state(data={**now, "content": ["0" * 64]})
    assert "other data" in state(data={**now, "seed": 9})
    assert "other boxes" in state(data={}, boxes={"sha256": "0" * 64})
    assert any(
        "boxes (snakemake -R evaluate measures anew): mspn-2." in w for w in warnings(collect(experiment))
    )
