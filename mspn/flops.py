"""What each run costs: parameters, multiply-adds as fvcore counts them, and FLOPs in the paper's convention.

One multiply-add counts as one, as in fvcore. The paper's convention, found by hand from its printed digits:
the multiply-adds of convolutions alone (no batch norm, no resizing, no bias), of the path that inference
needs, for one image, divided by 2^30. Three counts of the convolutions must agree exactly: fvcore's, half
of torch's FlopCounterMode, and a formula from the layers' shapes; where they do not is an error.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from fvcore.nn import FlopCountAnalysis
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from mspn.config import parse_size
from mspn.errors import UserError
from mspn.grid import SUPERVISIONS, Run
from mspn.networks.table import construct, network_spec
from mspn.skeletons import skeleton

FIGURES = Path("reports/paper/figures.tsv")
G = 2**30
CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)
CONV_OPERATORS = ("conv", "conv_transpose2d")  # as fvcore may name them


@dataclass(frozen=True)
class Cost:
    """The cost of one forward pass of one image. Counts are multiply-adds, of convolutions where not said."""

    parameters: int  # all that are trained
    parameters_inference: int  # those that the last stage's finest heat maps need
    convolutions: int
    fvcore: int  # fvcore's own total: batch norm and resizing too
    training: int  # of the forward pass that returns every stage and supervised scale
    dense_transposed: (
        int  # ``convolutions``, had transposed ones been computed at each of their output pixels
    )
    ledger: tuple[dict[str, Any], ...]  # operator, counted by fvcore or not, in the convention or not


@dataclass(frozen=True)
class Row:
    """One line of the comparison. ``printed`` and what follows from it are None where nothing is printed."""

    run: str
    network: str
    input: str
    joints: int
    scales: int
    parameters: int
    parameters_inference: int
    gmacs_fvcore: float  # 10^9 multiply-adds
    gflops: float  # the paper's convention
    printed: float | None
    difference: float | None
    verdict: str
    reason: str
    source: str
    printed_parameters_m: float | None
    gflops_training: float  # the paper's convention, forward pass only
    gflops_flip_test: float  # the image and its mirror image


@dataclass(frozen=True)
class Published:
    """A figure of another paper: GFLOPs, parameters in millions."""

    gflops: float
    parameters_m: float
    source: str = "Sun et al., HRNet (CVPR 2019), Table 1"


# Comparison points beyond the paper; both families' figures are as HRNet's paper gives them.
PUBLISHED = {
    "simple-baseline-50": Published(8.9, 34.0),
    "simple-baseline-152": Published(15.7, 68.6),
    "hrnet-w32": Published(7.1, 28.5),
    "hrnet-w48": Published(14.6, 63.6),
}

# run -> (verdict, how far from the printed figure it may be, why). Other rows must match the printed digit.
EXCEPTIONS: dict[str, tuple[str, float, str]] = {
    "resnet-101": (
        "paper inconsistent",
        0.31,
        "50 to 101 and 101 to 152 layers add the same 17 blocks, at the same cost, yet the paper's figures grow "
        "by different steps; both neighbours match",
    ),
    "mspn-2xres18": (
        "unexplained",
        0.36,
        "no reading tried gives the printed figure; the definition is fixed and is not tuned to it",
    ),
    "hourglass-2-wide": (
        "under-specified",
        0.1,
        "the paper gives widths 256, 386, 512, 768 alone; read as single 3x3 convolutions inside the "
        "hourglass, bottom repeated at 768, stem and outer skeleton as at equal width, features re-injected "
        "through a 1x1",
    ),
    "l-xcp": ("budget", 0.05, "the paper gives the FLOPs alone; the backbone is designed to them"),
    "mspn-4xs-xcp": ("budget", 0.05, "the paper gives the FLOPs alone; the backbone is designed to them"),
}


def measure(constructor: str, keywords: dict[str, Any], input_size: tuple[int, int]) -> Cost:
    """The cost of a network for one image of (height, width) pixels. No weights are needed, nor made."""
    with torch.device("meta"):
        network = construct(constructor, keywords).eval()
        images = torch.zeros(1, 3, *input_size)
    convolutions, dense, used = count_by_formula(network, images)
    halved = [count_by_torch(network, images, all_stages) for all_stages in (False, True)]
    fvcore, ledger = count_by_fvcore(network, input_size)
    by_fvcore = sum(row["macs"] for row in ledger if row["in_convention"])
    if not convolutions == halved[0] == by_fvcore:
        raise RuntimeError(
            f"{constructor} {keywords}: convolutions cost {convolutions} by formula, {halved[0]} by torch, "
            f"{by_fvcore} by fvcore: they must agree"
        )
    return Cost(
        parameters=sum(p.numel() for p in network.parameters()),
        parameters_inference=used,
        convolutions=convolutions,
        fvcore=fvcore,
        training=halved[1],
        dense_transposed=dense,
        ledger=tuple(ledger),
    )


def count_by_formula(network: nn.Module, images: Tensor) -> tuple[int, int, int]:
    """From the shapes of the layers that inference calls.

    Three numbers: multiply-adds of convolutions; the same with transposed convolutions taken at each output
    pixel; the parameters of all layers called. A convolution multiplies its whole kernel once at each output
    pixel, a transposed one at each input pixel.
    """
    counts = [0, 0]
    parameters: dict[int, int] = {}

    def add(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        for parameter in module.parameters(recurse=False):
            parameters[id(parameter)] = parameter.numel()
        if isinstance(module, CONVOLUTIONS):
            kernel = prod(module.weight.shape)  # already divided by the groups
            at_outputs = kernel * prod(output.shape[2:])
            transposed = isinstance(module, nn.ConvTranspose2d)
            counts[0] += kernel * prod(inputs[0].shape[2:]) if transposed else at_outputs
            counts[1] += at_outputs

    hooks = [module.register_forward_hook(add) for module in network.modules()]
    with torch.no_grad():
        network(images)
    for hook in hooks:
        hook.remove()
    return counts[0], counts[1], sum(parameters.values())


def count_by_torch(network: nn.Module, images: Tensor, all_stages: bool) -> int:
    """Half of torch's FlopCounterMode, which counts a multiply-add as two operations, and no batch norm."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(images, all_stages=all_stages)
    total = counter.get_total_flops()
    assert total % 2 == 0
    return total // 2


