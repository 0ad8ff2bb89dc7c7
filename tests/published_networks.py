"""Published MSPN networks written out: their names and shapes literally, one attribute per published name.

They share no code with the package.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def aligned(x: Tensor, size: Any) -> Tensor:
    return F.interpolate(x, size=size, mode="bilinear", align_corners=True)


class Unit(nn.Module):
    """``conv`` and ``bn``, as both layouts call them; the release's convolutions have a bias."""

    def __init__(self, i: int, o: int, k: int = 1, s: int = 1, relu: bool = True, bias: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv2d(i, o, k, stride=s, padding=(k - 1) // 2, bias=bias)
        self.bn = nn.BatchNorm2d(o)
        self.relu = relu

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn(self.conv(x))
        return torch.relu(x) if self.relu else x


def biased(i: int, o: int, k: int = 1, s: int = 1, relu: bool = True) -> Unit:
    return Unit(i, o, k, s, relu, bias=True)


class ReleasedBlock(nn.Module):
    def __init__(self, i: int, middle: int, s: int, project: bool) -> None:
        super().__init__()
        self.conv_bn_relu1 = biased(i, middle)
        self.conv_bn_relu2 = biased(middle, middle, 3, s)
        self.conv_bn_relu3 = biased(middle, 4 * middle, relu=False)
        if project:
            self.downsample = biased(i, 4 * middle, 1, s, relu=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv_bn_relu3(self.conv_bn_relu2(self.conv_bn_relu1(x)))
        return torch.relu(y + (self.downsample(x) if hasattr(self, "downsample") else x))


class MmposeBlock(nn.Module):
    def __init__(self, i: int, middle: int, s: int, project: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(i, middle, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(middle)
        self.conv2 = nn.Conv2d(middle, middle, 3, stride=s, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(middle)
        self.conv3 = nn.Conv2d(middle, 4 * middle, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * middle)
        if project:
            self.downsample = Unit(i, 4 * middle, 1, s, relu=False)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.bn1(self.conv1(x)))
        y = torch.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return torch.relu(y + (self.downsample(x) if hasattr(self, "downsample") else x))


class Down(nn.Module):
    """``layer1`` to ``layer4`` of Res-50; what the stage before carries is added after each."""

    def __init__(self, block: Callable[..., nn.Module]) -> None:
        super().__init__()
        i = 64
        for number, (middle, count) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3)), start=1):
            blocks = []
            for b in range(count):
                blocks.append(block(i, middle, 2 if number > 1 and b == 0 else 1, b == 0))
                i = 4 * middle
            setattr(self, f"layer{number}", nn.Sequential(*blocks))

    def forward(self, x: Tensor, skips: Any) -> list[Tensor]:
        features = []
        for number in (1, 2, 3, 4):
            x = getattr(self, f"layer{number}")(x)
            if skips is not None:
                x = x + skips[0][number - 1] + skips[1][number - 1]
            features.append(x)
        return features


class UpUnit(nn.Module):
    """One scale of the way up, in the names of either layout."""

    def __init__(self, layout: str, number: int, i: int, joints: int, last: bool) -> None:
        super().__init__()
        released = layout == "released"
        make = biased if released else Unit
        self.lateral, self.skips = ("u_skip", "skip") if released else ("in_skip", "out_skip")
        self.number, self.last, self.released = number, last, released
        setattr(self, self.lateral, make(i, 256, relu=False))
        if number > 1:
            self.up_conv = make(256, 256, relu=False)
        if not last:
            setattr(self, f"{self.skips}1", make(i, i))
            setattr(self, f"{self.skips}2", make(256, i))
            if number == 4:
                self.cross_conv = make(256, 64)
        if released:
            self.res_conv1 = biased(256, 256)
            self.res_conv2 = biased(256, joints, 3, relu=False)

    def forward(self, x: Tensor, coarser: Tensor | None, size: Any) -> tuple[Tensor, Any, Any, Any]:
        out = getattr(self, self.lateral)(x)
        if coarser is not None:
            out = out + self.up_conv(aligned(coarser, x.shape[-2:]))
        out = torch.relu(out)
        heat_maps = aligned(self.res_conv2(self.res_conv1(out)), size) if self.released else None
        if self.last:
            return out, heat_maps, None, None
        return out, heat_maps, getattr(self, f"{self.skips}1")(x), getattr(self, f"{self.skips}2")(out)


class Up(nn.Module):
    def __init__(self, layout: str, joints: int, last: bool) -> None:
        super().__init__()
        for number, i in enumerate((2048, 1024, 512, 256), start=1):
            setattr(self, f"up{number}", UpUnit(layout, number, i, joints, last))

    def forward(self, features: list[Tensor]) -> tuple[list[Tensor], list[Any], Any, Any]:
        outs: list[Tensor] = []
        maps: list[Any] = []
        skip1: list[Any] = []
        skip2: list[Any] = []
        for number in (1, 2, 3, 4):
            unit = getattr(self, f"up{number}")
            coarser = outs[-1] if outs else None
            out, heat_maps, s1, s2 = unit(features[4 - number], coarser, features[0].shape[-2:])
            outs.append(out)
            maps.append(heat_maps)
            skip1.insert(0, s1)
            skip2.insert(0, s2)
        finest: Any = self.up4
        if finest.last:
            return outs, maps, None, None
        return outs, maps, (skip1, skip2), finest.cross_conv(outs[-1])


class ReferenceStage(nn.Module):
    def __init__(self, layout: str, joints: int, last: bool) -> None:
        super().__init__()
        self.downsample = Down(ReleasedBlock if layout == "released" else MmposeBlock)
        self.upsample = Up(layout, joints, last)


class Released(nn.Module):
    def __init__(self, stages: int = 2, joints: int = 17) -> None:
        super().__init__()
        self.top = nn.Sequential()
        self.top.add_module("conv", biased(3, 64, 7, 2))
        self.stages = stages
        for s in range(stages):
            setattr(self, f"stage{s}", ReferenceStage("released", joints, s == stages - 1))

    def forward(self, x: Tensor) -> list[list[Tensor]]:
        x, skips, maps = F.max_pool2d(self.top(x), 3, 2, 1), None, []
        for s in range(self.stages):
            stage = getattr(self, f"stage{s}")
            _, heat_maps, skips, x = stage.upsample(stage.downsample(x, skips))
            maps.append(heat_maps)
        return maps


class Mmpose(nn.Module):
    """Of mmpose's versions 1.x; ``head`` is "keypoint_head" in those before."""

    def __init__(self, stages: int = 2, joints: int = 17, head: str = "head") -> None:
        super().__init__()
        self.backbone = nn.Module()
        self.backbone.top = nn.Module()
        self.backbone.top.top = nn.Sequential(Unit(3, 64, 7, 2), nn.MaxPool2d(3, 2, 1))
        self.backbone.multi_stage_mspn = nn.ModuleList(
            ReferenceStage("mmpose", joints, s == stages - 1) for s in range(stages)
        )
        setattr(self, head, nn.Module())
        self.apart = head
        heads = []
        for _ in range(4 * stages):
            heads.append(nn.Module())
            heads[-1].conv_layers = nn.Sequential(Unit(256, 256), Unit(256, joints, 3, relu=False))
        getattr(self, head).predict_layers = nn.ModuleList(heads)

    def forward(self, x: Tensor) -> list[list[Tensor]]:
        x, skips, maps = self.backbone.top.top(x), None, []  # type: ignore[union-attr, operator]
        for s, stage in enumerate(self.backbone.multi_stage_mspn):  # type: ignore[arg-type]
            size = x.shape[-2:]
            outs, _, skips, x = stage.upsample(stage.downsample(x, skips))
            heads = getattr(self, self.apart).predict_layers[4 * s : 4 * s + 4]
            maps.append([aligned(head.conv_layers(out), size) for head, out in zip(heads, outs, strict=True)])
        return maps


def mmpose_0(stages: int = 2, joints: int = 17) -> nn.Module:
    """As mmpose publishes its files: heads under another name, and the mean and deviation of R, G and B."""
    network = Mmpose(stages, joints, "keypoint_head")
    network.data_preprocessor = nn.Module()
    network.data_preprocessor.register_buffer("mean", torch.tensor([123.675, 116.28, 103.53]).view(3, 1, 1))
    network.data_preprocessor.register_buffer("std", torch.tensor([58.395, 57.12, 57.375]).view(3, 1, 1))
    return network


REFERENCES: dict[str, Callable[..., nn.Module]] = {
    "released": Released,
    "mmpose": Mmpose,
    "mmpose-0.x": mmpose_0,
}


def published(layout: str, stages: int, path: Path) -> dict[str, Tensor]:
    """Write a published layout with random weights, biases and batch norm statistics; returns its tensors."""
    torch.manual_seed(3)
    network = REFERENCES[layout](stages)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
            if module.bias is not None:
                nn.init.normal_(module.bias)
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None and module.running_var is not None
            assert module.num_batches_tracked is not None
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.2)
            nn.init.normal_(module.running_mean, std=0.5)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.constant_(module.num_batches_tracked, 7)
    torch.save(network.state_dict(), path)
    return network.state_dict()


def without_counters(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")}
