"""Latency: measured once, kept under what decides it, and only what is new is measured again."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from mspn.commands.benchmarks import latency
from mspn.commands.cli import main
from mspn.experiment.load import load_experiment
from tests import report_tree

SCALE = "extends: smoke\nname: own\nruns: [mspn-1, mspn-2, mspn-2-k77]\n"


@pytest.fixture
def measured(monkeypatch, tmp_path) -> list[list[str]]:
    """The networks that each call measured; nothing is timed."""
    report_tree.make_root(tmp_path)
    monkeypatch.chdir(tmp_path)
    Path("own.yaml").write_text(SCALE)
    calls: list[list[str]] = []

    def measure(decisions: dict[str, Any], device: object) -> dict[str, Any]:
        calls.append([decision["constructor"] for decision in decisions.values()])
        return {key: {"1": [1.0, 2.0, 3.0], "32": [0.5, 0.6, 0.7]} for key in decisions}

    monkeypatch.setattr(latency, "_measure", measure)
    return calls


def test_only_what_is_new_is_measured(measured, capsys):
    command = ["bench", "latency", "--scale", "own.yaml", "--out", "results/own/latency.csv"]
    assert main(command) == main(command) == 0
    assert [len(call) for call in measured] == [2, 0]  # mspn-2 and mspn-2-k77 are one network
    with Path("results/own/latency.csv").open() as file:
        rows = {row["run"]: row for row in csv.DictReader(file)}
    assert rows["mspn-2"]["key"] == rows["mspn-2-k77"]["key"] != rows["mspn-1"]["key"]
    assert (rows["mspn-1"]["ms_per_crop"], rows["mspn-1"]["ms_per_crop_of_32"]) == ("2.0", "0.6")
    Path("own.yaml").write_text(SCALE.replace("mspn-2-k77", "hourglass-1"))
    assert main(command) == 0 and measured[-1] == ["baselines.hourglass:hourglass"]
    Path("own.yaml").write_text(SCALE + "width: 0.125\n")
    assert main(command) == 0 and len(measured[-1]) == 2


def test_a_file_of_another_measurement_is_not_taken(measured):
    command = ["bench", "latency", "--scale", "own.yaml", "--out", "latency.csv"]
    assert main(command) == 0
    first, second = sorted(Path("latency").iterdir())
    first.write_text(second.read_text())
    assert main(command) == 0 and len(measured[-1]) == 1
    assert json.loads(first.read_text()) != json.loads(second.read_text())


def test_networks_are_timed_alone_and_together():
    experiment = load_experiment("smoke")
    one = latency.decided_by(experiment, experiment.run("hourglass-1"), 2, "here")
    (times,) = latency._measure({"a": one}, latency_device()).values()
    for batch in ("1", "32"):
        low, median, high = times[batch]
        assert 0 < low <= median <= high


def latency_device():
    from mspn.training.hardware import pick_device

    return pick_device("cpu")


def test_too_few_repeats_are_refused(capsys):
    assert main(["bench", "latency", "--scale", "smoke", "--repeats", "1"]) == 2
    assert "--repeats 1: quartiles need two or more" in capsys.readouterr().err
