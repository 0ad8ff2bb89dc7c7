"""Adam as the released code has it, and the running average of weights."""

from typing import Any

import torch
from torch import Tensor, nn


def make_optimiser(network: nn.Module, weight_decay: float) -> torch.optim.Adam:
    """Adam (0.9, 0.999, 1e-8) over all parameters alike (released code).

    Weight decay is added to the gradient (L2), also for biases and batch norm. The learning rate is set
    before each step.
    """
    return torch.optim.Adam(network.parameters(), lr=0.0, weight_decay=weight_decay, fused=True)


def take_step(optimiser: torch.optim.Adam, lr: float) -> None:
    """Move the parameters along their gradients at a learning rate; the gradients are gone afterwards."""
    for group in optimiser.param_groups:
        group["lr"] = lr
    optimiser.step()
    optimiser.zero_grad(set_to_none=True)


def load_optimiser(optimiser: torch.optim.Adam, state: dict[str, Any]) -> None:
    """Take over a ``state_dict``, its moments in the memory layout of this machine's parameters."""
    optimiser.load_state_dict(state)
    for parameter, moments in optimiser.state.items():
        for key in ("exp_avg", "exp_avg_sq"):
            moments[key] = torch.empty_like(parameter).copy_(moments[key])


@torch.no_grad()
def update_average(average: dict[str, Tensor], network: nn.Module, decay: float) -> None:
    """Exponential moving average of the weights: ``average = decay * average + (1 - decay) * weights``.

    Batch norm's running statistics are averaged likewise; its integer counters are copied. The paper and
    the released code have no such average: off unless the recipe names a decay (``ema``).
    """
    for name, value in network.state_dict().items():
        if value.is_floating_point():
            average[name].lerp_(value, 1 - decay)
        else:
            average[name].copy_(value)
