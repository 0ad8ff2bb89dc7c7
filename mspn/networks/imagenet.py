"""ImageNet weights of ResNets, in torchvision's names, as the start of a network's down paths.

torchvision's networks read RGB and this project's BGR: the stem's three input channels are reversed.
"""

from collections.abc import Iterator
from pathlib import Path

from torch import Tensor, nn

from mspn.errors import UserError
from mspn.networks.blocks import DownPath
from mspn.networks.import_checkpoint import Unit, read_foreign, refuse, transfer
from mspn.networks.resnet import RESNETS, Stem


def load_imagenet(network: nn.Module, path: Path | str) -> str:
    """Start every ResNet down path, and the stem, from ImageNet weights in torchvision's names.

    ``path``: a file, or a folder that holds ``resnet50.pth`` (or torchvision's own ``resnet50-<hash>.pth``)
    and so on. The network must have width 1. The classifier (``fc``) is not used. Anything else missing, left
    over or of another shape is a UserError that lists it. torchvision trained with the stride on the 3x3; the
    shapes fit either place. Returns a sentence that says what was done, for the log.

    Networks without published ImageNet weights (Res-254, the Xceptions, Hourglass; HRNet's have a layout of
    their own) start from scratch, and the answer says so. Res-254 is never started from a part of Res-152:
    whoever has weights of its own puts ``resnet254.pth`` into the folder.
    """
    paths = [(name, module) for name, module in network.named_modules() if isinstance(module, DownPath)]
    backbones = {down.backbone for _, down in paths}
    if len(backbones) != 1 or None in backbones:
        return "trained from scratch: no ImageNet weights are published for this network"
    backbone = str(backbones.pop())
    file = _imagenet_file(Path(path), backbone)
    if file is None:
        return f"trained from scratch: no ImageNet weights of {backbone} are published or in {path}"
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


def _imagenet_file(path: Path, backbone: str) -> Path | None:
    if not path.is_dir():
        return path
    found = sorted({*path.glob(f"{backbone}.pth"), *path.glob(f"{backbone}-*.pth")})
    if len(found) > 1:
        raise UserError(
            f"{path}: several weights for {backbone}: {', '.join(f.name for f in found)}; keep one"
        )
    if not found and backbone != "resnet254":
        raise UserError(f"{path}: no {backbone}.pth; put torchvision's ImageNet weights of {backbone} there")
    return found[0] if found else None


def _torchvision_units(own: str, backbone: str) -> Iterator[Unit]:
    bottleneck, counts = RESNETS[backbone]
    for level, count in enumerate(counts):
        for b in range(count):
            block, there = f"{own}.layers.{level}.{b}", f"layer{level + 1}.{b}"
            for i in (1, 2, 3) if bottleneck else (1, 2):
                yield Unit(f"{block}.conv{i}", f"{there}.conv{i}", f"{there}.bn{i}")
            if b == 0 and (bottleneck or level > 0):
                yield Unit(f"{block}.shortcut", f"{there}.downsample.0", f"{there}.downsample.1")
