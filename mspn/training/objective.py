"""The arithmetic of one step: from batches to the gradient of the loss over the global batch."""

from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from mspn.data.batches import Batch, normalise
from mspn.data.skeletons import skeleton
from mspn.experiment.grid import SUPERVISIONS, Run
from mspn.networks.build import build_network
from mspn.networks.mspn import Head
from mspn.training.hardware import frozen_statistics
from mspn.training.losses import kernel_table, stage_losses
from mspn.training.targets import target_lines


def starting_network(run: Run, width: float, seed: int, head_scale: float = 1.0) -> nn.Module:
    """The run's network with the initial weights that the seed decides, on the CPU.

    Heads that end in batch norm, MSPN's, start with its scale at ``head_scale``.
    """
    torch.manual_seed(seed)
    joints, scales = len(skeleton(run.joint_set).joints), SUPERVISIONS[run.supervision][0]
    network = build_network(run.network, joints=joints, scales=scales, width=width)
    for module in network.modules():
        if isinstance(module, Head):
            nn.init.constant_(module[-1].norm.weight, head_scale)  # type: ignore[union-attr, arg-type]
    return network


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
        return stage_losses(heat_maps, target_lines(joints, kernels, self.input_size), joints[..., 2], table)


def accumulate_gradients(
    network: nn.Module,
    chunk: Iterable[Batch],
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
    but for batch norm: each micro-batch is normalised by its own statistics.

    Returns:
        (n, S, L) the losses of this process's n samples, detached.
    """
    losses = []
    for number, batch in enumerate(chunk, start=1):
        # Running statistics follow the first micro-batch of a step, as the released code's its first GPU.
        statistics = frozen_statistics(network) if number > 1 else nullcontext()
        images = normalise(batch.images.to(device, non_blocking=True)).contiguous(memory_format=layout)
        joints = batch.joints.to(device, non_blocking=True)
        wait = isinstance(network, DistributedDataParallel) and number < micro
        with statistics, network.no_sync() if wait else nullcontext():  # type: ignore[operator]
            loss = objective(network, images, joints)
            # Distributed training averages the gradients of processes where the loss wants their sum.
            (loss.sum() * (world / global_batch)).backward()
        losses.append(loss.detach())
    return torch.cat(losses)
