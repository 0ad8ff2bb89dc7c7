"""The cost of a network: parameters and multiply-adds, counted in three ways that must agree.

One multiply-add counts as one, as in fvcore. For the convolutions, fvcore's count, half of torch's
FlopCounterMode and a formula from the layers' shapes must be equal to the last digit.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from fvcore.nn import FlopCountAnalysis
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from mspn.networks.table import construct

CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)
CONV_OPERATORS = ("conv", "conv_transpose2d")  # as fvcore may name them


@dataclass(frozen=True)
class Cost:
    """The cost of one forward pass of one image. Counts are multiply-adds.

    The training graph is the forward pass that returns every stage and supervised scale; no backward pass.
    """

    parameters: int  # all that are trained
    parameters_inference: int  # those that the last stage's finest heat maps need
    convolutions: int
    dense_transposed: int  # the same, had transposed ones been computed at each output pixel
    fvcore: int  # fvcore's own total: batch norm and resizing too
    training_convolutions: int
    training_fvcore: int
    ledger: tuple[dict[str, Any], ...]  # of inference: see ``count_by_fvcore``


def measure(constructor: str, keywords: dict[str, Any], input_size: tuple[int, int]) -> Cost:
    """The cost of a network for one image of (height, width) pixels. No weights are needed, nor made."""
    network = _empty_network(constructor, keywords)
    images = torch.zeros(1, 3, *input_size)
    ledger = count_by_fvcore(network, images)
    training = count_by_fvcore(AllStages(network), images)
    by_formula, dense, used = count_by_formula(network, images)
    by_fvcore = _convolutions(ledger)
    by_torch = count_by_torch(network, images)
    if not by_formula == by_fvcore == by_torch:
        raise RuntimeError(
            f"{constructor} {keywords}: convolutions cost {by_formula} by formula, {by_fvcore} by fvcore, "
            f"{by_torch} by torch: they must agree"
        )
    return Cost(
        parameters=sum(p.numel() for p in network.parameters()),
        parameters_inference=used,
        convolutions=by_formula,
        dense_transposed=dense,
        fvcore=sum(line["macs"] for line in ledger),
        training_convolutions=_convolutions(training),
        training_fvcore=sum(line["macs"] for line in training),
        ledger=tuple(ledger),
    )


class AllStages(nn.Module):
    """A network's training graph as a module of its own, as fvcore traces modules."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) to (N, S, L, K, H/4, W/4)."""
        heat_maps: Tensor = self.network(images, all_stages=True)
        return heat_maps


def _empty_network(constructor: str, keywords: dict[str, Any]) -> nn.Module:
    """The network in eval mode with all tensors zero, which spares drawing millions of initial weights."""
    with torch.device("meta"):
        network = construct(constructor, keywords).eval()
    network = network.to_empty(device="cpu").requires_grad_(False)
    for tensor in network.state_dict().values():
        tensor.zero_()
    return network


def count_by_formula(network: nn.Module, images: Tensor) -> tuple[int, int, int]:
    """Run the network and count from the shapes of the layers that it calls.

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


def count_by_torch(network: nn.Module, images: Tensor, all_stages: bool = False) -> int:
    """Half of torch's FlopCounterMode, which counts a multiply-add as two operations, and no batch norm.

    Works on the meta device too: shapes decide.
    """
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(images, all_stages=all_stages)
    total = counter.get_total_flops()
    assert total % 2 == 0
    return total // 2


def count_by_fvcore(network: nn.Module, images: Tensor) -> list[dict[str, Any]]:
    """A ledger of operators: multiply-adds of those that fvcore counts, calls of those that it skips.

    fvcore traces the network, so that what the returned tensor does not need is not counted.
    """
    analysis = FlopCountAnalysis(network, images)
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")
    counted = [
        {
            "operator": name,
            "counted": True,
            "in_convention": name in CONV_OPERATORS,
            "macs": int(macs),
            "calls": None,
        }
        for name, macs in sorted(analysis.by_operator().items())
    ]
    skipped = [
        {"operator": name, "counted": False, "in_convention": False, "macs": 0, "calls": calls}
        for name, calls in sorted(analysis.unsupported_ops().items())
    ]
    return counted + skipped


def _convolutions(ledger: Iterable[dict[str, Any]]) -> int:
    return sum(line["macs"] for line in ledger if line["in_convention"])
