"""The two Xception down paths of the paper's Table 3.

The paper names them and gives nothing but a network's FLOPs: these are designs to that budget (one stage on
L-XCP, four on S-XCP), not the authors' networks, which were never published.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from mspn.networks.blocks import ConvNorm, DownPath, channels
from mspn.networks.resnet import shortcut

# name -> (channels of the first layer, which double at every layer; blocks of each layer).
XCEPTIONS: dict[str, tuple[int, tuple[int, int, int, int]]] = {
    "l-xcp": (224, (1, 2, 7, 2)),
    "s-xcp": (88, (1, 2, 6, 2)),
}


class Separable(nn.Sequential):
    """A 3x3 convolution of each channel by itself, which has the stride, then a 1x1 over the channels."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1, *, relu: bool = True) -> None:
        super().__init__(
            ConvNorm(inputs, inputs, 3, stride, groups=inputs, relu=False),
            ConvNorm(inputs, outputs, relu=relu),
        )


class XceptionBlock(nn.Module):
    """Three separable convolutions with a residual connection (Chollet 2017), the ReLU after the sum."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.body = nn.Sequential(
            Separable(inputs, outputs, stride),
            Separable(outputs, outputs),
            Separable(outputs, outputs, relu=False),
        )
        self.shortcut = shortcut(inputs, outputs, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, h, w) to (N, outputs, ceil(h / stride), ceil(w / stride))."""
        return F.relu(self.body(x) + self.shortcut(x), inplace=True)


def xception(name: str, inputs: int, width: float) -> DownPath:
    """The four layers of an Xception, reading ``inputs`` channels at a quarter of the image's size."""
    first, counts = XCEPTIONS[name]
    widths = [channels(first * 2**level, width) for level in range(4)]
    layers = []
    for level, (before, outputs, count) in enumerate(zip([inputs, *widths], widths, counts, strict=False)):
        blocks = [XceptionBlock(before, outputs, stride=2 if level else 1)]
        blocks += [XceptionBlock(outputs, outputs) for _ in range(count - 1)]
        layers.append(nn.Sequential(*blocks))
    return DownPath(layers, widths)
