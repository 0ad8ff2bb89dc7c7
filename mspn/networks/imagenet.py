"""ImageNet weights of ResNets, in torchvision's names, as the start of a network's down paths.

torchvision's networks read RGB and this project's BGR: the stem's three input channels are reversed.
"""

from collections.abc import Iterator
from pathlib import Path

from torch import Tensor, nn

from mspn.errors import UserError
from mspn.experiment.experiment import Experiment
from mspn.experiment.grid import Run
from mspn.experiment.load import PUBLISHED
from mspn.experiment.networks import network_spec
from mspn.networks.blocks import DownPath
from mspn.networks.foreign import Unit, read_foreign, refuse, transfer
from mspn.networks.resnet import RESNETS, Stem


def pretrain(network: nn.Module, experiment: Experiment, run: Run) -> str:
    """Start a run's network as its scale wants and say how; UserError where published weights are absent."""
    folder, file = experiment.scale.pretrained, experiment.pretrained_file(run)
    backbone = network_spec(run.network)[1].get("down")
    if file is not None:
        return load_imagenet(network, file)
    if folder is not None and backbone in PUBLISHED:
        raise UserError(
            f"{folder}: no {backbone}.pth; put torchvision's ImageNet weights of {backbone} there"
        )
    return "trained from scratch" + (": no ImageNet weights are published for it" if folder else "")


def load_imagenet(network: nn.Module, file: Path) -> str:
    """Start every ResNet down path, and the stem, from a file of ImageNet weights in torchvision's names.

    The network must have width 1. The classifier (``fc``) is not used. Anything else missing, left over or of
    another shape is a UserError that lists it. torchvision trained with the stride on the 3x3; the shapes fit
    either place. Returns a sentence that says what was done, for the log.
    """
    paths = [(name, module) for name, module in network.named_modules() if isinstance(module, DownPath)]
    backbones = {down.backbone for _, down in paths}
    if len(backbones) != 1 or None in backbones:
        raise UserError(f"{file}: the network has no ResNet to start from it")
    backbone = str(backbones.pop())
    source = read_foreign(file)
    own = network.state_dict()
    assert isinstance(network.stem, Stem)
    found: dict[str, Tensor] = {}
    for name, _ in paths:
        pairs = [Unit("stem.conv", "conv1", "bn1"), *_torchvision_units(name, backbone)]
        read = transfer(source, own, pairs)
        misfits = {there: why for there, why in read.misfits.items() if there not in ("fc.weight", "fc.bias")}
        refuse(f"{file} for {name} ({backbone}, width 1)", misfits)
        found |= read.state
    stem = "stem.conv.conv.weight"
    network.load_state_dict({**own, **found, stem: found[stem].flip(1)})
    return f"{backbone} of {file.name} in {len(paths)} down paths and the stem"


def _torchvision_units(own: str, backbone: str) -> Iterator[Unit]:
    bottleneck, counts = RESNETS[backbone]
    for level, count in enumerate(counts):
        for b in range(count):
            block, there = f"{own}.layers.{level}.{b}", f"layer{level + 1}.{b}"
            for i in (1, 2, 3) if bottleneck else (1, 2):
                yield Unit(f"{block}.conv{i}", f"{there}.conv{i}", f"{there}.bn{i}")
            if b == 0 and (bottleneck or level > 0):
                yield Unit(f"{block}.shortcut", f"{there}.downsample.0", f"{there}.downsample.1")
