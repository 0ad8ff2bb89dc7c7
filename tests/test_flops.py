"""The cost of networks: counts that agree, golden figures in the paper's convention, verdicts, command."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from fvcore.nn import FlopCountAnalysis
from torch import nn

from mspn.commands.cli import main
from mspn.errors import UserError
from mspn.experiment import grid, paper
from mspn.experiment.grid import load_grid
from mspn.experiment.load import load_experiment
from mspn.experiment.networks import NETWORKS, network_spec
from mspn.experiment.paper import printed_gflops
from mspn.networks.build import build_network, construct
from mspn.networks.flops import EXCEPTIONS, KNOWN, PUBLISHED, Cost, G, judge, paper_stride
from mspn.networks.macs import FvcoreRules, count, count_by_formula, count_by_fvcore, count_by_torch, measure

# Convolutions of inference at 256x192 in multiply-adds / 2^30: worked out by hand from the layers' shapes
# where the definition of the network is fixed, else as designed.
CONVENTION = {
    "mspn-1": 4.415,
    "resnet-101": 7.802,
    "resnet-152": 11.188,
    "resnet-254": 17.962,
    "mspn-2": 9.571,
    "mspn-3": 14.728,
    "mspn-4": 19.884,
    "hourglass-1": 3.938,
    "hourglass-2": 6.164,
    "hourglass-4": 10.615,
    "hourglass-8": 19.518,
    "hourglass-2-wide": 15.336,
    "mspn-2xres18": 4.351,
    "l-xcp": 6.130,
    "mspn-4xs-xcp": 5.704,
    "mspn-2-nocsfa": 8.470,
    "hourglass-4-csfa": 12.109,
    "simple-baseline-50": 5.054,
    "simple-baseline-152": 11.827,
    "hrnet-w32": 7.120,
    "hrnet-w48": 14.614,
}


class AllStages(nn.Module):
    """A network's training graph as a module of its own, for fvcore to trace."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        heat_maps: torch.Tensor = self.network(images, all_stages=True)
        return heat_maps


@pytest.mark.parametrize("name", NETWORKS)
def test_golden_figures_at_full_size(name: str) -> None:
    with torch.device("meta"):
        constructor, keywords = network_spec(name)
        network = construct(
            constructor, {**keywords, "joints": 17, "scales": 1, **paper_stride(keywords)}
        ).eval()
        images = torch.zeros(1, 3, 256, 192)
    with FvcoreRules() as rules:
        macs, _, _ = count_by_formula(network, images)
    assert round(macs / G, 3) == CONVENTION[name]
    assert rules.convolutions == macs


# One network of each kind on every run of the tests, all of them on the slow one.
KINDS = ("mspn-2", "mspn-2xres18", "hourglass-4-csfa", "simple-baseline-50")


@pytest.mark.parametrize(
    "name", [name if name in KINDS else pytest.param(name, marks=pytest.mark.slow) for name in NETWORKS]
)
def test_three_counts_agree_on_inference_and_training_graph(name: str) -> None:
    constructor, keywords = network_spec(name)
    cost = measure(constructor, {**keywords, "joints": 17, "scales": 4, "width": 0.125}, (96, 72))
    network = build_network(name, scales=4, width=0.125).eval()
    images = torch.zeros(1, 3, 96, 72)
    assert cost.convolutions == count_by_torch(network, images)
    assert cost.training_convolutions == count_by_torch(network, images, all_stages=True)
    graph = FlopCountAnalysis(AllStages(network), images).unsupported_ops_warnings(False)
    assert cost.training_fvcore == graph.uncalled_modules_warnings(False).total()
    assert (
        cost.training_convolutions > cost.convolutions
    )  # auxiliary heads cost something, and only in training
    assert cost.fvcore > cost.convolutions and cost.parameters_inference < cost.parameters
    with torch.device("meta"):
        finest_only = build_network(name, scales=1, width=0.125).eval()
        images = torch.zeros(1, 3, 96, 72)
    assert count_by_torch(finest_only, images) == cost.convolutions  # inference drops the auxiliary heads


def test_formula_of_each_kind_of_convolution() -> None:
    """Grouped, strided and transposed, against the sum written out."""

    class Kinds(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.strided = nn.Conv2d(3, 8, 3, 2, 1)
            self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False)
            self.up = nn.ConvTranspose2d(8, 4, 4, 2, 1)
            self.unused = nn.Conv2d(4, 4, 1)

        def forward(self, x: torch.Tensor, all_stages: bool = False) -> torch.Tensor:
            y: torch.Tensor = self.up(self.depthwise(self.strided(x)))
            return y

    network, images = Kinds(), torch.zeros(1, 3, 16, 12)
    strided, depthwise, up = 8 * 6 * 3 * 8 * 9, 8 * 6 * 8 * 9, 8 * 6 * 8 * 4 * 16
    macs, dense, used = count_by_formula(network, images)
    assert macs == strided + depthwise + up == count_by_torch(network, images)
    assert dense == strided + depthwise + 4 * up
    assert used == 3 * 8 * 9 + 8 + 8 * 9 + 8 * 4 * 16 + 4
    ledger = count_by_fvcore(network, images)
    assert sum(line["macs"] for line in ledger if line["in_convention"]) == macs


