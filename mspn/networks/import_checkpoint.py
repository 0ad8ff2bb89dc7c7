"""Published MSPN weights, the authors' release and mmpose's, into this project's weight files.

Every unit of a network is a convolution with batch norm, and so is every unit of the published ones: a table
pairs them by name. The release has a bias on each convolution too; it is kept, so that the network computes
the same numbers in the same order, and can be trained on as it was.

This project's images are BGR, as the release's; mmpose's networks read RGB (``bgr_to_rgb`` in its MSPN
configurations, with the same mean and deviation for each colour). Such a network reverses the channels
itself, so that the same picture gives the same heat maps.
"""

import pickle
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mspn.data.skeletons import COCO, MPII
from mspn.errors import UserError
from mspn.networks.mspn import mspn
from mspn.networks.resnet import RESNETS
from mspn.networks.weights import save_weights

BATCH_NORM = ("weight", "bias", "running_mean", "running_var")
COUNTER = "num_batches_tracked"  # optional in every layout; evaluation does not use it


class Published(NamedTuple):
    """How a layout differs: by the name of its first convolution it is known."""

    first: str
    order: str  # of the input's channels, "rgb" or "bgr"
    biases: bool  # of its convolutions


LAYOUTS = {
    "released": Published("top.conv.conv.weight", "bgr", True),
    "mmpose": Published("backbone.top.top.0.conv.weight", "rgb", False),
}
DEFAULT_INPUT = {"coco": (256, 192), "mpii": (256, 256)}


class Unit(NamedTuple):
    """A convolution with batch norm: this project's prefix, and the source's two."""

    own: str
    conv: str
    norm: str


@dataclass(frozen=True)
class Import:
    """What was read: the network's keywords and weights, and what there is to tell about them."""

    layout: str
    keywords: dict[str, Any]
    joint_set: str
    state: dict[str, Tensor]
    random: list[str]  # this project's units that keep their initial weights, as allowed
    left_over: list[str]  # the source's names that are not used, as allowed


def read_foreign(path: Path | str) -> dict[str, Tensor]:
    """The tensors of a torch file, from under ``model`` or ``state_dict`` and without a ``module.`` prefix.

    Read with ``weights_only``, so that the file cannot run code. UserError for anything but tensors by name.
    """
    path = Path(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"{path}: no such checkpoint") from None
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{path}: holds more than tensors, and is not loaded, as it could run code "
            f"({str(error).splitlines()[0]}); if you trust it, save its state_dict alone to a new file"
        ) from None
    except (RuntimeError, EOFError, OSError, ValueError) as error:
        raise UserError(f"{path}: not a readable torch checkpoint: {error}") from None
    for key in ("model", "state_dict"):
        if isinstance(content, dict) and isinstance(content.get(key), Mapping):
            content = content[key]
            break
    if not isinstance(content, Mapping) or not content:
        raise UserError(f"{path}: no named tensors in it, nor under 'model' or 'state_dict'")
    strange = [str(name) for name, value in content.items() if not isinstance(value, Tensor)]
    if strange:
        raise UserError(f"{path}: not tensors: {', '.join(strange[:5])}; expected a state_dict")
    return {str(name).removeprefix("module."): tensor for name, tensor in content.items()}


def detect_layout(state: Mapping[str, Tensor], place: str) -> str:
    """The layout whose first convolution is there; UserError if none is."""
    for name, layout in LAYOUTS.items():
        if layout.first in state:
            return name
    firsts = " or ".join(layout.first for layout in LAYOUTS.values())
    raise UserError(
        f"{place}: neither the authors' release nor mmpose's MSPN: it has no {firsts}; "
        f"it begins with {', '.join(list(state)[:3])}"
    )


