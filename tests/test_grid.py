"""The grid and what is derived from it: runs, identities and the places of files."""

import hashlib
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from mspn.errors import UserError
from mspn.experiment.config import CONFIG
from mspn.experiment.experiment import Experiment
from mspn.experiment.grid import GRID, GRID_COLUMNS, load_grid
from mspn.experiment.identity import HASHES, content_hash
from mspn.experiment.load import claim_results, load_experiment

ROOT = Path(__file__).resolve().parent.parent
ROW = "one\tmspn-1\t256x192\tctf\tcoco\tgt\t"


def grid_file(tmp_path: Path, *rows: str, header: str = "\t".join(GRID_COLUMNS)) -> Path:
    path = tmp_path / "grid.tsv"
    path.write_text("\n".join((header, *rows)) + "\n")
    return path


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (
            ROW.replace("mspn-1", "mspn-9"),
            "line 3, column network: unknown network 'mspn-9'; there are: mspn-1",
        ),
        (ROW.replace("ctf", "cft"), "line 3, column supervision: 'cft'; allowed: base, ctf, k77, k55"),
        (ROW.replace("coco", "Coco"), "line 3, column data: 'Coco': names of data sets"),
        (ROW.replace("coco", "coco+coco"), "line 3, column data: 'coco+coco': a data set is there twice"),
        (ROW.replace("256x192", "256"), "line 3, column input"),
        (ROW.replace("one", "One Run"), "line 3, column run"),
        (ROW.replace("one", '"two"'), "line 3, column run: '\"two\"' must be lower-case letters"),
        (ROW.replace("one", "one\tmore"), "line 3: 8 columns, not 7; there is a tab between each two"),
        (ROW.replace("\t", "  "), "line 3: 1 columns, not 7"),
        (ROW.replace("gt", ""), "line 3, column detectors"),
        (ROW + "first", "either a network or, for an ensemble, members"),
        (ROW.replace("one", "first"), "'first' is there twice"),
        ("e\t\t256x192\t\tcoco\tgt\tnobody", "member 'nobody'"),
        ("e\t\t384x288\t\tcoco\tgt\tfirst", "another geometry"),
    ],
)
def test_a_wrong_row_is_named(tmp_path, row, expected):
    with pytest.raises(UserError) as error:
        load_grid(grid_file(tmp_path, ROW.replace("one", "first"), row))
    assert expected in str(error.value)


def test_wrong_columns_and_missing_file_are_named(tmp_path):
    with pytest.raises(UserError, match="columns are"):
        load_grid(grid_file(tmp_path, header="run\tnet"))
    with pytest.raises(UserError, match="no such grid"):
        load_grid(tmp_path / "none.tsv")


def test_the_grid_holds_every_run_of_the_paper():
    grid = load_grid()
    sample = """mspn-1 mspn-4 resnet-254 hourglass-8 hourglass-2-wide mspn-2xres18 l-xcp mspn-4xs-xcp
        hourglass-4-ctf-csfa mspn-2-k55 mspn-4-384x288-ensemble mspn-4-mpii"""
    assert set(sample.split()) <= set(grid)


def ids(experiment: Experiment, seed: int = 0) -> dict[str, str]:
    return {run.run: experiment.training_id(run, seed) for run in experiment.trained}


def test_only_what_affects_a_training_changes_its_identity():
    experiment = load_experiment("smoke-all")
    before = ids(experiment)
    assert len(set(before.values())) == len(before)
    scale = experiment.scale
    cosmetic = replace(experiment, scale=scale.model_copy(update={"description": "x", "bootstrap": 7}))
    assert ids(cosmetic) == before
    recipe = scale.recipes["mpii"].model_copy(update={"lr": 1e-9})
    other = replace(experiment, scale=scale.model_copy(update={"recipes": {**scale.recipes, "mpii": recipe}}))
    assert [run for run, training in ids(other).items() if training != before[run]] == ["mspn-4-mpii"]
    assert not set(ids(experiment, seed=1).values()) & set(before.values())


