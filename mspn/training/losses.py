"""The loss: mean squared error of the heat maps at every stage and scale; at the finest the hardest joints.

One function for every network and supervision; it is given what the network returns and the targets'
lines, and knows neither the network nor the optimiser.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

# Online hard keypoint mining keeps the 8 joints of largest loss (released code; the paper, section 3.3, cites
# CPN, which takes 8 of 17 as well); all of a joint set of fewer.
HARDEST = 8
# The three coarser scales count a quarter each (released code).
COARSE_WEIGHT = 0.25
# COCO's visibility: 0 not labelled, 1 labelled but hidden, 2 visible.
LABELLED, VISIBLE = 1, 2


class _SquaredErrors(torch.autograd.Function):
    """The sum over pixels of (heat map - outer product of two lines)^2, with the gradient of the heat maps.

    The error is formed once, in place; no target and no mask is ever as large as a heat map.
    """

    @staticmethod
    def forward(ctx: Any, heat_maps: Tensor, down: Tensor, across: Tensor) -> Tensor:
        """(..., h, w), (..., h) and (..., w) to (...), in float32 or, if wider, the heat maps' type."""
        error = heat_maps.to(torch.promote_types(heat_maps.dtype, torch.float32), copy=True)
        error.addcmul_(down[..., :, None], across[..., None, :], value=-1)
        ctx.save_for_backward(error)
        ctx.dtype = heat_maps.dtype
        return torch.linalg.vector_norm(error, dim=(-2, -1)).square_()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        """The gradient of (...) to that of the heat maps, in their type."""
        (error,) = ctx.saved_tensors
        return (error * (2 * gradient)[..., None, None]).to(ctx.dtype), None, None


def stage_losses(
    heat_maps: Tensor,
    lines: tuple[Tensor, Tensor],
    visibility: Tensor,
) -> Tensor:
    """Each sample's loss at each stage and supervised scale; the sum over both is the sample's loss.

    At the three coarser scales: the mean squared error over joints and pixels, with the target (not the
    prediction) zeroed where the joint is not visible, divided by 4. At the finest: each joint's mean squared
    error over pixels, zero for joints without a label, and of those the mean of the 8 largest. With one
    supervised scale only the finest part remains (Table 4's BaseNet). Everything per sample, so that a batch
    may be cut into micro-batches or spread over processes without changing the sum.

    Args:
        heat_maps: (N, S, L, K, h, w) of S stages in order and L scales, coarsest first.
        lines: (N, S, L, K, h) and (N, S, L, K, w), whose outer products are the targets, zero for joints
            without a label; see ``mspn.training.targets.target_lines``.
        visibility: (N, K) 0, 1 or 2.

    Returns:
        (N, S, L) float32.

    Source: released code, ``JointsL2Loss`` and its use in the network; paper, section 3.3.
    """
    down, across = lines
    scales, joints, *size = heat_maps.shape[2:]
    coarser = torch.arange(scales, device=heat_maps.device) < scales - 1  # (L,)
    keep = (visibility >= VISIBLE)[:, None] | ~coarser[:, None]  # (N, L, K)
    errors = _SquaredErrors.apply(heat_maps, down * keep[:, None, ..., None], across)  # (N, S, L, K)
    errors = errors / (size[0] * size[1])
    labelled = (visibility >= LABELLED)[:, None]  # (N, 1, K)
    hardest = min(HARDEST, joints)
    finest = (errors[:, :, -1] * labelled).topk(hardest, dim=-1, sorted=False).values.mean(-1)  # (N, S)
    return torch.cat([errors[:, :, :-1].mean(-1) * COARSE_WEIGHT, finest[..., None]], dim=-1)