def units(layout: str, stages: int, counts: Sequence[int]) -> Iterator[Unit]:
    """Every unit of a bottleneck MSPN with aggregation, in this project's names and the layout's."""
    released = layout == "released"

    def unit(own: str, there: str) -> Unit:
        return Unit(own, f"{there}.conv", f"{there}.bn")

    yield unit("stem.conv", "top.conv" if released else "backbone.top.top.0")
    for s in range(stages):
        own = f"stages.{s}"
        stage = f"stage{s}" if released else f"backbone.multi_stage_mspn.{s}"
        for level, count in enumerate(counts):
            for b in range(count):
                block, there = f"{own}.down.layers.{level}.{b}", f"{stage}.downsample.layer{level + 1}.{b}"
                for i in (1, 2, 3):
                    if released:
                        yield unit(f"{block}.conv{i}", f"{there}.conv_bn_relu{i}")
                    else:
                        yield Unit(f"{block}.conv{i}", f"{there}.conv{i}", f"{there}.bn{i}")
                if b == 0:
                    yield unit(f"{block}.shortcut", f"{there}.downsample")
        for scale in range(4):  # coarsest first, as up1 to up4 are
            level, there = 3 - scale, f"{stage}.upsample.up{scale + 1}"
            yield unit(f"{own}.up.lateral.{level}", f"{there}.{'u_skip' if released else 'in_skip'}")
            if scale > 0:
                yield unit(f"{own}.up.up.{level}", f"{there}.up_conv")
            if s < stages - 1:
                skip = f"{there}.{'skip' if released else 'out_skip'}"
                yield unit(f"{own}.aggregation.from_down.{level}", f"{skip}1")
                yield unit(f"{own}.aggregation.from_up.{level}", f"{skip}2")
            for i in (0, 1):
                head = f"{there}.res_conv{i + 1}"
                apart = f"head.predict_layers.{4 * s + scale}.conv_layers.{i}"
                yield unit(f"{own}.heads.{scale}.{i}", head if released else apart)
        if s < stages - 1:
            yield unit(f"{own}.next_input", f"{stage}.upsample.up4.cross_conv")


@dataclass(frozen=True)
class Transfer:
    """Tensors in this project's names, and what did not fit."""

    state: dict[str, Tensor]
    unread: list[str]  # this project's units that are not whole in the source
    misfits: dict[str, str]  # the source's name -> "missing", "left over" or which shape is wrong


def transfer(
    source: Mapping[str, Tensor], own: Mapping[str, Tensor], pairs: Sequence[Unit], *, biases: bool = False
) -> Transfer:
    """Read every unit of ``pairs`` from ``source`` into tensors of ``own``'s names and shapes.

    A unit is read whole or not at all. ``biases``: its convolution has one.
    """
    state: dict[str, Tensor] = {}
    unread: list[str] = []
    misfits: dict[str, str] = {}
    used: set[str] = set()
    for unit in pairs:
        names = {f"{unit.conv}.weight": f"{unit.own}.conv.weight"}
        if biases:
            names[f"{unit.conv}.bias"] = f"{unit.own}.conv.bias"
        names |= {f"{unit.norm}.{part}": f"{unit.own}.norm.{part}" for part in BATCH_NORM}
        wrong = {there: _misfit(source.get(there), own[name]) for there, name in names.items()}
        misfits |= {there: why for there, why in wrong.items() if why}
        used |= {*names, f"{unit.norm}.{COUNTER}"}
        if any(wrong.values()):
            unread.append(unit.own)
            continue
        state |= {name: source[there].detach().to(own[name].dtype) for there, name in names.items()}
        counter = f"{unit.own}.norm.{COUNTER}"
        state[counter] = source.get(f"{unit.norm}.{COUNTER}", torch.zeros_like(own[counter]))
    misfits |= dict.fromkeys((name for name in source if name not in used), "left over")
    return Transfer(state, unread, misfits)


def _misfit(there: Tensor | None, own: Tensor) -> str:
    if there is None:
        return "missing"
    return "" if there.shape == own.shape else f"{tuple(there.shape)} instead of {tuple(own.shape)}"


def refuse(place: str, misfits: Mapping[str, str], allowed: Sequence[str] = ()) -> None:
    """UserError that lists the misfits which no pattern of ``allowed`` names, and patterns that name none."""
    lines = [
        f"  {name}: {why}"
        for name, why in misfits.items()
        if not any(fnmatchcase(name, pattern) for pattern in allowed)
    ]
    lines += [
        f"  {pattern}: this pattern allows nothing that is missing or left over"
        for pattern in allowed
        if not any(fnmatchcase(name, pattern) for name in misfits)
    ]
    if lines:
        raise UserError(f"{place}: {len(lines)} names do not fit\n" + "\n".join(lines))