def count_by_fvcore(network: nn.Module, input_size: tuple[int, int]) -> tuple[int, list[dict[str, Any]]]:
    """fvcore's total and a ledger of operators. It traces, so it needs real tensors: all are zeros here."""
    network = network.to_empty(device="cpu")
    with torch.no_grad():
        for tensor in network.state_dict().values():
            tensor.zero_()
    analysis = FlopCountAnalysis(network, torch.zeros(1, 3, *input_size))
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")
    ledger = [
        {
            "operator": name,
            "counted": True,
            "in_convention": name in CONV_OPERATORS,
            "macs": int(macs),
            "calls": None,
        }
        for name, macs in sorted(analysis.by_operator().items())
    ]
    ledger += [
        {"operator": name, "counted": False, "in_convention": False, "macs": 0, "calls": calls}
        for name, calls in sorted(analysis.unsupported_ops().items())
    ]
    return int(analysis.total()), ledger


def paper_gflops(path: Path = FIGURES) -> dict[str, float]:
    """Run -> GFLOPs that the paper prints, from its figures as data. UserError if two tables disagree."""
    try:
        table = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False, comment="#")
    except FileNotFoundError:
        raise UserError(
            f"{path}: the paper's figures are not there; run from the repository's root"
        ) from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not a table of tab-separated columns: {error}") from None
    missing = {"table", "run", "column", "value"} - set(table.columns)
    if missing:
        raise UserError(f"{path}: lacks the columns {', '.join(sorted(missing))}")
    printed: dict[str, float] = {}
    for row in table[(table["column"] == "GFLOPs") & (table["run"] != "")].to_dict("records"):
        run = str(row["run"])
        try:
            value = float(row["value"])
        except ValueError:
            raise UserError(
                f"{path}: table {row['table']}, run {run}: {row['value']!r} is no number"
            ) from None
        if printed.setdefault(run, value) != value:
            raise UserError(f"{path}: run {run}: GFLOPs are {printed[run]} and {value} in different tables")
    return printed


