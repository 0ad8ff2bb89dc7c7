"""A network of one's own: what the grid may name, what is checked of it, the documented recipe, followed."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
import torch
import yaml

from mspn.commands.cli import main
from mspn.errors import UserError
from mspn.experiment.grid import GRID, GRID_COLUMNS, load_grid
from mspn.experiment.load import load_experiment
from mspn.experiment.networks import family, network_spec
from mspn.networks.build import build_network, constructor, count_stages
from mspn.networks.contract import check_network
from mspn.networks.weights import load_network, save_weights
from mspn.report.cells import Book
from mspn.report.layout import TABLES, load_layout
from mspn.report.results import collect
from mspn.report.tables import Tables
from tests import report_tree
from tests.test_workflow import ROOT, clone

PAGE = (ROOT / "docs/own-network.md").read_text(encoding="utf-8")
MODULE, ROW = (re.search(rf"```{kind}\n(.*?)```", PAGE, re.S)[1] for kind in ("python", "tsv"))  # type: ignore[index]
KEYWORDS: dict[str, Any] = {"joints": 5, "scales": 4, "width": 0.25}
SIZE = (64, 48)


@pytest.fixture
def module(tmp_path, monkeypatch):
    """``module(text)`` is the working directory's module ``mynets``; the grid names mynets:tiny."""
    shutil.copytree(ROOT / "workflow/config", tmp_path / "workflow/config")
    with (tmp_path / GRID).open("a") as grid:
        grid.write(ROW)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def write(text: str) -> None:
        (tmp_path / "mynets.py").write_text(text)
        monkeypatch.delitem(sys.modules, "mynets", raising=False)

    yield write
    sys.modules.pop("mynets", None)


def test_the_documented_network_keeps_the_contract_and_its_weights_can_be_read(module, tmp_path):
    module(MODULE)
    kept = check_network("mynets:tiny", KEYWORDS, SIZE)
    assert (kept.stages, kept.output) == (1, (2, 1, 4, 5, 16, 12))
    assert count_stages("mynets:tiny", KEYWORDS, SIZE) == 1
    header = {
        "constructor": "mynets:tiny",
        "keywords": {"joints": 17, "scales": 1, "width": 0.25},
        "joint_set": "coco",
        "input_size": [64, 48],
    }
    network = build_network("mynets:tiny", joints=17, scales=1, width=0.25)
    save_weights(tmp_path / "w.safetensors", network.state_dict(), header)
    again, _ = load_network(tmp_path / "w.safetensors")
    images = torch.randn(1, 3, 64, 48)
    assert torch.equal(again(images), network.eval()(images))


def test_weights_choose_no_function_that_the_grid_does_not_name(module):
    module(MODULE + "\n\ndef other(**k): raise SystemExit\n")
    assert callable(constructor("mynets:tiny"))
    for path in ("mynets:other", "os:system", "mynets:tiny:x"):
        with pytest.raises(UserError, match="is not a network of this project"):
            constructor(path)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "from torch import nn",
            "import nowhere",
            "module mynets cannot be imported (ModuleNotFoundError: No module",
        ),
        ("def tiny(", "def small(", "module mynets has no function tiny"),
        (
            "def tiny(*, joints, scales, width)",
            "def tiny(*, joints)",
            "raises TypeError: tiny() got an unexpected",
        ),
        ("return Tiny(joints, scales, width)", "return 3", "returns a int, not a torch.nn.Module"),
        (", all_stages=False", "", "network(images) raises NameError"),
        (
            "3, features, 7, 4, 3",
            "3, features, 7, 8, 3",
            "network(images) gives (2, 5, 8, 6), not (2, 5, 16, 12)",
        ),
        ("if all_stages else maps[:, -1, -1]", "[:, -1, -1]", "all_stages=True) gives (2, 5, 16, 12), not"),
        ("scales * joints", "joints", "network(images) raises RuntimeError: unflatten"),
        (
            "self.maps =",
            "self.unused = nn.Linear(2, 2)\n        self.maps =",
            "reaches unused.weight, unused.bias",
        ),
        ("self.maps =", "self.body.double()\n        self.maps =", "raises RuntimeError"),
        (
            "self.maps =",
            "self.register_buffer('on', torch.tensor(True))\n        self.maps =",
            "not on (torch.bool)",
        ),
    ],
)
def test_what_a_network_lacks_is_named(module, old, new, expected):
    assert old in MODULE
    module("import torch\n" + MODULE.replace(old, new, 1))
    with pytest.raises(UserError) as error:
        check_network("mynets:tiny", KEYWORDS, SIZE)
    assert expected in str(error.value)