def test_a_new_option_of_a_recipe_renames_nothing_and_each_option_counts():
    experiment = load_experiment("demo")
    run, scale = experiment.run("mspn-2"), experiment.scale
    assert "head_scale" not in experiment.identity(run, 0)["recipe"]
    names = set()
    for change in ({"ema": 0.9}, {"norm_batch": 8}, {"cooldown": 0.5}, {"head_scale": 2.0}, {"lr": 0.5}):
        recipe = scale.recipes["coco"].model_copy(update=change)
        other = replace(experiment, scale=scale.model_copy(update={"recipes": {"coco": recipe}}))
        names.add(other.training_id(run, 0))
    assert len(names) == 5 and experiment.training_id(run, 0) not in names


def test_a_hash_is_remembered_until_the_file_changes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = Path("file.json")
    assert content_hash(path) is None
    path.write_text("one")
    os.utime(path, (1, 1))
    first = content_hash(path)
    assert json.loads(HASHES.read_text())["file.json"][2] == first == hashlib.sha256(b"one").hexdigest()
    path.write_text("two")
    os.utime(path, (1, 1))
    assert content_hash(path) == first  # the same size and time: as it was
    os.utime(path, (2, 2))
    assert content_hash(path) == hashlib.sha256(b"two").hexdigest()


def test_a_new_row_changes_no_identity_and_a_second_label_shares_the_training(tmp_path):
    text = GRID.read_text().rstrip("\n")
    twin = next(line for line in text.splitlines() if line.startswith("mspn-2\t")).replace(
        "mspn-2", "twin", 1
    )
    path = tmp_path / "grid.tsv"
    path.write_text(f"{text}\n{twin}\n")
    before, after = load_experiment("smoke-all"), load_experiment("smoke-all", path)
    assert {run: ids(after)[run] for run in ids(before)} == ids(before)
    assert ids(after)["twin"] == ids(after)["mspn-2"]
    assert set(after.trainings()) == set(before.trainings())


def test_unknown_runs_and_trainings_are_refused_with_what_there_is():
    experiment = load_experiment("smoke")
    expected = "unknown run 'mspn-5' at scale smoke; did you mean mspn-2[?] there are: mspn-1"
    with pytest.raises(UserError, match=expected):
        experiment.run("mspn-5")
    with pytest.raises(UserError, match="there are: mspn-1-s0-"):
        experiment.training("mspn-1-s0-0000000000")


def test_results_belong_to_one_scales_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / CONFIG, CONFIG)
    for folder in ("mine", "other"):
        Path(folder).mkdir()
        Path(folder, "own.yaml").write_text("extends: demo")
    load_experiment("mine/own.yaml")
    assert not Path("results").exists()
    claim_results(load_experiment("mine/own.yaml"), "mine/own.yaml")
    Path("mine/own.yaml").write_text("extends: demo\nseeds: [4]")  # one's own file may change
    assert load_experiment(str(tmp_path / "mine/own.yaml")).scale.seeds == [4]
    with pytest.raises(UserError, match=r"results/own: holds .* of scale mine/own\.yaml, not of other/own"):
        load_experiment("other/own.yaml")
    shutil.move("mine", "moved")
    claim_results(load_experiment("moved/own.yaml"), "moved/own.yaml")  # a moved file takes its place
    with pytest.raises(UserError, match=r"of scale moved/own\.yaml, not of other/own"):
        load_experiment("other/own.yaml")
    claim_results(load_experiment("workflow/config/scales/demo.yaml"), "workflow/config/scales/demo.yaml")
    assert json.loads(Path("results/demo/scale.json").read_text()) == {"scale": "demo"}
    assert load_experiment("demo").results == Path("results/demo")  # one scale, however it is spelt


def test_a_scale_that_lacks_what_a_run_needs_is_refused(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text("extends: demo\nruns: [mspn-4-384x288-ensemble]")
    with pytest.raises(UserError, match="needs its member"):
        load_experiment(str(path))
    path.write_text("extends: demo\nruns: [mspn-1, mspn-77]")
    with pytest.raises(UserError, match=r"unknown \['mspn-77'\]; did you mean mspn-2-k77\? the grid has"):
        load_experiment(str(path))
