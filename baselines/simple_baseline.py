"""Simple Baseline (Xiao, Wu and Wei 2018): a ResNet and three transposed convolutions; a single stage.

Shapes: N images, K joints, L supervised scales. Features are finest first; supervised scales coarsest first.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mspn.networks.blocks import DownPath, channels, initialise, resize
from mspn.networks.resnet import Stem, resnet


class Deconvolution(nn.Module):
    """Transposed 4x4 convolution of stride 2, batch norm, ReLU; cut to a size, as odd features need."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor, size: torch.Size) -> Tensor:
        """(N, inputs, h, w) to (N, outputs, *size), where size is (2 h, 2 w) or one less."""
        x = self.conv(x)[..., : size[0], : size[1]]
        return F.relu(self.norm(x), inplace=True)


class SimpleBaseline(nn.Module):
    """Stem, down path, three transposed convolutions, and a 1x1 convolution to heat maps."""

    def __init__(self, stem: nn.Module, down: DownPath, *, up_width: int, joints: int, scales: int) -> None:
        super().__init__()
        self.stem = stem
        self.down = down
        inputs = (down.widths[-1], up_width, up_width, up_width)
        self.up = nn.ModuleList(Deconvolution(width, up_width) for width in inputs[:-1])
        self.heads = nn.ModuleList(
            nn.Conv2d(width, joints, 1) for width in inputs[-scales:]
        )  # coarsest first

    @property
    def stages(self) -> tuple[nn.Module, ...]:
        """The network is its only stage."""
        return (self,)

    def forward(self, images: Tensor, all_stages: bool = False) -> Tensor:
        """(N, 3, H, W) to (N, K, H/4, W/4), or with ``all_stages`` to (N, 1, L, K, H/4, W/4)."""
        downs = self.down(self.stem(images))
        ups = [downs[-1]]
        for deconvolution, down in zip(self.up, downs[-2::-1], strict=True):
            ups.append(deconvolution(ups[-1], down.shape[-2:]))
        finest: Tensor = self.heads[-1](ups[-1])
        if not all_stages:
            return finest
        coarse = zip(self.heads[:-1], ups[-len(self.heads) : -1], strict=True)
        maps = [resize(head(up), finest.shape[-2:]) for head, up in coarse]
        return torch.stack([*maps, finest], 1).unsqueeze(1)


def simple_baseline(*, down: str, joints: int, scales: int = 1, width: float = 1.0) -> SimpleBaseline:
    """A Simple Baseline on the ResNet ``down``, stride on the 3x3, with freshly initialised weights.

    ``joints``: K. ``scales``: 1 supervises the finest alone, as published; 4 every scale, the coarser ones by
    heads of their own, which inference drops. ``width`` multiplies every number of channels but the image's
    and the heat maps'. Raises ValueError for any other number of scales.
    """
    if scales not in (1, 4):
        raise ValueError(f"scales={scales}: supervised scales are 1 or 4")
    stem_width = channels(64, width)
    path = resnet(down, stem_width, width, "3x3")
    network = SimpleBaseline(
        Stem(stem_width), path, up_width=channels(256, width), joints=joints, scales=scales
    )
    initialise(network, heads=list(network.heads))
    return network
