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
from mspn.training.losses import COARSE_WEIGHT, HARDEST, LABELLED, VISIBLE
from mspn.training.objective import Objective
from mspn.training.targets import make_targets


def kernel_table(
    stages: int, earlier: tuple[int, ...], last: tuple[int, ...]
) -> tuple[tuple[int, ...], tuple[tuple[int, ...], ...]]:
    """The distinct kernels, largest first, and for each stage the index of each scale's kernel among them.

    ``earlier`` and ``last`` are the kernel sizes (pixels of the heat map) of the supervised scales, coarsest
    first, of every stage but the last and of the last (paper, section 3.3; sizes of the released code). The
    paper's setting gives (15, 11, 9, 7, 5) with (0, 1, 2, 3) for earlier stages and (1, 2, 3, 4) for the
    last, so that five blurred targets serve any number of stages.
    """
    kernels = tuple(sorted({*last, *(earlier if stages > 1 else ())}, reverse=True))
    rows = [earlier] * (stages - 1) + [last]
    return kernels, tuple(tuple(kernels.index(size) for size in row) for row in rows)


def literal_losses(
    heat_maps: Tensor, targets: Tensor, visibility: Tensor, table: tuple[tuple[int, ...], ...]
) -> Tensor:
    """(N, S, L) of ``mspn.training.losses.stage_losses``, from targets (N, G, K, h, w) and masks.

    ``table`` says which of the G kernels' targets each stage and scale has, see ``kernel_table``.
    """
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

    def losses(self, heat_maps: Tensor, joints: Tensor, tables: tuple[Tensor, Tensor] | None) -> Tensor:
        """(N, S, L) losses of heat maps (N, S, L, K, H/4, W/4); ``tables`` are the other method's."""
        kernels, table = kernel_table(self.stages, self.kernels_earlier, self.kernels_last)
        targets = make_targets(joints, kernels, self.input_size)
        return literal_losses(heat_maps, targets, joints[..., 2], table)


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
