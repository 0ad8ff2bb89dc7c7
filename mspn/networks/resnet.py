"""ResNet's layers 1 to 4 (He et al. 2016) as a stage's down path, and its stem."""

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from mspn.networks.blocks import ConvNorm, DownPath, channels

StrideOn = Literal["1x1", "3x3"]

# name -> (bottleneck or basic block, blocks of each layer). Res-254 is the paper's own (section 4.3.1: "more
# residual blocks on Res-152"): 34 more make 254 layers. Layer 3 has them, as in Res-101 and Res-152; a block
# costs the same in every layer.
RESNETS: dict[str, tuple[bool, tuple[int, int, int, int]]] = {
    "resnet18": (False, (2, 2, 2, 2)),
    "resnet50": (True, (3, 4, 6, 3)),
    "resnet101": (True, (3, 4, 23, 3)),
    "resnet152": (True, (3, 8, 36, 3)),
    "resnet254": (True, (3, 8, 70, 3)),
}


class Stem(nn.Module):
    """7x7 convolution of stride 2, then a 3x3 max pool of stride 2."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.conv = ConvNorm(3, outputs, 7, 2)

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) to (N, outputs, H/4, W/4)."""
        return F.max_pool2d(self.conv(images), 3, 2, 1)


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 with a residual connection; the stride is on the first 1x1 or on the 3x3.

    The released weights, mmpose's and torchvision's were trained with it on the 3x3, and so are ours; the
    paper's printed FLOPs need it on the 1x1 (the original ResNet).
    """

    def __init__(
        self, inputs: int, middle: int, outputs: int, stride: int = 1, stride_on: StrideOn = "3x3"
    ) -> None:
        super().__init__()
        first, second = (stride, 1) if stride_on == "1x1" else (1, stride)
        self.conv1 = ConvNorm(inputs, middle, 1, first)
        self.conv2 = ConvNorm(middle, middle, 3, second)
        self.conv3 = ConvNorm(middle, outputs, 1, relu=False)
        self.shortcut = shortcut(inputs, outputs, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, h, w) to (N, outputs, ceil(h / stride), ceil(w / stride))."""
        return F.relu(self.conv3(self.conv2(self.conv1(x))) + self.shortcut(x), inplace=True)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with a residual connection; the stride is on the first."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = ConvNorm(inputs, outputs, 3, stride)
        self.conv2 = ConvNorm(outputs, outputs, 3, relu=False)
        self.shortcut = shortcut(inputs, outputs, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, h, w) to (N, outputs, ceil(h / stride), ceil(w / stride))."""
        return F.relu(self.conv2(self.conv1(x)) + self.shortcut(x), inplace=True)


def shortcut(inputs: int, outputs: int, stride: int) -> nn.Module:
    """The identity where the shape stays, else a 1x1 convolution with batch norm."""
    if inputs == outputs and stride == 1:
        return nn.Identity()
    return ConvNorm(inputs, outputs, 1, stride, relu=False)


def resnet(name: str, inputs: int, width: float, stride_on: StrideOn) -> DownPath:
    """The four layers of a ResNet, reading ``inputs`` channels at a quarter of the image's size."""
    if stride_on not in ("1x1", "3x3"):
        raise ValueError(f"stride_on is {stride_on!r}; it is '1x1' or '3x3'")
    bottleneck, counts = RESNETS[name]
    layers: list[nn.Module] = []
    widths: list[int] = []
    before = inputs
    for level, count in enumerate(counts):
        middle = channels(64 * 2**level, width)
        outputs = channels(256 * 2**level, width) if bottleneck else middle
        blocks: list[nn.Module] = []
        for block in range(count):
            stride = 2 if level and not block else 1
            if bottleneck:
                blocks.append(Bottleneck(before, middle, outputs, stride, stride_on))
            else:
                blocks.append(BasicBlock(before, outputs, stride))
            before = outputs
        layers.append(nn.Sequential(*blocks))
        widths.append(outputs)
    return DownPath(layers, widths, backbone=name)
