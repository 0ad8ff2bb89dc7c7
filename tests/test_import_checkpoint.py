"""Published checkpoints: both layouts against networks written out here, and everything that must be refused.

The reference networks follow the published names and shapes literally, one attribute per published name, and
share no code with the package.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mspn.commands.cli import main
from mspn.errors import UserError
from mspn.networks.build import build_network
from mspn.networks.imagenet import load_imagenet
from mspn.networks.import_checkpoint import import_checkpoint, read_foreign
from mspn.networks.weights import load_network, load_weights

# How many names two stages have in each layout, and the SHA-256 (16 digits) of their published names and
# shapes: "name 1x2x3" a line, sorted, without batch norm's counters.
LAYOUT_DIGESTS = {"released": (864, "563494972b68b71c"), "mmpose": (720, "17c3d17f2a3eb91c")}


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
    def __init__(self, stages: int = 2, joints: int = 17) -> None:
        super().__init__()
        self.backbone = nn.Module()
        self.backbone.top = nn.Module()
        self.backbone.top.top = nn.Sequential(Unit(3, 64, 7, 2), nn.MaxPool2d(3, 2, 1))
        self.backbone.multi_stage_mspn = nn.ModuleList(
            ReferenceStage("mmpose", joints, s == stages - 1) for s in range(stages)
        )
        self.head = nn.Module()
        heads = []
        for _ in range(4 * stages):
            heads.append(nn.Module())
            heads[-1].conv_layers = nn.Sequential(Unit(256, 256), Unit(256, joints, 3, relu=False))
        self.head.predict_layers = nn.ModuleList(heads)

    def forward(self, x: Tensor) -> list[list[Tensor]]:
        x, skips, maps = self.backbone.top.top(x), None, []  # type: ignore[union-attr, operator]
        for s, stage in enumerate(self.backbone.multi_stage_mspn):  # type: ignore[arg-type]
            size = x.shape[-2:]
            outs, _, skips, x = stage.upsample(stage.downsample(x, skips))
            heads = self.head.predict_layers[4 * s : 4 * s + 4]  # type: ignore[index]
            maps.append([aligned(head.conv_layers(out), size) for head, out in zip(heads, outs, strict=True)])
        return maps


REFERENCES: dict[str, Callable[..., nn.Module]] = {"released": Released, "mmpose": Mmpose}


LAYOUTS = pytest.mark.parametrize("layout", ["released", "mmpose"])


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


@LAYOUTS
def test_references_have_the_published_names_and_shapes(layout: str) -> None:
    with torch.device("meta"):
        state = without_counters(REFERENCES[layout](2).state_dict())
    lines = sorted(f"{name} {'x'.join(map(str, tensor.shape))}" for name, tensor in state.items())
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]
    assert (len(lines), digest) == LAYOUT_DIGESTS[layout]


def assert_same(ours: Tensor, theirs: list[list[Tensor]]) -> None:
    """Every stage and scale within 1e-5 of the map's own scale."""
    assert ours.shape[1:3] == (len(theirs), 4)
    for stage, maps in enumerate(theirs):
        for scale, expected in enumerate(maps):
            worst = (ours[:, stage, scale] - expected).abs().max() / expected.abs().max()
            assert worst < 1e-5, (stage, scale, float(worst))


@LAYOUTS
def test_same_heat_maps_at_every_stage_and_scale(layout: str, tmp_path: Path) -> None:
    file, out = tmp_path / "published.pth", tmp_path / "ours.safetensors"
    theirs = REFERENCES[layout](2)
    theirs.load_state_dict(published(layout, 2, file))
    read, header = import_checkpoint(file, out)
    ours, loaded = load_network(out)
    assert read.layout == layout and header == loaded and header["input_size"] == [256, 192]
    assert loaded["keywords"] == {
        "stages": 2, "down": "resnet50", "joints": 17, "scales": 4, "width": 1.0, "aggregate": True,
        "stride_on": "3x3", "conv_bias": layout == "released", "rgb_input": layout == "mmpose",
    }  # fmt: skip
    torch.manual_seed(5)
    bgr = torch.randn(3, 3, 128, 96)
    picture = bgr if layout == "released" else bgr.flip(1)  # as each network reads it
    # train() also moves the running statistics, on both sides alike. A random network amplifies rounding past
    # 1e-4 in train(), so this also needs the same numbers added in the same order.
    with torch.no_grad():
        for training in (False, True, False):
            ours.train(training)
            assert_same(ours(bgr, all_stages=True), theirs.train(training)(picture))


