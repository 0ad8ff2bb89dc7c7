"""The arithmetic of one step: from batches to the gradient of the loss over the global batch."""

from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from mspn.data.batches import Batch, channel_statistics, normalise
from mspn.experiment.grid import Run
from mspn.networks.build import construct, definition
from mspn.networks.mspn import Head
from mspn.training.hardware import Options, autocast, frozen_statistics
from mspn.training.losses import stage_losses
from mspn.training.targets import blur_tables, target_lines


def starting_network(run: Run, width: float, seed: int, head_scale: float = 1.0) -> nn.Module:
    """The run's network with the initial weights that the seed decides, on the CPU.

    Heads that end in batch norm, MSPN's, start with its scale at ``head_scale``.
    """
    torch.manual_seed(seed)
    network = construct(*definition(run, width))
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
    precision: str = "fp32"  # or tf32 or bf16: the network's; losses and optimiser stay in fp32

    @property
    def kernels(self) -> tuple[tuple[int, ...], ...]:
        """For each stage the kernel size of each supervised scale, coarsest first (paper, section 3.3)."""
        return (self.kernels_earlier,) * (self.stages - 1) + (self.kernels_last,)

    def tables(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """The targets' constants on a device, see ``blur_tables``."""
        return blur_tables(self.kernels, self.input_size, device)

    def __call__(
        self,
        network: nn.Module,
        images: Tensor,
        joints: Tensor,
        tables: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """(N, S, L) losses of images (N, 3, H, W), normalised, with joints (N, K, 3).

        ``tables`` are those of ``self.tables``, where they are at hand.
        """
        with autocast(images.device, self.precision):
            heat_maps = network(images, all_stages=True)
        return self.losses(heat_maps, joints, tables)

    def losses(self, heat_maps: Tensor, joints: Tensor, tables: tuple[Tensor, Tensor] | None) -> Tensor:
        """(N, S, L) losses of heat maps (N, S, L, K, H/4, W/4)."""
        lines = target_lines(joints, self.tables(joints.device) if tables is None else tables)
        return stage_losses(heat_maps, lines, joints[..., 2])


class Learner(nn.Module):
    """A network with its objective: from batches as they are made to losses, compiled as one where asked for.

    What never changes lies in buffers on the device: a constant that is made of Python's numbers at each call
    is copied there each time, and the copy waits for all that the device has still to do.
    """

    mean: Tensor
    deviation: Tensor
    down: Tensor
    across: Tensor

    def __init__(
        self, network: nn.Module, objective: Objective, device: torch.device, options: Options
    ) -> None:
        super().__init__()
        self.network, self.objective, self.layout = network, objective, options.layout
        constants = zip(("mean", "deviation"), channel_statistics(device), strict=True)
        for name, value in (*constants, *zip(("down", "across"), objective.tables(device), strict=True)):
            self.register_buffer(name, value, persistent=False)
        if options.compile != "off":
            mode = "reduce-overhead" if options.compile == "cuda-graphs" else "default"
            self.compile(mode=mode, dynamic=False)  # one shape alone, in the memory probe as in training

    def forward(self, images: Tensor, joints: Tensor) -> Tensor:
        """(N, S, L) losses of images (N, H, W, 3) uint8 with joints (N, K, 3)."""
        normal = normalise(images, (self.mean, self.deviation)).contiguous(memory_format=self.layout)
        return self.objective(self.network, normal, joints, (self.down, self.across))


def accumulate_gradients(
    learner: nn.Module,
    chunk: Iterable[Batch],
    *,
    global_batch: int,
    micro: int,
    device: torch.device,
    world: int = 1,
) -> tuple[Tensor, Tensor]:
    """Leave the gradient of the mean loss over the global batch in the parameters.

    This process sees ``micro`` micro-batches of the global batch; with ``world`` processes the gradients are
    averaged once, after the last. The loss is a sum over samples, so the result does not depend on the cut,
    but for batch norm: each micro-batch is normalised by its own statistics. Each micro-batch is sent to the
    device before the next is asked for, and nothing here waits for the device.

    Args:
        learner: a ``Learner``, or one in ``DistributedDataParallel``.

    Returns:
        (n, S, L) the losses of this process's n samples, detached, on the device; (n,) their rows.
    """
    losses, rows = [], []
    for number, batch in enumerate(chunk, start=1):
        # Running statistics follow the first micro-batch of a step, as the released code's its first GPU.
        statistics = frozen_statistics(learner) if number > 1 else nullcontext()
        images = batch.images.to(device, non_blocking=True)
        joints = batch.joints.to(device, non_blocking=True)
        wait = isinstance(learner, DistributedDataParallel) and number < micro
        with statistics, learner.no_sync() if wait else nullcontext():  # type: ignore[operator]
            loss = learner(images, joints)
            # Distributed training averages the gradients of processes where the loss wants their sum.
            (loss.sum() * (world / global_batch)).backward()
        losses.append(loss.detach())
        rows.append(batch.index)
    # Copies: what a CUDA graph returned is overwritten by its next run.
    return torch.cat(losses), torch.cat(rows)