def judge(run: str, cost: Cost, printed: float | None) -> tuple[str, str]:
    """The verdict on a row and its reason: "match" to the printed digit, an exception's, or "differs"."""
    if printed is None:
        return "not printed", ""
    gflops = cost.convolutions / G
    other = PUBLISHED.get(run)
    if other and f"{cost.parameters / 1e6:.1f}" != f"{other.parameters_m:.1f}":
        return "differs", f"{cost.parameters / 1e6:.2f} M parameters, {other.parameters_m} printed"
    if run in EXCEPTIONS:
        verdict, tolerance, reason = EXCEPTIONS[run]
        return (verdict, reason) if abs(gflops - printed) <= tolerance else ("differs", f"expected: {reason}")
    if f"{gflops:.1f}" == f"{printed:.1f}":
        return "match", "parameters match too" if other else ""
    dense = cost.dense_transposed / G
    if cost.dense_transposed != cost.convolutions and abs(dense - printed) < 0.1:
        return "counted otherwise", (
            f"{dense:.2f} when a transposed convolution of stride 2 is taken to multiply its kernel at each "
            "output pixel, four times its cost; printed is that figure, cut rather than rounded; parameters match"
        )
    return "differs", "no known reason"


def compare(grid: dict[str, Run], printed: dict[str, float]) -> tuple[list[Row], list[dict[str, Any]]]:
    """A row for every run of the grid at the paper's input size and full width, and the ledger of operators.

    Runs that share a network and an input are measured once. An ensemble costs what its members cost.
    """
    costs: dict[str, Cost] = {}
    measured: dict[str, Cost] = {}
    ledger: list[dict[str, Any]] = []
    for run in grid.values():
        if run.network:
            constructor, keywords = network_spec(run.network)
            decided = {"joints": joints_of(run), "scales": SUPERVISIONS[run.supervision][0], "width": 1.0}
            key = repr((constructor, keywords, decided, run.input))
            if key not in measured:
                measured[key] = measure(constructor, {**keywords, **decided}, parse_size(run.input))
            costs[run.run] = measured[key]
            ledger += [{"run": run.run, **line} for line in measured[key].ledger]
    for run in grid.values():
        if not run.network:
            costs[run.run] = _together(costs[member] for member in run.members)
    return [_row(run, costs[run.run], printed) for run in grid.values()], ledger


def joints_of(run: Run) -> int:
    """The number of joints that a run predicts."""
    return len(skeleton(run.joint_set).joints)


def _together(costs: Iterable[Cost]) -> Cost:
    """The sum of several costs; the ledgers are the members'."""
    dicts = [asdict(cost) for cost in costs]
    sums = {key: sum(entry[key] for entry in dicts) for key in dicts[0] if key != "ledger"}
    return Cost(**sums, ledger=())


def _row(run: Run, cost: Cost, printed: dict[str, float]) -> Row:
    other = PUBLISHED.get(run.run)
    figure = other.gflops if other else printed.get(run.run)
    verdict, reason = judge(run.run, cost, figure)
    gflops = cost.convolutions / G
    return Row(
        run=run.run,
        network=run.network,
        input=run.input,
        joints=joints_of(run),
        scales=SUPERVISIONS[run.supervision][0] if run.network else 0,
        parameters=cost.parameters,
        parameters_inference=cost.parameters_inference,
        gmacs_fvcore=cost.fvcore / 1e9,
        gflops=gflops,
        printed=figure,
        difference=None if figure is None else gflops - figure,
        verdict=verdict,
        reason=reason if run.network else f"the sum of its members {', '.join(run.members)}",
        source="" if figure is None else other.source if other else "the paper",
        printed_parameters_m=other.parameters_m if other else None,
        gflops_training=cost.training / G,
        gflops_flip_test=2 * gflops,
    )
