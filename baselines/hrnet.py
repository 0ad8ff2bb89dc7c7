"""HRNet for pose (Sun, Xiao, Liu and Wang 2019): branches at four resolutions, side by side; a single stage.

Shapes: N images, K joints, L supervised scales. Branches are finest first, from a quarter of the image's size
to 1/32; supervised scales are coarsest first.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mspn.networks.blocks import ConvNorm, channels, initialise, resize
from mspn.networks.resnet import BasicBlock, Bottleneck

# Modules of the second, third and fourth part, which have two, three and four branches (their Table 1).
MODULES = (1, 4, 3)
BLOCKS = 4  # of each branch of each module, and of the first part


class Fuse(nn.Module):
    """One branch's output from all: each brought to its width and size, summed, then ReLU."""

    def __init__(self, widths: Sequence[int], to: int) -> None:
        super().__init__()
        self.paths = nn.ModuleList(self._path(widths, branch, to) for branch in range(len(widths)))

    @staticmethod
    def _path(widths: Sequence[int], branch: int, to: int) -> nn.Module:
        if branch == to:
            return nn.Identity()
        if branch > to:  # from a coarser branch: 1x1, resized in forward
            return ConvNorm(widths[branch], widths[to], relu=False)
        steps = [ConvNorm(widths[branch], widths[branch], 3, 2) for _ in range(to - branch - 1)]
        return nn.Sequential(*steps, ConvNorm(widths[branch], widths[to], 3, 2, relu=False))

    def forward(self, branches: Sequence[Tensor], size: torch.Size) -> Tensor:
        """Every branch to (N, widths[to], *size)."""
        total: Tensor | None = None
        for path, x in zip(self.paths, branches, strict=True):
            x = path(x)
            if x.shape[-2:] != size:
                x = F.interpolate(x, size=size, mode="nearest")
            total = x if total is None else total + x
        assert total is not None
        return F.relu(total)


class Module(nn.Module):
    """Four residual blocks on each branch, then each of the first ``outputs`` branches fused from all."""

    def __init__(self, widths: Sequence[int], outputs: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(*(BasicBlock(width, width) for _ in range(BLOCKS))) for width in widths
        )
        self.fuse = nn.ModuleList(Fuse(widths, to) for to in range(outputs))

    def forward(self, branches: Sequence[Tensor], finest_only: bool = False) -> list[Tensor]:
        """The branches to as many as ``outputs``, or to the finest alone, each of its own size."""
        branches = [body(x) for body, x in zip(self.branches, branches, strict=True)]
        wanted = self.fuse[:1] if finest_only else self.fuse
        return [fuse(branches, x.shape[-2:]) for fuse, x in zip(wanted, branches, strict=False)]


class HRNet(nn.Module):
    """Stem, bottlenecks, then modules of two, three and four branches, and a 1x1 convolution to heat maps."""

    def __init__(self, width: float, first: int, joints: int, scales: int) -> None:
        super().__init__()
        stem, wide = channels(64, width), channels(256, width)
        self.stem = nn.Sequential(ConvNorm(3, stem, 3, 2), ConvNorm(stem, stem, 3, 2))
        self.first = nn.Sequential(
            Bottleneck(stem, stem, wide), *(Bottleneck(wide, stem, wide) for _ in range(BLOCKS - 1))
        )
        widths = [channels(first * 2**branch, width) for branch in range(4)]
        # A new branch comes from the coarsest one by a 3x3 convolution of stride 2.
        self.enter = ConvNorm(wide, widths[0], 3)
        self.split = nn.ModuleList(
            ConvNorm(wide if branch == 1 else widths[branch - 1], widths[branch], 3, 2)
            for branch in (1, 2, 3)
        )
        parts = []
        for branches, count in enumerate(MODULES, start=2):
            # Of the last module, only the branches that heads read are computed: the finest, as published.
            outputs = [branches] * (count - 1) + [scales if branches == 4 else branches]
            parts.append(nn.ModuleList(Module(widths[:branches], number) for number in outputs))
        self.parts: list[list[Module]] = nn.ModuleList(parts)  # type: ignore[assignment]
        self.heads = nn.ModuleList(nn.Conv2d(widths[branch], joints, 1) for branch in reversed(range(scales)))

    @property
    def stages(self) -> tuple[nn.Module, ...]:
        """The network is its only stage."""
        return (self,)

    def forward(self, images: Tensor, all_stages: bool = False) -> Tensor:
        """(N, 3, H, W) to (N, K, H/4, W/4), or with ``all_stages`` to (N, 1, L, K, H/4, W/4)."""
        x = self.first(self.stem(images))  # (N, 256, H/4, W/4)
        branches = [self.enter(x), self.split[0](x)]
        for number, part in enumerate(self.parts):
            if number:
                branches.append(self.split[number](branches[-1]))
            for module in part:
                branches = module(branches, finest_only=not all_stages and module is self.parts[-1][-1])
        finest: Tensor = self.heads[-1](branches[0])
        if not all_stages:
            return finest
        coarse = zip(self.heads[:-1], branches[:0:-1], strict=True)
        maps = [resize(head(x), finest.shape[-2:]) for head, x in coarse]
        return torch.stack([*maps, finest], 1).unsqueeze(1)


def hrnet(*, first: int, joints: int, scales: int = 1, width: float = 1.0) -> HRNet:
    """An HRNet whose finest branch has ``first`` channels (32 for W32), with freshly initialised weights.

    ``joints``: K. ``scales``: 1 supervises the finest alone, as published; 4 every branch, each by its own
    head. ``width`` multiplies every number of channels but the image's and the heat maps'. Raises ValueError
    for any other number of scales.
    """
    if scales not in (1, 4):
        raise ValueError(f"scales={scales}: supervised scales are 1 or 4")
    network = HRNet(width, first, joints, scales)
    initialise(network, heads=list(network.heads))
    return network
