"""Imported weights: scored as a run is, kept apart, marked as such; what does not fit is refused at once."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from mspn.commands.cli import main
from mspn.data.detectors import as_detections
from mspn.data.load import load_split
from mspn.data.synth import make_dataset
from mspn.errors import UserError
from mspn.evaluation import imported
from mspn.evaluation.imported import evaluate_weights
from mspn.evaluation.metrics.bootstrap import COCO_FIGURES
from mspn.evaluation.protocols import PROTOCOLS
from mspn.experiment.experiment import Experiment
from mspn.experiment.load import load_experiment
from mspn.files import read_json, sha256, write_json
from mspn.networks.mspn import mspn
from mspn.networks.weights import save_weights
from mspn.report.cells import Book
from mspn.report.extras import evaluations_view
from mspn.report.results import collect
from tests.published_networks import published

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def experiment() -> Experiment:
    """The smoke scale, its bootstrap cut short."""
    whole = load_experiment("smoke")
    return replace(whole, scale=whole.scale.model_copy(update={"bootstrap": 20}))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own, as an experiment's paths are relative."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_weights(
    path: Path, seed: int = 0, joint_set: str = "coco", size: tuple[int, int] = (64, 48)
) -> Path:
    """Small weights as from elsewhere."""
    keywords: dict[str, Any] = {
        "stages": 1,
        "down": "resnet18",
        "joints": 17 if joint_set == "coco" else 16,
        "width": 0.0625,
    }
    torch.manual_seed(seed)
    header = {"constructor": "mspn.networks.mspn:mspn", "keywords": keywords, "source": "imported from a.pth"}
    save_weights(
        path, mspn(**keywords).state_dict(), header | {"joint_set": joint_set, "input_size": list(size)}
    )
    return path


def test_a_published_checkpoint_is_imported_scored_and_shown_apart(
    experiment: Experiment, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root, boxes = experiment.data_folder("coco"), experiment.boxes_file("coco", "gt")
    make_dataset(
        root,
        layout="coco",
        difficulty="plain",
        seed=1,
        train_images=1,
        val_images=4,
        workers=1,
        progress=False,
    )
    write_json(boxes, as_detections(load_split(experiment.scale.datasets["coco"], root, "val")))
    published("mmpose-0.x", 1, here / "mspn50.pth")
    assert main(["import-checkpoint", "mspn50.pth", "--out", "mspn50.safetensors", "--input", "64x48"]) == 0
    # After a first call: all verbs are imported then, and none keeps this one.
    monkeypatch.setattr("mspn.experiment.load.load_experiment", lambda scale: experiment)
    capsys.readouterr()
    command = ["evaluate", "--weights", "mspn50.safetensors", "--scale", "smoke", "--device", "cpu"]
    assert main(command) == 0
    printed, hashed = capsys.readouterr().out.splitlines(), sha256("mspn50.safetensors")
    source = f"imported from mspn50.pth, sha256 {sha256('mspn50.pth')}: mmpose-0.x layout"
    assert printed[0] == f"imported weights: mspn50.safetensors, sha256 {hashed}, {source}"
    assert [line.split()[0] for line in printed[2:12]] == list(COCO_FIGURES)
    assert [line.split()[0] for line in printed[13:]] == [name for name in PROTOCOLS if name != "paper"]

    folder = Path("results/smoke/imported/mspn50/gt")
    assert {path.name for path in folder.iterdir()} == {"metrics.json", "predictions.json", "matches.npz"}
    metrics = read_json(folder / "metrics.json")
    assert {(row["protocol"], row["metric"]) for row in metrics["rows"]} == {
        (protocol, figure) for protocol in PROTOCOLS for figure in COCO_FIGURES
    }
    address = metrics["address"]
    told = {"file": "mspn50.safetensors", "sha256": hashed, "source": source}
    assert address["imported"].items() >= told.items()
    assert "run" not in address and "seed" not in address and address["boxes"]["sha256"] == sha256(boxes)

    results, book = collect(experiment), Book()
    view = evaluations_view(results, book)
    assert [(row[0].text, row[1].text, row[-1].text) for row in view.body] == [
        ("mspn50", "gt", "imported weights")
    ]
    assert {cell.row for cell in book.cells} == {"imported weights mspn50 on gt"}
    entries = {entry.label: entry.text for entry in book.addresses[book.cells[0].address].entries}
    assert entries["sha256"] == hashed and entries["source"] == source
    assert results.metrics.empty and not results.evaluations and not results.foreign

    other = replace(experiment, scale=experiment.scale.model_copy(update={"datasets": {}}))
    assert (
        evaluations_view(replace(results, experiment=other), Book()).body[0][-1].text
        == "imported weights, stale"
    )
    assert main([*command, "--out", "elsewhere", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (
        told["folder"] == "elsewhere" and told["imported"] == address["imported"] and len(told["rows"]) == 10
    )


def test_mpii_weights_are_scored_on_the_persons_given(experiment: Experiment, here: Path) -> None:
    root = experiment.data_folder("mpii")
    options: dict[str, Any] = {"difficulty": "plain", "seed": 1, "workers": 1, "progress": False}
    make_dataset(root, layout="mpii", train_images=1, val_images=4, **options)
    weights = write_weights(here / "m.safetensors", joint_set="mpii", size=(64, 64))
    folder = evaluate_weights(experiment, weights, "gt", CPU)
    assert "Mean" in {row["metric"] for row in read_json(folder / "metrics.json")["rows"]}
    (row,) = evaluations_view(collect(experiment), Book()).body
    assert row[0].text == "m" and row[-2].cells and row[-1].text == "imported weights"


@pytest.mark.parametrize(
    ("make", "detector", "message"),
    [
        (
            lambda: write_weights(Path("a.safetensors"), size=(80, 60)),
            "gt",
            "its input is 80x60, that of scale smoke's runs on the same joints is 64x48 or 96x72",
        ),
        (lambda: write_weights(Path("a.safetensors")), "det-0", "no detector 'det-0'.*it has: gt, det-49.4"),
        (
            lambda: write_weights(Path("a.safetensors"), joint_set="mpii", size=(64, 64)),
            "det-49.4",
            "it has: gt",
        ),
        (
            lambda: write_weights(Path("a.safetensors")),
            "det-49.4",
            "mspn detect --scale smoke --dataset coco",
        ),
        (lambda: write_weights(Path("a b.safetensors")), "gt", "'a b' cannot name a folder"),
        (lambda: Path("b.safetensors"), "gt", "no such weights"),
    ],
)
def test_what_does_not_fit_the_scale_is_refused_before_data_are_read(
    experiment: Experiment,
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    make: Callable[[], Path],
    detector: str,
    message: str,
) -> None:
    monkeypatch.setattr(imported, "measure", lambda *_, **__: pytest.fail("measured"))
    with pytest.raises(UserError, match=message):
        evaluate_weights(experiment, make(), detector, CPU)
    assert not Path("results").exists()


def test_joints_that_the_scale_has_no_data_of_are_refused(experiment: Experiment, here: Path) -> None:
    only_coco = replace(experiment, grid={"mspn-1": experiment.run("mspn-1")})
    weights = write_weights(here / "a.safetensors", joint_set="mpii", size=(64, 64))
    with pytest.raises(
        UserError, match=r"predicts the joints of mpii; scale smoke has runs on those of coco only$"
    ):
        evaluate_weights(only_coco, weights, "gt", CPU)


def test_figures_of_other_weights_are_not_overwritten(
    experiment: Experiment, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_json(experiment.boxes_file("coco", "gt"), [])
    there = experiment.imported_folder("a", "gt") / "metrics.json"
    write_json(there, {"address": {"tensor_hash": "f" * 64}, "rows": []})
    weights = write_weights(here / "a.safetensors")
    with pytest.raises(
        UserError, match=r"holds figures of other weights \(ffffffffffff\); remove it, or rename"
    ):
        evaluate_weights(experiment, weights, "gt", CPU)
    for line in (["--run", "mspn-1", "--out", "x"], ["--weights", str(weights), "--seed", "1"]):
        assert main(["evaluate", "--scale", "smoke", *line]) == 2
        assert "leave one of them out" in capsys.readouterr().err
