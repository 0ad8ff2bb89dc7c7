"""What turns batches into weights: the schedule, Adam, and the arithmetic of one step.

Everything in this file decides the trained weights and so counts towards a run's identity; how the loop
logs, saves and shows progress does not.

Recipes, as a scale's YAML file writes them:

- paper (section 4.2, "8 GPUs with mini-batch size 32"; "90k iterations"; "the linear learning rate gradually
  decreases from 5e-4 to 0"; "weight decay is 1e-5"):
  ``{batch: 256, iterations: 90000, lr: 5.0e-4, weight_decay: 1.0e-5, augmentation: paper}``
- released (the authors' code: 5e-4 times 8 GPUs, 2,400 iterations of linear warm-up from a tenth, then
  linear to 0 at 96,000):
  ``{batch: 256, iterations: 96000, lr: 4.0e-3, warmup_iterations: 2400, warmup_factor: 0.1,
  weight_decay: 1.0e-5, augmentation: released}``

``PAPER`` and ``RELEASED`` below are the same two as objects.
"""

from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from mspn.data.batches import Batch, normalise
from mspn.data.skeletons import skeleton
from mspn.experiment.config import Recipe
from mspn.experiment.grid import SUPERVISIONS, Run
from mspn.networks.build import build_network
from mspn.training.losses import kernel_table, stage_losses
from mspn.training.targets import make_targets

PAPER = Recipe(batch=256, iterations=90_000, lr=5e-4, augmentation="paper")
RELEASED = Recipe(batch=256, iterations=96_000, lr=4e-3, warmup_iterations=2400, augmentation="released")


def learning_rate(recipe: Recipe, step: int) -> float:
    """The learning rate of a step (0, 1, ...): linear warm-up, then linear to 0 at ``recipe.iterations``.

    Without warm-up this is the paper's schedule, with it the released code's.
    """
    warmup = recipe.warmup_iterations
    if step < warmup:
        factor = recipe.warmup_factor + (1 - recipe.warmup_factor) * step / warmup
    else:
        factor = 1 - (step - warmup) / (recipe.iterations - warmup)
    return recipe.lr * factor


class Adam:
    """Adam (0.9, 0.999, 1e-8) over all parameters alike, as the released code has it.

    Weight decay is added to the gradient (L2), also for biases and batch norm. It is ``torch.optim.Adam``'s
    own fused kernel without its class, which imports torch's compiler (more than a second, as much as ten
    steps of the demo) and counts the steps of each of a thousand small tensors.
    """

    def __init__(self, network: nn.Module, weight_decay: float) -> None:
        self.parameters: list[Tensor] = list(network.parameters())
        self.weight_decay = weight_decay
        self.mean = [torch.zeros_like(p) for p in self.parameters]  # of the gradients, as the average runs
        self.square = [torch.zeros_like(p) for p in self.parameters]  # of their squares
        self.steps = torch.zeros((), device=self.parameters[0].device)

    @torch.no_grad()
    def step(self, lr: float) -> None:
        """Move the parameters along their gradients at a learning rate; the gradients are gone afterwards."""
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        assert len(gradients) == len(self.parameters), "every parameter takes part in the loss"
        self.steps += 1
        torch._fused_adam_(
            self.parameters,
            gradients,
            self.mean,
            self.square,
            [],
            [self.steps] * len(self.parameters),
            lr=lr,
            beta1=0.9,
            beta2=0.999,
            weight_decay=self.weight_decay,
            eps=1e-8,
            amsgrad=False,
            maximize=False,
        )
        for parameter in self.parameters:
            parameter.grad = None

    def state(self) -> dict[str, Any]:
        """The moments and the number of steps."""
        return {"mean": self.mean, "square": self.square, "steps": self.steps}

    @torch.no_grad()
    def load(self, state: dict[str, Any]) -> None:
        """Take over a state, in this machine's memory layout."""
        for own, given in ((self.mean, state["mean"]), (self.square, state["square"])):
            for tensor, value in zip(own, given, strict=True):
                tensor.copy_(value)
        self.steps.copy_(state["steps"])


def starting_network(run: Run, width: float, seed: int) -> nn.Module:
    """The run's network with the initial weights that the seed decides, on the CPU."""
    torch.manual_seed(seed)
    joints, scales = len(skeleton(run.joint_set).joints), SUPERVISIONS[run.supervision][0]
    return build_network(run.network, joints=joints, scales=scales, width=width)


@dataclass(frozen=True)
class Objective:
    """What is minimised, and in which arithmetic. Sizes are (height, width) in pixels of the input."""

    input_size: tuple[int, int]
    stages: int
    kernels_earlier: tuple[int, ...]  # of the supervised scales, coarsest first
    kernels_last: tuple[int, ...]
    precision: str = "fp32"  # or bf16: the network's; losses and optimiser stay in fp32

    def __call__(self, network: nn.Module, images: Tensor, joints: Tensor) -> Tensor:
        """(N, S, L) losses of images (N, 3, H, W), normalised, with joints (N, K, 3)."""
        kernels, table = kernel_table(self.stages, self.kernels_earlier, self.kernels_last)
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            heat_maps = network(images, all_stages=True)  # (N, S, L, K, H/4, W/4)
        return stage_losses(heat_maps, make_targets(joints, kernels, self.input_size), joints[..., 2], table)


def accumulate_gradients(
    network: nn.Module,
    micro_batches: Iterable[Batch],
    objective: Objective,
    *,
    global_batch: int,
    micro: int,
    device: torch.device,
    layout: torch.memory_format,
    world: int = 1,
) -> Tensor:
    """Leave the gradient of the mean loss over the global batch in the parameters.

    This process sees ``micro`` micro-batches of the global batch; with ``world`` processes the gradients are
    averaged once, after the last. The loss is a sum over samples, so the result does not depend on the cut,
    but for batch norm: each micro-batch is normalised by its own statistics (see ``mspn.training.train``).

    Returns:
        (n, S, L) the losses of this process's n samples, detached.
    """
    losses = []
    for number, batch in enumerate(micro_batches, start=1):
        images = normalise(batch.images.to(device, non_blocking=True)).contiguous(memory_format=layout)
        joints = batch.joints.to(device, non_blocking=True)
        wait = isinstance(network, DistributedDataParallel) and number < micro
        with network.no_sync() if wait else nullcontext():  # type: ignore[operator]
            loss = objective(network, images, joints)
            # Distributed training averages the gradients of processes where the loss wants their sum.
            (loss.sum() * (world / global_batch)).backward()
        losses.append(loss.detach())
    return torch.cat(losses)


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