def test_the_command_names_the_run(module, capsys):
    module(MODULE)
    assert main(["check-networks"]) == 0
    assert "mynets:tiny: 1 stages, 4,865 parameters" in capsys.readouterr().out
    module(MODULE.replace("def tiny(", "def small("))
    assert main(["check-networks"]) == 2
    assert "mspn: run 'tiny', network mynets:tiny: module mynets has no" in capsys.readouterr().err


def test_the_grid_takes_a_function_with_a_family_or_without(tmp_path):
    for name, expected in (("a.b:net", "b"), ("nets:net", "nets"), ("a.b:net@hourglass", "hourglass")):
        path = tmp_path / "grid.tsv"
        path.write_text("\t".join(GRID_COLUMNS) + f"\none\t{name}\t256x192\tbase\tcoco\tgt\n")
        assert family(load_grid(path)["one"].network) == expected
        assert network_spec(name) == (name.split("@")[0], {})
    for wrong in ("a.b:", ":net", "a b:net", "a:net@", "a:b:c", "../a:net"):
        path.write_text("\t".join(GRID_COLUMNS) + f"\none\t{wrong}\t256x192\tbase\tcoco\tgt\n")
        with pytest.raises(UserError, match=r"line 2, column network: network .* is not module:function"):
            load_grid(path)


def test_the_modules_revision_and_nothing_else_names_its_trainings(module):
    module(MODULE)
    experiment = load_experiment("demo")
    before = {run.run: experiment.training_id(run, 0) for run in experiment.trained}
    assert before["tiny"].startswith("mynets-tiny-s0-")
    module(MODULE.replace("7, 4, 3", "5, 4, 2"))
    assert experiment.training_id(experiment.run("tiny"), 0) == before["tiny"]
    module(MODULE + "\nREVISION = 2\n")
    after = {run.run: experiment.training_id(run, 0) for run in experiment.trained}
    assert [run for run in after if after[run] != before[run]] == ["tiny"]
    own = replace(experiment.run("tiny"), network="mynets:tiny@hourglass")
    assert experiment.identity(own, 0)["revisions"]["hourglass"] == 1


def test_a_table_of_ones_own_stands_beside_the_papers(tmp_path, monkeypatch):
    monkeypatch.chdir(report_tree.make_root(tmp_path, "madeup", (0, 1)))
    experiment = report_tree.fill("madeup", ("mspn-1", "mspn-2"))
    layout = yaml.safe_load(TABLES.read_text())
    layout["tables"]["mine"] = {
        "title": "Mine",
        "runs": ["mspn-2", "mspn-3", "gone"],
        "columns": ["AP", "AR50", "GFLOPs"],
        "boxes": "gt",
    }
    TABLES.write_text(yaml.safe_dump(layout, sort_keys=False))
    book = Book()
    results = collect(experiment)
    view = Tables(results, {}, {**load_layout(), "tables": {"mine": layout["tables"]["mine"]}}, book).views()[
        0
    ]
    assert (view.id, view.labels) == ("table-mine", ("Run", "AP", "AR50", "GFLOPs"))
    estimate = results.estimate("mspn-2", "gt", "AP")
    assert estimate is not None
    first, second, third = view.body
    assert first[1].cells["ours"].value == estimate.value and first[1].cells["low"].value == estimate.low
    assert first[3].cells["ours"].value == results.flops["mspn-2"]["gflops_paper_convention"]
    assert second[1].cells["ours"].reason == "no AP of mspn-3 on gt"
    assert third[2].cells["ours"].reason == "gone is not among the runs of scale madeup"
    for wrong, expected in (({"runs": "mspn-1"}, "runs: Input"), ({"colums": []}, "colums: Extra")):
        layout["tables"]["mine"] = {"title": "Mine", "runs": ["mspn-2"], "columns": ["AP"], **wrong}
        TABLES.write_text(yaml.safe_dump(layout, sort_keys=False))
        with pytest.raises(UserError, match=f"tables.yaml: table mine: 1 wrong\n  {expected}"):
            load_layout()


