"""The cost of a network: parameters and multiply-adds, counted in three ways that must agree.

One multiply-add counts as one, as in fvcore. For the convolutions, fvcore's count, half of torch's
FlopCounterMode and a formula from the layers' shapes must be equal to the last digit.
"""

from dataclasses import dataclass, replace
from math import prod
from typing import Any

import torch
from fvcore.nn import FlopCountAnalysis
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from mspn.networks.build import construct

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


def count(constructor: str, keywords: dict[str, Any], input_size: tuple[int, int]) -> Cost:
    """The cost of a network for one image of (height, width) pixels, without a ledger: nothing is computed.

    Raises RuntimeError where the counts of convolutions do not agree.
    """
    network, images = _on_meta(constructor, keywords, input_size)
    with FlopCounterMode(display=False) as counter, FvcoreRules() as inference:
        by_formula, dense, used = count_by_formula(network, images)
    with torch.no_grad(), FvcoreRules() as training:
        network(images, all_stages=True)
    counts = {
        "formula": by_formula,
        "torch": counter.get_total_flops() / 2,  # a multiply-add is two operations to torch
        "fvcore's rules": inference.convolutions,
    }
    if len(set(counts.values())) > 1:
        raise RuntimeError(f"{constructor} {keywords}: counts must agree: {counts}")
    return Cost(
        parameters=sum(p.numel() for p in network.parameters()),
        parameters_inference=used,
        convolutions=by_formula,
        dense_transposed=dense,
        fvcore=inference.total,
        training_convolutions=training.convolutions,
        training_fvcore=training.total,
        ledger=(),
    )


def measure(constructor: str, keywords: dict[str, Any], input_size: tuple[int, int]) -> Cost:
    """`count`, held against fvcore's own trace of the network, which also gives the ledger of operators."""
    cost = count(constructor, keywords, input_size)
    network, images = _on_meta(constructor, keywords, input_size)
    ledger = count_by_fvcore(_materialised(network), torch.zeros(images.shape))
    convolutions = sum(line["macs"] for line in ledger if line["in_convention"])
    total = sum(line["macs"] for line in ledger)
    if (convolutions, total) != (cost.convolutions, cost.fvcore):
        raise RuntimeError(
            f"{constructor} {keywords}: counts must agree: fvcore traces {convolutions}, in all {total}; "
            f"its rules give {cost.convolutions}, in all {cost.fvcore}"
        )
    return replace(cost, ledger=tuple(ledger))


def _on_meta(
    constructor: str, keywords: dict[str, Any], input_size: tuple[int, int]
) -> tuple[nn.Module, Tensor]:
    """A network without weights, and an image (1, 3, H, W) without pixels."""
    with torch.device("meta"):
        return construct(constructor, keywords).eval(), torch.zeros(1, 3, *input_size)


def _materialised(network: nn.Module) -> nn.Module:
    """A network of the meta device brought to the CPU, all zeros: fvcore traces real tensors."""
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


class FvcoreRules(TorchDispatchMode):
    """Counts what runs inside it by fvcore's rules (``fvcore.nn.flop_count``), without tracing.

    Convolutions by kernel and pixels; batch norm 2 an element; resizing 4 an element of the output, 1 if to
    the nearest. On the meta device batch norm is not run: torch's way to its shape is slow, and known.
    """

    def __init__(self) -> None:
        super().__init__()
        self.convolutions = 0
        self.others = 0

    @property
    def total(self) -> int:
        """fvcore's total."""
        return self.convolutions + self.others

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operator and add its cost."""
        aten = torch.ops.aten
        operator = func.overloadpacket
        if operator is aten.native_batch_norm:
            self.others += 2 * args[0].numel()
            if args[0].is_meta:
                return torch.empty_like(args[0]), args[0].new_empty(0), args[0].new_empty(0)
        out = func(*args, **(kwargs or {}))
        if operator is aten.convolution:
            transposed = args[6]
            self.convolutions += args[1].numel() * prod((args[0] if transposed else out).shape[2:])
        elif operator is aten.upsample_bilinear2d:
            self.others += 4 * out.numel()
        elif operator is aten.upsample_nearest2d:
            self.others += out.numel()
        return out


def count_by_torch(network: nn.Module, images: Tensor, all_stages: bool = False) -> int:
    """Multiply-adds of convolutions: half of torch's FlopCounterMode. Works on the meta device too."""
    with FlopCounterMode(display=False) as counter, FvcoreRules(), torch.no_grad():
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