@LAYOUTS
def test_other_forms_of_the_same_file(layout: str, tmp_path: Path) -> None:
    plain, wrapped, out = tmp_path / "plain.pth", tmp_path / "wrapped.pth", tmp_path / "out"
    state = published(layout, 1, plain)
    whole, _ = import_checkpoint(plain, out)
    assert {int(t) for name, t in whole.state.items() if name.endswith("num_batches_tracked")} == {7}
    for key, content in (("state_dict", state), ("model", without_counters(state))):
        torch.save({key: {f"module.{name}": t for name, t in content.items()}, "epoch": 3}, wrapped)
        read, _ = import_checkpoint(wrapped, out, channels="rgb", input_size=(384, 288))
        assert read.state.keys() == whole.state.keys()
        values = without_counters(read.state)
        assert all(torch.equal(tensor, whole.state[name]) for name, tensor in values.items())
    assert load_weights(out)[1]["keywords"]["rgb_input"] is True
    assert load_weights(out)[1]["input_size"] == [384, 288]


@LAYOUTS
def test_every_name_that_does_not_fit_is_listed(
    layout: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, out = tmp_path / "published.pth", tmp_path / "ours.safetensors"
    state = dict(published(layout, 1, file))
    head = "stage0.upsample.up1.res_conv2" if layout == "released" else "head.predict_layers.0.conv_layers.1"
    state["extra.weight"] = torch.ones(2)
    del state[f"{head}.bn.weight"]
    state[f"{head}.conv.weight"] = torch.ones(17, 1, 3, 3)
    torch.save(state, file)
    with pytest.raises(UserError) as caught:
        import_checkpoint(file, out)
    lines = str(caught.value).splitlines()[1:]
    assert sorted(line.strip() for line in lines) == sorted(
        [
            f"{head}.conv.weight: (17, 1, 3, 3) instead of (17, 256, 3, 3)",
            f"{head}.bn.weight: missing",
            "extra.weight: left over",
        ]
    )
    assert not out.exists()
    with pytest.raises(UserError, match=r"1 names do not fit\n  extra\.weight: left over$"):
        import_checkpoint(file, out, allow_partial=[f"{head}.*"])
    with pytest.raises(UserError, match=r"nothing\.at\.all: this pattern allows nothing"):
        import_checkpoint(file, out, allow_partial=[f"{head}.*", "extra.*", "nothing.at.all"])
    command = ["import-checkpoint", str(file), "--out", str(out), "--allow-partial", f"{head}.*", "extra.*"]
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert "not whole, random here: stages.0.heads.0.1" in printed and "not used: extra.weight" in printed
    assert load_weights(out)[1]["partial"] == ["stages.0.heads.0.1"]
    with pytest.raises(UserError, match="imported in part"):
        load_network(out)


class NotTensors:
    pass


def test_unreadable_files_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "file.pth"
    with pytest.raises(UserError, match="no such checkpoint"):
        read_foreign(file)
    file.write_bytes(b"nonsense")
    with pytest.raises(UserError, match=str(file)):
        read_foreign(file)
    torch.save({"state_dict": {"a": NotTensors()}}, file)
    with pytest.raises(UserError, match="could run code"):
        read_foreign(file)
    torch.save({"epoch": 3}, file)
    with pytest.raises(UserError, match="not tensors: epoch"):
        read_foreign(file)
    torch.save({"model": {"conv1.weight": torch.ones(1)}}, file)
    assert main(["import-checkpoint", str(file), "--out", str(tmp_path / "out")]) == 2
    assert "neither the authors' release nor mmpose's" in capsys.readouterr().err
    assert main(["import-checkpoint", str(file), "--out", str(tmp_path / "out"), "--input", "255x192"]) == 2


def torchvision_resnet(bottleneck: bool, counts: tuple[int, ...]) -> dict[str, Tensor]:
    """Random weights of a ResNet in torchvision's names and shapes, the classifier included."""
    state: dict[str, Tensor] = {}

    def unit(conv: str, norm: str, i: int, o: int, k: int) -> None:
        state[f"{conv}.weight"] = torch.randn(o, i, k, k)
        for part in ("weight", "bias", "running_mean", "running_var"):
            state[f"{norm}.{part}"] = torch.rand(o)

    unit("conv1", "bn1", 3, 64, 7)
    i = 64
    for number, (middle, count) in enumerate(zip((64, 128, 256, 512), counts, strict=True), start=1):
        o = middle * 4 if bottleneck else middle
        for b in range(count):
            name = f"layer{number}.{b}"
            shapes = (
                [(i, middle, 1), (middle, middle, 3), (middle, o, 1)]
                if bottleneck
                else [(i, o, 3), (o, o, 3)]
            )
            for c, (a, e, k) in enumerate(shapes, start=1):
                unit(f"{name}.conv{c}", f"{name}.bn{c}", a, e, k)
            if i != o:
                unit(f"{name}.downsample.0", f"{name}.downsample.1", i, o, 1)
            i = o
    return {**state, "fc.weight": torch.randn(1000, i), "fc.bias": torch.randn(1000)}


@pytest.mark.parametrize(
    ("name", "file", "bottleneck", "counts", "down_paths"),
    [
        ("mspn-2", "resnet50-0676ba61.pth", True, (3, 4, 6, 3), ["stages.0.down", "stages.1.down"]),
        ("mspn-2xres18", "resnet18.pth", False, (2, 2, 2, 2), ["stages.0.down", "stages.1.down"]),
        ("simple-baseline-50", "resnet50.pth", True, (3, 4, 6, 3), ["down"]),
    ],
)
def test_imagenet_weights_start_every_down_path(
    tmp_path: Path, name: str, file: str, bottleneck: bool, counts: tuple[int, ...], down_paths: list[str]
) -> None:
    torch.manual_seed(1)
    source = torchvision_resnet(bottleneck, counts)
    torch.save(source, tmp_path / file)
    network = build_network(name, scales=1)
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    assert f"in {len(down_paths)} down paths" in load_imagenet(network, tmp_path)
    state = network.state_dict()
    assert torch.equal(state["stem.conv.conv.weight"], source["conv1.weight"].flip(1))
    untouched = {key for key in state if not key.startswith(("stem.", *(f"{path}." for path in down_paths)))}
    assert all(torch.equal(state[key], before[key]) for key in untouched)
    last = counts[3] - 1
    for path in down_paths:
        assert torch.equal(
            state[f"{path}.layers.1.0.shortcut.norm.bias"], source["layer2.0.downsample.1.bias"]
        )
        assert torch.equal(
            state[f"{path}.layers.3.{last}.conv2.conv.weight"], source[f"layer4.{last}.conv2.weight"]
        )
        changed = [key for key in state if key.startswith(path) and not torch.equal(state[key], before[key])]
        whole = [key for key in state if key.startswith(path) and not key.endswith("num_batches_tracked")]
        assert changed == whole


def test_imagenet_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    source = torchvision_resnet(True, (3, 4, 6, 3))
    file = tmp_path / "resnet50.pth"
    network = build_network("mspn-1")
    before = network.state_dict()["stem.conv.conv.weight"].clone()
    with pytest.raises(UserError, match=r"no resnet50\.pth"):
        load_imagenet(network, tmp_path)
    torch.save({k: v for k, v in source.items() if k != "layer3.5.bn3.bias"} | {"more": torch.ones(1)}, file)
    with pytest.raises(UserError, match=r"(?s)layer3\.5\.bn3\.bias: missing.*more: left over"):
        load_imagenet(network, file)
    assert torch.equal(network.state_dict()["stem.conv.conv.weight"], before)
    torch.save(source, file)
    with pytest.raises(UserError, match=r"conv1\.weight: \(64, 3, 7, 7\) instead of"):
        load_imagenet(build_network("mspn-1", width=0.25), file)
    with pytest.raises(UserError, match=r"layer3\.69"):
        load_imagenet(build_network("resnet-254"), file)  # a file meant for it must fit it whole
    for name in ("resnet-254", "l-xcp", "hourglass-1", "hrnet-w32"):
        with torch.device("meta"):
            network = build_network(name, scales=1)
        assert load_imagenet(network, tmp_path).startswith("trained from scratch")