def test_ledger_holds_all_that_fvcore_reports() -> None:
    constructor, keywords = network_spec("mspn-2")
    keywords = {**keywords, "joints": 17, "scales": 4, "width": 0.125}
    cost = measure(constructor, keywords, (64, 48))
    network = build_network("mspn-2", width=0.125).eval()
    analysis = FlopCountAnalysis(network, torch.zeros(1, 3, 64, 48)).unsupported_ops_warnings(False)
    analysis.uncalled_modules_warnings(False)
    assert cost.fvcore == analysis.total()
    by_name = {line["operator"]: line for line in cost.ledger}
    assert {name: line["macs"] for name, line in by_name.items() if line["counted"]} == analysis.by_operator()
    skipped = {name: line["calls"] for name, line in by_name.items() if not line["counted"]}
    assert skipped == analysis.unsupported_ops()
    assert [name for name, line in by_name.items() if line["in_convention"]] == ["conv"]
    uncalled = {
        name for name in analysis.uncalled_modules() if isinstance(network.get_submodule(name), nn.Conv2d)
    }
    heads = {
        name
        for name, _ in network.named_modules()
        if ".heads." in name and not name.startswith("stages.1.heads.3")
    }
    assert uncalled and uncalled <= heads


def cost_of(gflops: float, parameters: float = 1e6, dense: float | None = None) -> Cost:
    macs = round(gflops * G)
    return Cost(int(parameters), 0, macs, round((dense or gflops) * G), macs, macs, macs, ())


def test_verdicts() -> None:
    cases: list[tuple[str, Cost, float | None, str]] = [
        ("mspn-2", cost_of(9.571), 9.6, "match"),
        ("mspn-2", cost_of(9.649), 9.6, "match"),
        ("mspn-2", cost_of(9.551), 9.5, "differs"),
        ("mspn-2", cost_of(9.571), None, "not printed"),
        ("resnet-101", cost_of(7.802), 7.5, KNOWN),
        ("resnet-101", cost_of(7.9), 7.5, "differs"),
        ("mspn-2xres18", cost_of(4.351), 4.0, KNOWN),
        ("hourglass-2-wide", cost_of(15.34), 15.4, KNOWN),
        ("hourglass-2-wide", cost_of(15.29), 15.4, "differs"),
        ("l-xcp", cost_of(6.14), 6.1, "budget"),
        ("l-xcp", cost_of(6.16), 6.1, "differs"),
        ("hrnet-w32", cost_of(7.12, 28.54e6), 7.1, "match"),
        ("hrnet-w32", cost_of(7.12, 28.4e6), 7.1, "differs"),
        ("simple-baseline-50", cost_of(5.05, 34.0e6, dense=8.99), 8.9, "counted otherwise"),
        ("simple-baseline-50", cost_of(5.05, 34.0e6, dense=9.1), 8.9, "differs"),
    ]
    for run, cost, printed, expected in cases:
        verdict, reason = judge(run, cost, printed)
        assert verdict == expected, (run, printed)
        assert reason or verdict in ("match", "not printed")


FIGURES = """table\trow\tcolumn\tvalue\tunit\tsplit\tpage\tremarks\trun\tdetector
1\tRes-50\tAP\t71.5\t%\t\t5\t\tmspn-1\t
1\tRes-50\tGFLOPs\t4.4\tGFLOPs\t\t5\t\tmspn-1\t
2\tMSPN, 1 stage\tGFLOPs\t4.4\tGFLOPs\t\t5\t\tmspn-1\t
3\t2 x Res-18\tGFLOPs\t4.0\tGFLOPs\t\t5\t\tmspn-2xres18\t
7\tcited\tGFLOPs\t1.0\tGFLOPs\t\t5\t\t\t
"""
GRID = """run\tnetwork\tinput\tsupervision\tdata\tdetectors\tmembers
mspn-1\tmspn-1\t256x192\tctf\tcoco\tgt\t
mspn-2xres18\tmspn-2xres18\t256x192\tbase\tcoco\tgt\t
small\tmspn-1\t64x64\tctf\tmpii\tgt\t
twin\tmspn-1\t64x64\tctf\tmpii\tgt\t
both\t\t64x64\t\tmpii\tgt\tsmall,twin
"""


@pytest.fixture
def figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The paper's figures in a working directory with a grid of its own."""
    monkeypatch.chdir(tmp_path)
    for path, text in ((paper.FIGURES, FIGURES), (grid.GRID, GRID)):
        path.parent.mkdir(parents=True)
        path.write_text(text)
    return paper.FIGURES


def test_paper_figures(tmp_path: Path) -> None:
    file = tmp_path / "figures.tsv"
    for content, message in (
        (None, "no such file"),
        ("a\tb\n", "columns are"),
        (FIGURES + "4\tMSPN\tGFLOPs\t4.5\tGFLOPs\t\t5\t\tmspn-1\t\n", "mspn-1: GFLOPs are 4.4 and 4.5"),
        (FIGURES + "4\tMSPN\tGFLOPs\tmany\tGFLOPs\t\t5\t\tmspn-2\t\n", "'many' is not a number"),
    ):
        if content is not None:
            file.write_text(content)
        with pytest.raises(UserError, match=message):
            printed_gflops(file)
    file.write_text(FIGURES)
    assert printed_gflops(file) == {"mspn-1": 4.4, "mspn-2xres18": 4.0}


