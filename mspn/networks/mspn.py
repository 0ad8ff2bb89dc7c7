"""MSPN: stages that go down (a classification backbone) and up again, with features carried between stages.

Shapes: N images, K joints, S stages, L supervised scales; 1/4 of the image's height and width is the finest
feature, 1/32 the coarsest. Lists of features are finest first; supervised scales are coarsest first.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mspn.networks.blocks import ConvNorm, DownPath, add_biases, channels, initialise, resize
from mspn.networks.resnet import RESNETS, Stem, StrideOn, resnet
from mspn.networks.xception import XCEPTIONS, xception


class UpPath(nn.Module):
    """The up-sampling half of a stage: the same number of channels at every scale (paper, section 3.1).

    At each scale, from the coarsest: a 1x1 lateral convolution, plus the coarser feature resized and then
    through a 1x1 convolution, and ReLU after the sum (CPN's GlobalNet, as released).
    """

    def __init__(self, down_widths: Sequence[int], outputs: int) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(ConvNorm(inputs, outputs, relu=False) for inputs in down_widths)
        self.up = nn.ModuleList(ConvNorm(outputs, outputs, relu=False) for _ in down_widths[:-1])

    def forward(self, downs: Sequence[Tensor]) -> list[Tensor]:
        """The four down features to four of (N, outputs, h, w), both finest first."""
        x = F.relu(self.lateral[-1](downs[-1]))
        ups = [x]
        for level in reversed(range(len(self.up))):
            down = downs[level]
            x = F.relu(self.lateral[level](down) + self.up[level](resize(x, down.shape[-2:])))
            ups.insert(0, x)
        return ups


class Head(nn.Sequential):
    """(N, inputs, h, w) to heat maps (N, K, h, w): 1x1 with ReLU, then 3x3; batch norm after both."""

    def __init__(self, inputs: int, joints: int) -> None:
        super().__init__(ConvNorm(inputs, inputs), ConvNorm(inputs, joints, 3, relu=False))


class Aggregation(nn.Module):
    """Cross stage feature aggregation (paper, section 3.2 and Figure 3).

    At every scale a 1x1 convolution of the down feature and one of the up feature, each with ReLU; both are
    added to the next stage's down feature of that scale.
    """

    def __init__(self, down_widths: Sequence[int], up_widths: Sequence[int]) -> None:
        super().__init__()
        self.from_down = nn.ModuleList(ConvNorm(width, width) for width in down_widths)
        self.from_up = nn.ModuleList(map(ConvNorm, up_widths, down_widths))

    def forward(self, downs: Sequence[Tensor], ups: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
        """Four down and four up features to the two that the next stage adds to each of its four."""
        return [
            (from_down(down), from_up(up))
            for from_down, from_up, down, up in zip(self.from_down, self.from_up, downs, ups, strict=True)
        ]


class Stage(nn.Module):
    """One stage. All but the last also make the next stage's input, and what is carried to its down path."""

    def __init__(
        self,
        down: DownPath,
        *,
        up_width: int,
        joints: int,
        scales: int,
        next_width: int | None,
        aggregate: bool,
    ) -> None:
        super().__init__()
        self.down = down
        self.up = UpPath(down.widths, up_width)
        self.heads = nn.ModuleList(Head(up_width, joints) for _ in range(scales))  # coarsest first
        self.next_input = None if next_width is None else ConvNorm(up_width, next_width)
        carries = aggregate and next_width is not None
        self.aggregation = Aggregation(down.widths, [up_width] * 4) if carries else None

    def heat_maps(self, ups: Sequence[Tensor]) -> Tensor:
        """(N, L, K, H/4, W/4): every supervised scale, coarsest first, resized to the finest."""
        size = ups[0].shape[-2:]
        features = ups[: len(self.heads)][::-1]
        return torch.stack([resize(head(up), size) for head, up in zip(self.heads, features, strict=True)], 1)


class MSPN(nn.Module):
    """Stem and stages. ``forward`` runs only what it returns: inference drops every head but the last."""

    def __init__(self, stem: nn.Module, stages: Sequence[Stage], rgb_input: bool = False) -> None:
        super().__init__()
        self.rgb_input = rgb_input
        self.stem = stem
        self.stages: list[Stage] = nn.ModuleList(stages)  # type: ignore[assignment]

    def forward(self, images: Tensor, all_stages: bool = False) -> Tensor:
        """(N, 3, H, W) to (N, K, H/4, W/4), or with ``all_stages`` to (N, S, L, K, H/4, W/4)."""
        if self.rgb_input:
            images = images.flip(1)
        x = self.stem(images)  # (N, 64, H/4, W/4)
        carried = None
        heat_maps = []
        for stage in self.stages:
            downs = stage.down(x, carried)
            ups = stage.up(downs)
            if all_stages:
                heat_maps.append(stage.heat_maps(ups))
            if stage.next_input is not None:
                x = stage.next_input(ups[0])
                carried = None if stage.aggregation is None else stage.aggregation(downs, ups)
        if all_stages:
            return torch.stack(heat_maps, 1)
        finest: Tensor = stage.heads[-1](ups[0])
        return finest


DOWN_PATHS = (*RESNETS, *XCEPTIONS)


def mspn(
    *,
    stages: int,
    down: str,
    joints: int,
    scales: int = 4,
    width: float = 1.0,
    aggregate: bool = True,
    stride_on: StrideOn = "3x3",
    conv_bias: bool = False,
    rgb_input: bool = False,
) -> MSPN:
    """An MSPN with freshly initialised weights, as the released code's.

    Normal with variance 2 / fan-out in stem and down paths; torch's default, uniform with variance
    1 / (3 fan-in), in all other convolutions.

    ``stages``: 1 or more. ``down``: every stage's down path, one of DOWN_PATHS. ``joints``: K. ``scales``: 4
    supervises every scale, 1 the finest alone. ``width`` multiplies every number of channels but the image's
    and the heat maps', the stem's included. ``aggregate``: cross stage feature aggregation. ``stride_on``:
    the convolution of a bottleneck that has the stride. ``conv_bias``, ``rgb_input``: for imported weights, a
    bias on each convolution and weights that read RGB (the images given are BGR all the same). Raises
    ValueError for anything else.
    """
    if stages < 1 or scales not in (1, 4) or down not in DOWN_PATHS:
        raise ValueError(
            f"stages={stages}, scales={scales}, down={down!r}: stages must be at least 1, scales 1 or 4, "
            f"down one of {', '.join(DOWN_PATHS)}"
        )
    stem_width, up_width = channels(64, width), channels(256, width)
    parts = []
    for last in [False] * (stages - 1) + [True]:
        if down in XCEPTIONS:
            path = xception(down, stem_width, width)
        else:
            path = resnet(down, stem_width, width, stride_on)
        next_width = None if last else stem_width
        parts.append(
            Stage(
                path,
                up_width=up_width,
                joints=joints,
                scales=scales,
                next_width=next_width,
                aggregate=aggregate,
            )
        )
    network = MSPN(Stem(stem_width), parts, rgb_input)
    if conv_bias:
        add_biases(network)
    for part in (network.stem, *(stage.down for stage in network.stages)):
        initialise(part)  # the rest keeps torch's default, as the released code
    return network