def read_mspn(path: Path | str, allow_partial: Sequence[str] = (), channels: str | None = None) -> Import:
    """A published MSPN of any number of stages on a bottleneck ResNet, in this project's names.

    ``allow_partial``: shell patterns of the source's names that may be missing, left over or of another
    shape; the unit (convolution and batch norm) of such a name keeps its random initial weights.
    ``channels``: "rgb" or "bgr" if the network read its images otherwise than its layout usually does. Raises
    UserError that lists every other name that does not fit, or says that the file is of neither layout.
    """
    source = read_foreign(path)
    name = detect_layout(source, str(path))
    layout = LAYOUTS[name]
    keywords, counts, joint_set = _infer(source, name, str(path))
    keywords |= {"conv_bias": layout.biases, "rgb_input": (channels or layout.order) == "rgb"}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        own = mspn(**keywords).state_dict()
    pairs = list(units(name, keywords["stages"], counts))
    assert {f"{unit.own}.conv.weight" for unit in pairs} == {
        key for key in own if key.endswith("conv.weight")
    }
    read = transfer(source, own, pairs, biases=layout.biases)
    refuse(f"{path} ({name} layout)", read.misfits, allow_partial)
    left_over = [there for there, why in read.misfits.items() if why == "left over"]
    return Import(name, keywords, joint_set, own | read.state, read.unread, left_over)


def _infer(
    source: Mapping[str, Tensor], layout: str, place: str
) -> tuple[dict[str, Any], tuple[int, ...], str]:
    """The keywords of the network, the blocks of each layer, and the joint set, from names and shapes."""
    stage = r"stage(\d+)" if layout == "released" else r"backbone\.multi_stage_mspn\.(\d+)"
    stages = {int(match[1]) for name in source if (match := re.match(stage, name))}
    blocks = {
        (int(m[1]), int(m[2])) for name in source if (m := re.search(r"downsample\.layer(\d)\.(\d+)\.", name))
    }
    counts = tuple(len([b for layer, b in blocks if layer == number]) for number in (1, 2, 3, 4))
    down = [name for name, (bottleneck, have) in RESNETS.items() if bottleneck and have == counts]
    head = "res_conv2.conv.weight" if layout == "released" else "conv_layers.1.conv.weight"
    joints = [tensor.shape[0] for name, tensor in source.items() if name.endswith(head)]
    sets = [known.name for known in (COCO, MPII) if joints and len(known.joints) == joints[-1]]
    if not stages or not down or not sets:
        raise UserError(
            f"{place}: {layout} layout, stages {sorted(stages)}, blocks {counts}, joints {set(joints)}"
            ": not an MSPN on a bottleneck ResNet with COCO's 17 or MPII's 16 joints"
        )
    keywords = {
        "stages": max(stages) + 1, "down": down[0], "joints": joints[-1], "scales": 4, "width": 1.0,
        "aggregate": True, "stride_on": "3x3",
    }  # fmt: skip
    return keywords, counts, sets[0]


def import_checkpoint(
    path: Path | str,
    out: Path | str,
    *,
    input_size: tuple[int, int] | None = None,
    allow_partial: Sequence[str] = (),
    channels: str | None = None,
) -> tuple[Import, dict[str, Any]]:
    """Read a published MSPN and write it as this project's weight file; returns what was read and the header.

    ``input_size``: (height, width) in pixels that it was trained at; if not given, 256x192 for COCO and
    256x256 for MPII. The other arguments are ``read_mspn``'s.
    """
    read = read_mspn(path, allow_partial, channels)
    header: dict[str, Any] = {
        "constructor": "mspn.networks.mspn:mspn",
        "keywords": read.keywords,
        "joint_set": read.joint_set,
        "input_size": list(input_size or DEFAULT_INPUT[read.joint_set]),
        "source": f"imported from {Path(path).name}: {read.layout} layout",
        **dict.fromkeys(("run", "seed", "training_id", "identity", "step")),
    }
    if read.random:
        header["partial"] = read.random
    return read, save_weights(out, read.state, header)
