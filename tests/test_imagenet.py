"""ImageNet weights in torchvision's names: every down path starts from them, and nothing else does."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from mspn.errors import UserError
from mspn.experiment.load import load_experiment
from mspn.networks.build import build_network
from mspn.networks.imagenet import load_imagenet, pretrain


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
    assert f"in {len(down_paths)} down paths" in load_imagenet(network, tmp_path / file)
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
    torch.save({k: v for k, v in source.items() if k != "layer3.5.bn3.bias"} | {"more": torch.ones(1)}, file)
    with pytest.raises(UserError, match=r"(?s)layer3\.5\.bn3\.bias: missing.*more: left over"):
        load_imagenet(network, file)
    assert torch.equal(network.state_dict()["stem.conv.conv.weight"], before)
    torch.save(source, file)
    with pytest.raises(UserError, match=r"conv1\.weight: \(64, 3, 7, 7\) instead of"):
        load_imagenet(build_network("mspn-1", width=0.25), file)
    with pytest.raises(UserError, match=r"layer3\.69"):
        load_imagenet(build_network("resnet-254"), file)  # a file meant for it must fit it whole
    with pytest.raises(UserError, match="no ResNet"), torch.device("meta"):
        load_imagenet(build_network("hourglass-1", scales=1), file)
    file.write_bytes(b"<html>404 Not Found</html>")
    with pytest.raises(UserError, match="a failed download: a page of HTML"):
        load_imagenet(network, file)


def test_published_weights_that_are_absent_are_asked_for(tmp_path: Path) -> None:
    smoke = load_experiment("smoke")
    experiment = replace(smoke, scale=smoke.scale.model_copy(update={"pretrained": tmp_path}))
    with torch.device("meta"):
        network = build_network("mspn-1")
    with pytest.raises(UserError, match=r"no resnet50\.pth; put torchvision's"):
        pretrain(network, experiment, experiment.run("mspn-1"))
    words = pretrain(network, experiment, experiment.run("hourglass-1"))
    assert words == "trained from scratch: no ImageNet weights are published for it"
    assert pretrain(network, smoke, smoke.run("mspn-1")) == "trained from scratch"