def test_command(figures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert main(["flops", "--out", str(out), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document == json.loads((out / "flops.json").read_text())
    rows: dict[str, Any] = {row["run"]: row for row in document["rows"]}
    assert list(rows) == ["mspn-1", "mspn-2xres18", "small", "twin", "both"]
    one = rows["mspn-1"]
    assert (one["verdict"], one["printed"], one["input"], one["scales"]) == ("match", 4.4, "256x192", 4)
    assert one["difference"] == pytest.approx(one["gflops_paper_convention"] - 4.4)
    assert one["flip_gmacs"] == 2 * one["gmacs"] and one["training_gmacs"] > one["gmacs"] > 4.5
    assert rows["mspn-2xres18"]["verdict"] == KNOWN
    assert rows["small"]["joints"] == 16 and rows["small"]["printed"] is None
    assert {**rows["small"], "run": "twin"} == rows["twin"]
    assert rows["both"]["parameters"] == 2 * rows["small"]["parameters"]
    assert rows["both"]["gmacs"] == pytest.approx(2 * rows["small"]["gmacs"])
    with (out / "flops.csv").open() as file:
        table = {row["run"]: row for row in csv.DictReader(file)}
    assert list(table) == list(rows) and int(table["mspn-1"]["parameters"]) == one["parameters"]
    with (out / "ledger.csv").open() as file:
        ledger = [row for row in csv.DictReader(file) if row["run"] == "mspn-1"]
    assert sum(int(row["macs"]) for row in ledger) == round(one["gmacs"] * 1e9)
    assert {row["counted"] for row in ledger} == {"True", "False"}


def test_command_prints_what_was_asked_for(figures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["flops", "both"]) == 0
    text = capsys.readouterr().out
    assert "mspn-1" not in text and "both: not printed: the sum of its members small, twin" in text
    assert main(["flops", "small", "--ledger"]) == 0
    assert capsys.readouterr().out.startswith("run,operator,counted,in_convention,macs,calls\nsmall,")
    assert main(["flops", "nothing"]) == 2
    assert "unknown run nothing" in capsys.readouterr().err


def test_a_figure_that_differs_fails_the_command(figures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figures.write_text(FIGURES + "9\tsmall\tGFLOPs\t9.9\tGFLOPs\t\t5\t\tsmall\t\n")
    assert main(["flops", "small"]) == 1
    assert "small: differs: no known reason" in capsys.readouterr().out


def test_a_scales_own_networks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Narrow, at the scale's input; an ensemble costs its members; nothing of full size is mixed in."""
    assert main(["flops", "--scale", "smoke", "--out", str(tmp_path)]) == 0
    assert "mspn-4-384x288-ensemble" in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["trained.csv", "trained.csv.sha256"]
    with (tmp_path / "trained.csv").open() as file:
        rows = {row["run"]: row for row in csv.DictReader(file)}
    scale = load_experiment("smoke")
    assert list(rows) == list(scale.grid)
    constructor, keywords = network_spec("mspn-2")
    cost = count(constructor, {**keywords, "joints": 17, "scales": 4, "width": 0.0625}, (64, 48))
    row = rows["mspn-2"]
    assert float(row["gflops_paper_convention"]) == cost.convolutions / G < 9.571 / 16
    assert (row["input"], row["width"], int(row["parameters"])) == ("64x48", "0.0625", cost.parameters)
    both = [float(rows[name]["gmacs"]) for name in scale.grid["mspn-4-384x288-ensemble"].members]
    assert float(rows["mspn-4-384x288-ensemble"]["gmacs"]) == pytest.approx(sum(both))
    assert rows["mspn-4-mpii"]["joints"] == "16"
    assert main(["flops", "--scale", "smoke", "--ledger"]) == 2
    assert main(["flops", "mspn-9", "--scale", "smoke"]) == 2


def test_every_exception_and_comparison_is_a_run() -> None:
    assert {*EXCEPTIONS, *PUBLISHED} <= set(load_grid())


@pytest.mark.slow
def test_every_run_of_the_grid(tmp_path: Path) -> None:
    """Against the paper's figures as data: no row may differ without a known reason."""
    assert main(["flops", "--out", str(tmp_path)]) == 0
    rows = json.loads((tmp_path / "flops.json").read_text())["rows"]
    assert [row["run"] for row in rows] == list(load_grid())
    matches = {row["run"] for row in rows if row["verdict"] == "match"}
    assert matches == {
        "mspn-1", "mspn-2", "mspn-3", "mspn-4", "resnet-152", "resnet-254", "hourglass-1", "hourglass-2",
        "hourglass-4", "hourglass-8", "hrnet-w32", "hrnet-w48",
    }  # fmt: skip
