"""The literal training step that the present one is measured against and tested by.

Losses and gradients are the same up to rounding. Targets are full maps; convolutions and
resizing are torch's own in both directions.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mspn.networks import blocks
from mspn.training.losses import COARSE_WEIGHT, HARDEST, LABELLED, VISIBLE, kernel_table
from mspn.training.objective import Objective
from mspn.training.targets import make_targets


def literal_losses(
    heat_maps: Tensor, targets: Tensor, visibility: Tensor, table: tuple[tuple[int, ...], ...]
) -> Tensor:
    """(N, S, L) of ``mspn.training.losses.stage_losses``, from targets (N, G, K, h, w) and masks."""
    coarser = torch.arange(len(table[0]), device=targets.device) < len(table[0]) - 1  # (L,)
    keep = (visibility >= VISIBLE)[:, None] | ~coarser[:, None]  # (N, L, K)
    wanted = {row: targets[:, row] * keep[..., None, None] for row in set(table)}  # each (N, L, K, h, w)
    errors = torch.stack(
        [
            (maps.float() - wanted[row]).square().mean((-2, -1))
            for maps, row in zip(heat_maps.unbind(1), table, strict=True)
        ],
        dim=1,
    )  # (N, S, L, K)
    labelled = (visibility >= LABELLED)[:, None]  # (N, 1, K)
    finest = (errors[:, :, -1] * labelled).topk(HARDEST, dim=-1, sorted=False).values.mean(-1)  # (N, S)
    return torch.cat([errors[:, :, :-1].mean(-1) * COARSE_WEIGHT, finest[..., None]], dim=-1)


class LiteralObjective(Objective):
    """The objective by ``literal_losses``."""

    def __call__(self, network: nn.Module, images: Tensor, joints: Tensor) -> Tensor:
        """(N, S, L) losses of images (N, 3, H, W), normalised, with joints (N, K, 3)."""
        kernels, table = kernel_table(self.stages, self.kernels_earlier, self.kernels_last)
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            heat_maps = network(images, all_stages=True)
        return literal_losses(
            heat_maps, make_targets(joints, kernels, self.input_size), joints[..., 2], table
        )


def _interpolate(x: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(x, size=size, mode="bilinear", align_corners=True)


@contextmanager
def literal_blocks() -> Iterator[None]:
    """Networks run with torch's own convolution and resizing inside the block."""
    with (
        patch.object(blocks.Conv2d, "forward", nn.Conv2d.forward),
        patch.object(blocks._Resize, "apply", _interpolate),
    ):
        yield