def test_reading_the_rules_takes_no_torch_unless_a_run_needs_it():
    code = (
        "import sys; from mspn.experiment.load import load_experiment as e; x = e('demo'); x.trainings();"
        "x.network_revisions(); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


@pytest.mark.slow
def test_the_documented_recipe_trains_that_run_alone_and_it_stands_in_the_report(tmp_path):
    """With a module outside of the checkout, at a scale whose other run is done before the network comes."""
    folder, outside = clone(tmp_path), tmp_path / "outside"
    outside.mkdir()

    def snakemake(*arguments: str, refused: bool = False) -> str:
        command = [
            sys.executable,
            "-m",
            "snakemake",
            "--cores",
            "2",
            "--config",
            "scale=own.yaml",
            *arguments,
        ]
        path = os.pathsep.join(map(str, (folder, outside)))
        environment = {**os.environ, "PYTHONPATH": path}
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment)
        assert (done.returncode == 0) == (not refused), done.stdout + done.stderr
        return done.stdout + done.stderr

    scale = (
        "extends: smoke\nruns: [mspn-1, tiny]\nevaluate_on: [det-49.4]\ndatasets: {coco: {val_images: 4}}\n"
    )
    (folder / "own.yaml").write_text(scale.replace(", tiny", ""))
    snakemake()
    latency = {path: path.read_bytes() for path in (folder / "results/own/latency").iterdir()}
    (folder / "own.yaml").write_text(scale)
    with (folder / GRID).open("a") as grid:
        grid.write(ROW.replace("mynets:tiny", "mynets:tiny@small"))
    layout = yaml.safe_load((folder / TABLES).read_text())
    layout["tables"]["mine"] = {"title": "Mine", "runs": ["tiny", "mspn-1"], "columns": ["AP", "GFLOPs"]}
    (folder / TABLES).write_text(yaml.safe_dump(layout, sort_keys=False))
    (outside / "mynets.py").write_text("")
    assert "run 'tiny', network mynets:tiny@small: module mynets has no function tiny" in snakemake(
        "-n", refused=True
    )
    (outside / "mynets.py").write_text(MODULE)
    started = re.findall(r"^(?:local)?rule (\w+):", snakemake(), re.M)
    assert sorted(set(started)) == ["all", "evaluate", "flops", "latency", "report", "train", "trained_flops"]
    assert started.count("train") == started.count("evaluate") == 1
    for table in ("tables/evaluations", "tables/flops", "tables/table-mine", "runs", "curve"):
        lines = (folder / f"reports/own/{table}.csv").read_text().splitlines()
        assert any("tiny" in line.split(",") for line in lines), table
    assert "small" in (folder / "reports/own/curve.csv").read_text()  # its family's curve
    assert {path: path.read_bytes() for path in latency} == latency
    assert len(list((folder / "results/own/latency").iterdir())) == len(latency) + 1
    metrics = json.loads((folder / "results/own/runs/tiny/seed-0/det-49.4/metrics.json").read_text())
    assert metrics["address"]["training_id"].startswith("mynets-tiny-s0-")
