"""Every network of the table: shapes, gradients, parameters, initial weights, and golden outputs."""

import re
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from baselines.hourglass import hourglass
from mspn.experiment.networks import NETWORKS
from mspn.networks.blocks import channels, resize
from mspn.networks.build import build_network
from mspn.networks.mspn import MSPN, mspn
from mspn.networks.resnet import Bottleneck
from mspn.networks.xception import XCEPTIONS

STAGES = {
    **dict.fromkeys(NETWORKS, 1),
    **{name: int(match[1]) for name in NETWORKS if (match := re.match(r"(?:mspn|hourglass)-(\d)", name))},
}
# Trained parameters at full width with 17 joints, auxiliary heads included: scales 4, then scales 1.
PARAMETERS = {
    "mspn-1": (25_112_264, 24_796_514),
    "mspn-2": (56_800_464, 56_168_964),
    "mspn-3": (88_488_664, 87_541_414),
    "mspn-4": (120_176_864, 118_913_864),
    "mspn-2-nocsfa": (50_231_504, 49_600_004),
    "mspn-2xres18": (24_691_664, 24_060_164),
    "resnet-101": (44_104_392, 43_788_642),
    "resnet-152": (59_748_040, 59_432_290),
    "resnet-254": (97_732_296, 97_416_546),
    "l-xcp": (39_366_632, 39_050_882),
    "mspn-4xs-xcp": (29_166_304, 27_903_304),
    "hourglass-1": (3_748_868, 3_537_617),
    "hourglass-2": (7_097_416, 6_674_914),
    "hourglass-4": (13_794_512, 12_949_508),
    "hourglass-8": (27_188_704, 25_498_696),
    "hourglass-2-wide": (77_962_152, 77_079_874),
    "hourglass-4-csfa": (15_379_664, 14_534_660),
    "simple-baseline-50": (34_043_268, 33_999_697),
    "simple-baseline-152": (68_679_044, 68_635_473),
    "hrnet-w32": (29_313_764, 28_536_113),
    "hrnet-w48": (65_337_428, 63_595_745),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_shapes_and_gradients(name: str) -> None:
    """At the smallest width, at inputs with odd features: 5 columns and 3, or 3 and 2."""
    torch.manual_seed(0)
    network = build_network(name, joints=5, scales=4, width=1 / 16)
    assert len(network.stages) == STAGES[name]  # type: ignore[arg-type]
    images = torch.randn(2, 3, 64, 48)
    heat_maps = network(images, all_stages=True)
    assert heat_maps.shape == (2, STAGES[name], 4, 5, 16, 12)
    heat_maps.sub(1).square().mean().backward()
    without = [key for key, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert not without
    network.eval()
    with torch.no_grad():
        assert torch.equal(network(images), network(images, all_stages=True)[:, -1, -1])
        finest_only = build_network(name, joints=5, scales=1, width=1 / 16).eval()
        images = torch.randn(1, 3, 96, 72)
        heat_maps = finest_only(images, all_stages=True)
        assert heat_maps.shape == (1, STAGES[name], 1, 5, 24, 18)
        assert torch.equal(finest_only(images), heat_maps[:, -1, -1])


@pytest.mark.parametrize("name", NETWORKS)
def test_parameters_at_full_width(name: str) -> None:
    with torch.device("meta"):
        networks = [build_network(name, scales=scales) for scales in (4, 1)]
    assert tuple(sum(p.numel() for p in network.parameters()) for network in networks) == PARAMETERS[name]


def test_parameters_by_hand() -> None:
    """One stage of MSPN from its recipe: convolutions, and two numbers per channel of each batch norm."""
    convolutions, norms, before = 3 * 64 * 49, 64, 64  # stem
    for middle, blocks in ((64, 3), (128, 4), (256, 6), (512, 3)):
        out = 4 * middle
        convolutions += before * out  # shortcut
        norms += out
        for block in range(blocks):
            convolutions += (before if block == 0 else out) * middle + 9 * middle**2 + middle * out
            norms += 2 * middle + out
        before = out
    for level, width in enumerate((2048, 1024, 512, 256)):
        convolutions += width * 256 + (256 * 256 if level else 0)  # lateral, from the coarser
        convolutions += 256 * 256 + 9 * 256 * 17  # head
        norms += 256 + (256 if level else 0) + 256 + 17
    assert convolutions + 2 * norms == PARAMETERS["mspn-1"][0]
    aggregation = sum(d * d + 256 * d + 4 * d for d in (256, 512, 1024, 2048)) + 256 * 64 + 2 * 64
    stem = 3 * 64 * 49 + 2 * 64
    assert PARAMETERS["mspn-2"][0] == 2 * PARAMETERS["mspn-1"][0] - stem + aggregation


@pytest.mark.parametrize(
    ("network", "golden"),
    [
        (
            lambda: mspn(stages=2, down="resnet50", joints=3, width=0.0625, stride_on="1x1"),
            (-0.7078161, 4.196868, 30.82278, -2.425994),
        ),
        (
            lambda: mspn(stages=1, down="resnet50", joints=3, width=0.0625),
            (-1.0582717, 4.6526146, 17.457925, 1.3095916),
        ),
        (
            lambda: mspn(stages=1, down="resnet18", joints=3, width=0.0625),
            (-23.8043, 44.81633, 235.3463, -76.69914),
        ),
        (
            lambda: mspn(stages=2, down="s-xcp", joints=3, width=0.0625),
            (1.729577, 4.691115, 18.88255, 5.948053),
        ),
        (
            lambda: hourglass(stages=2, joints=3, scales=4, width=0.0625, aggregate=True),
            (0.2938904, 14.3359, 39.6914, -2.448422),
        ),
        (
            lambda: hourglass(stages=2, joints=3, width=0.0625, wide=True),
            (0.01253128, 7.207344, 26.56375, 24.30651),
        ),
        (
            lambda: build_network("simple-baseline-50", joints=3, width=0.0625),
            (0.1704821, 3.057031, 10.61039, -7.592589),
        ),
        (
            lambda: build_network("hrnet-w32", joints=3, width=0.0625),
            (2642623.0, 2.751386e7, 1.455188e8, 3.70214e7),
        ),
    ],
)
def test_golden_output(network: Any, golden: tuple[float, ...]) -> None:
    """Weights and images from formulas, in double precision: no generator, no rounding.

    A batch in train() first moves the running statistics; without it, deep networks overflow.
    """
    built = network().double()
    with torch.no_grad():
        for number, (name, tensor) in enumerate(sorted(built.state_dict().items())):
            if tensor.is_floating_point():
                wave = torch.sin(torch.arange(tensor.numel(), dtype=torch.float64) * 0.7 + number)
                spread = (2 / tensor[0].numel()) ** 0.5 if tensor.dim() == 4 else 0.25
                offset = 1.0 if name.endswith(("running_var", "norm.weight")) else 0.0
                tensor.copy_((wave * spread + offset).reshape(tensor.shape))
        images = torch.sin(torch.arange(2 * 3 * 64 * 48, dtype=torch.float64) * 0.37).reshape(2, 3, 64, 48)
        built(images)
        heat_maps = built.eval()(images, all_stages=True)
    figures = [heat_maps.mean(), heat_maps.std(), heat_maps.abs().max(), heat_maps[1, -1, 0, 2, 5, 7]]
    assert [float(figure) for figure in figures] == pytest.approx(golden, rel=1e-5)


def test_the_recipe_of_one_stage() -> None:
    """Both strides, aggregation and multi-scale heads are where the paper's description has them."""
    with torch.device("meta"):
        released = build_network("mspn-2", scales=4)
        plain = build_network("mspn-2-nocsfa", scales=1)
        paper = mspn(stages=2, down="resnet50", joints=17, stride_on="1x1")
    assert isinstance(released, MSPN) and isinstance(plain, MSPN)
    for network, strides in ((paper, (2, 1)), (released, (1, 2))):
        layer = network.stages[1].down.layers[2]
        assert isinstance(layer, nn.Sequential) and isinstance(block := layer[0], Bottleneck)
        assert tuple(unit.conv.stride[0] for unit in (block.conv1, block.conv2)) == strides
    assert [stage.aggregation is None for stage in released.stages] == [False, True]
    assert [stage.aggregation is None for stage in plain.stages] == [True, True]
    assert [len(stage.heads) for stage in released.stages] == [4, 4]
    assert [len(stage.heads) for stage in plain.stages] == [1, 1]
    assert all(stage.next_input is not None for stage in (released.stages[0], plain.stages[0]))


def test_aggregation_reaches_the_next_stage_at_every_scale() -> None:
    """With the input of the second stage cut off, what is carried alone still changes its heat maps."""
    for network in (
        mspn(stages=2, down="resnet18", joints=2, width=0.0625),
        hourglass(stages=2, joints=2, width=0.0625, aggregate=True),
    ):
        aggregation: Any = network.stages[0].aggregation
        network.eval()
        images = torch.randn(1, 3, 64, 64)
        with torch.no_grad():
            for level in range(4):
                for part in (aggregation.from_down, aggregation.from_up):
                    before = network(images)
                    part[level].norm.bias += 3.0
                    assert not torch.allclose(before, network(images))


def test_initial_weights() -> None:
    torch.manual_seed(0)
    network = build_network("mspn-1", scales=4, width=0.5)
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d) and module.weight.numel() > 4_000:
            outputs, inputs = (module.weight.shape[i] * module.weight[0, 0].numel() for i in (0, 1))
            in_down_path = name.startswith(("stem.", "stages.0.down."))
            variance = 2 / outputs if in_down_path else 1 / (3 * inputs)  # else torch's default
            assert float(module.weight.detach().std()) == pytest.approx(variance**0.5, rel=0.07), name
        if isinstance(module, nn.BatchNorm2d):
            assert module.weight.eq(1).all() and module.bias.eq(0).all()
    for name in ("hourglass-4", "hrnet-w32", "simple-baseline-50"):
        heat_maps = build_network(name, scales=4, width=0.125)(torch.randn(4, 3, 96, 72), all_stages=True)
        assert heat_maps.abs().max() < 1, name  # the targets peak at 255
    seeded = []
    for _ in range(2):
        torch.manual_seed(7)
        seeded.append(build_network("hourglass-1", width=0.0625).state_dict())
    assert all(torch.equal(seeded[0][key], seeded[1][key]) for key in seeded[0])


def test_channels() -> None:
    assert channels(386, 1.0) == 386
    assert [channels(64, width) for width in (0.5, 0.25, 0.125, 0.0625, 0.01)] == [32, 16, 8, 4, 4]
    assert all(channels(first * 8, 0.25) % 4 == 0 for first, _ in XCEPTIONS.values())
    for width in (0.0, -1.0, 1.5, float("nan")):
        with pytest.raises(ValueError, match="width"):
            channels(64, width)


def test_wrong_keywords_are_refused() -> None:
    wrong: list[dict[str, Any]] = [
        {"stages": 0, "down": "resnet50"},
        {"stages": 1, "down": "resnet34"},
        {"stages": 1, "down": "resnet50", "scales": 2},
        {"stages": 1, "down": "resnet50", "stride_on": "5x5"},
        {"stages": 1, "down": "resnet50", "width": 2.0},
    ]
    for keywords in wrong:
        with pytest.raises(ValueError):
            mspn(joints=17, **keywords)
    for name in ("hourglass-1", "simple-baseline-50", "hrnet-w32"):
        with pytest.raises(ValueError, match="scales=3"):
            build_network(name, scales=3)


def test_resize_aligns_corners() -> None:
    x = torch.arange(6.0).reshape(1, 1, 2, 3)
    assert resize(x, (2, 3)) is x
    expected = torch.tensor([[0.0, 0.5, 1, 1.5, 2], [1.5, 2, 2.5, 3, 3.5], [3, 3.5, 4, 4.5, 5]])
    assert torch.allclose(resize(x, (3, 5))[0, 0], expected)


def test_images_are_read_in_the_order_of_the_weights() -> None:
    torch.manual_seed(0)
    bgr = mspn(stages=1, down="resnet18", joints=2, width=0.0625).eval()
    rgb = mspn(stages=1, down="resnet18", joints=2, width=0.0625, rgb_input=True).eval()
    rgb.load_state_dict(bgr.state_dict())
    images: Tensor = torch.randn(1, 3, 64, 48)
    assert torch.equal(rgb(images), bgr(images.flip(1)))
    assert not torch.equal(rgb(images), bgr(images))
