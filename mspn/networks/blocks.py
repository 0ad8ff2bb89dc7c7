"""What every network shares: convolution with batch norm, resizing, widths, initial weights."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def channels(full: int, width: float) -> int:
    """Channels at a width multiplier: a multiple of 4, at least 4; ``full`` itself at width 1."""
    if not 0 < width <= 1:
        raise ValueError(f"width is {width}; it must be above 0 and at most 1")
    return full if width == 1 else max(4, round(full * width / 4) * 4)


def resize(x: Tensor, size: Sequence[int]) -> Tensor:
    """(N, C, h, w) to (N, C, *size), bilinear with aligned corners, as the released code and mmpose do.

    Always to a size, never by a factor, so that odd features meet: 96x72 has features of 5 columns and 3.
    """
    if tuple(x.shape[-2:]) == tuple(size):
        return x
    return F.interpolate(x, size=tuple(size), mode="bilinear", align_corners=True)


class ConvNorm(nn.Module):
    """Convolution without bias, padded to keep the size, batch norm, and ReLU unless told otherwise."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 1,
        stride: int = 1,
        *,
        groups: int = 1,
        relu: bool = True,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(outputs)
        self.relu = relu

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, h, w) to (N, outputs, ceil(h / stride), ceil(w / stride))."""
        x = self.norm(self.conv(x))
        return F.relu(x, inplace=True) if self.relu else x


class DownPath(nn.Module):
    """Four layers, each a scale of its own: 1/4, 1/8, 1/16 and 1/32 of the image.

    ``widths`` are the layers' output channels, finest first. ``backbone`` names the ResNet that the
    layers are, if they are one.
    """

    def __init__(
        self, layers: Sequence[nn.Module], widths: Sequence[int], backbone: str | None = None
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.widths = tuple(widths)
        self.backbone = backbone

    def forward(self, x: Tensor, carried: Sequence[tuple[Tensor, Tensor]] | None = None) -> list[Tensor]:
        """(N, C, H/4, W/4) to four features, finest first; ``carried`` is added to each where it arises."""
        features = []
        for level, layer in enumerate(self.layers):
            x = layer(x)
            if carried is not None:
                x = x + carried[level][0] + carried[level][1]
            features.append(x)
        return features


def add_biases(network: nn.Module) -> None:
    """Give every convolution before a batch norm a bias of 0, as the released MSPN weights have one."""
    for module in network.modules():
        if isinstance(module, ConvNorm):
            module.conv.bias = nn.Parameter(torch.zeros(module.conv.out_channels))


def initialise(network: nn.Module, heads: Sequence[nn.Module] = ()) -> None:
    """Initial weights of a network trained from scratch, from torch's random generator.

    Convolutions: normal with variance 2 / fan-out (He et al. 2015, the choice of torchvision's ResNet, of
    the released MSPN's stem and down paths); biases 0; batch norm 1 and 0. The last convolution of each of
    ``heads``, which ends in heat maps: normal with standard deviation 0.001, so that a training starts near
    the empty heat map (as Simple Baseline's and HRNet's released code).
    """
    if any(parameter.is_meta for parameter in network.parameters()):
        return  # shapes only; torch would load its compiler, seconds, to fill nothing
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for head in heads:
        last = [module for module in head.modules() if isinstance(module, nn.Conv2d)][-1]
        nn.init.normal_(last.weight, std=0.001)
