"""What every network shares: convolution with batch norm, resizing, widths, initial weights."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


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
    if x.is_cpu and x.requires_grad and not torch.jit.is_tracing():  # which knows no such function
        resized: Tensor = _Resize.apply(x, tuple(size))
        return resized
    return F.interpolate(x, size=tuple(size), mode="bilinear", align_corners=True)


class _Resize(torch.autograd.Function):
    """``resize``; where the gradient is not in channels-last, as the heat maps' is, its backward pass is two
    small matrix products, three times as fast on a CPU as torch's.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, size: tuple[int, int]) -> Tensor:
        """(N, C, h, w) to (N, C, *size)."""
        ctx.before = tuple(x.shape[-2:])
        return F.interpolate(x, size=size, mode="bilinear", align_corners=True)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """(N, C, *size) to (N, C, h, w), summed in float32 or the gradient's own type if that is wider."""
        (height, width), (rows, columns) = gradient.shape[-2:], ctx.before
        if gradient.stride(-1) != 1:
            shape = (*gradient.shape[:2], rows, columns)
            backward = torch.ops.aten.upsample_bilinear2d_backward
            return backward(gradient, (height, width), shape, True, None, None), None
        down, across = interpolation(rows, height), interpolation(columns, width)
        kind = torch.promote_types(gradient.dtype, torch.float32)
        narrow = (gradient.to(kind) @ across.to(kind)).mT  # (N, C, w, H)
        return (narrow @ down.to(kind)).mT.to(gradient.dtype), None


@cache
def interpolation(before: int, after: int) -> Tensor:
    """(after, before) float64: how much of each pixel of a line reaches each of the resized line's."""
    line = torch.eye(before, dtype=torch.float64)[:, None]  # (before, 1, before)
    return F.interpolate(line, size=after, mode="linear", align_corners=True)[:, 0].T.contiguous()


class Conv2d(nn.Conv2d):
    """torch's convolution; training on the CPU in channels-last, a 1x1 is computed as a matrix product.

    The numbers are the same up to rounding. The product is faster than oneDNN's convolution, most of all with
    a stride, where the pixels that are not read are left out first.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, h, w) to (N, out_channels, ceil(h / stride), ceil(w / stride)), padded to keep."""
        pixels = x.permute(0, 2, 3, 1)
        if not (
            self.training
            and x.is_cpu
            and self.kernel_size == (1, 1)
            and self.groups == 1
            and pixels.is_contiguous()
        ):
            return super().forward(x)
        if self.stride != (1, 1):
            pixels = pixels[:, :: self.stride[0], :: self.stride[1]].contiguous()
        return F.linear(pixels, self.weight.flatten(1), self.bias).permute(0, 3, 1, 2)


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
        self.conv = Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
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
