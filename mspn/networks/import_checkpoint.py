"""Published MSPN weights, the authors' release and mmpose's, into this project's weight files.

Every unit of a network is a convolution with batch norm, and so is every unit of the published ones: a table
pairs them by name. The release has a bias on each convolution too; it is kept, so that the network computes
the same numbers in the same order, and can be trained on as it was.

This project's images are BGR, as the release's; mmpose's networks read RGB (``bgr_to_rgb`` in its MSPN
configurations, with the same mean and deviation for each colour). Such a network reverses the channels
itself, so that the same picture gives the same heat maps. The files that mmpose publishes are of its versions
0.x, which called the head ``keypoint_head``; its loader renames it since (``_load_state_dict_pre_hook``).
The mean and deviation that such a file may hold (``data_preprocessor``) must be this project's.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mspn.data.batches import DEVIATION, MEAN
from mspn.data.skeletons import COCO, MPII
from mspn.errors import UserError, shown
from mspn.files import sha256
from mspn.networks.foreign import Unit, read_foreign, refuse, transfer
from mspn.networks.header import MOST_STAGES, check_input_size
from mspn.networks.mspn import mspn
from mspn.networks.resnet import RESNETS
from mspn.networks.weights import save_weights


class Published(NamedTuple):
    """How a layout differs; it is known by the name of its first convolution, and of its heads if apart."""

    first: str
    heads: str  # what the names of heads begin with, where they are apart from the stages
    order: str  # of the input's channels, "rgb" or "bgr"
    biases: bool  # of its convolutions


LAYOUTS = {
    "released": Published("top.conv.conv.weight", "", "bgr", True),
    "mmpose-0.x": Published("backbone.top.top.0.conv.weight", "keypoint_head.", "rgb", False),
    "mmpose": Published("backbone.top.top.0.conv.weight", "head.", "rgb", False),
}
DEFAULT_INPUT = {"coco": (256, 192), "mpii": (256, 256)}


@dataclass(frozen=True)
class Import:
    """What was read: the network's keywords and weights, and what there is to tell about them."""

    layout: str
    keywords: dict[str, Any]
    joint_set: str
    state: dict[str, Tensor]
    random: list[str]  # this project's units that keep their initial weights, as allowed
    left_over: list[str]  # the source's names that are not used, as allowed
    same: list[str]  # the source's names that were compared with this project's constants, and are equal


def detect_layout(state: Mapping[str, Tensor], place: str) -> str:
    """The layout whose first convolution and heads are there; UserError if none is."""
    for name, layout in LAYOUTS.items():
        if layout.first in state and any(there.startswith(layout.heads) for there in state):
            return name
    firsts = " or ".join(dict.fromkeys(layout.first for layout in LAYOUTS.values()))
    raise UserError(
        f"{place}: neither the authors' release nor mmpose's MSPN with its heads: it has no {firsts}, or no "
        f"head; it begins with {', '.join(map(shown, list(state)[:3]))}"
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
                apart = f"{LAYOUTS[layout].heads}predict_layers.{4 * s + scale}.conv_layers.{i}"
                yield unit(f"{own}.heads.{scale}.{i}", head if released else apart)
        if s < stages - 1:
            yield unit(f"{own}.next_input", f"{stage}.upsample.up4.cross_conv")


def read_mspn(path: Path | str, allow_partial: Sequence[str] = (), channels: str | None = None) -> Import:
    """A published MSPN of any number of stages on a bottleneck ResNet, in this project's names.

    ``allow_partial``: shell patterns of the source's names that may be missing, left over or of another
    shape; the unit (convolution and batch norm) of such a name keeps its random initial weights.
    ``channels``: "rgb" or "bgr" if the network read its images otherwise than its layout usually does. Raises
    UserError that lists every other name that does not fit, or says that the file is of neither layout.
    """
    return adopt(read_foreign(path), str(path), allow_partial, channels)


def adopt(
    source: Mapping[str, Tensor],
    place: str,
    allow_partial: Sequence[str] = (),
    channels: str | None = None,
) -> Import:
    """``read_mspn`` of tensors that are read already; ``place`` is what an error names."""
    name = detect_layout(source, place)
    layout = LAYOUTS[name]
    keywords, counts, joint_set = _infer(source, name, place)
    order = channels or layout.order
    keywords |= {"conv_bias": layout.biases, "rgb_input": order == "rgb"}
    with torch.device("meta"):
        own = mspn(**keywords).state_dict()
    pairs = list(units(name, keywords["stages"], counts))
    assert {f"{unit.own}.conv.weight" for unit in pairs} == {
        key for key in own if key.endswith("conv.weight")
    }
    read = transfer(source, own, pairs, biases=layout.biases)
    constants = _normalisation(source, order)
    misfits = {there: why for there, why in (read.misfits | constants).items() if why}
    refuse(f"{place} ({name} layout)", misfits, allow_partial)
    left_over = [there for there, why in misfits.items() if why == "left over"]
    state = _with_random(read.state, own, keywords, place) if read.unread else read.state
    same = [there for there, why in constants.items() if not why]
    return Import(name, keywords, joint_set, state, read.unread, left_over, same)


def _normalisation(source: Mapping[str, Tensor], order: str) -> dict[str, str]:
    """mmpose's own mean and deviation, if they are there: what is wrong with each, empty where it is ours."""
    wrong = {}
    for name, ours in (("data_preprocessor.mean", MEAN), ("data_preprocessor.std", DEVIATION)):
        if name in source:
            given = source[name].detach()
            wanted = 255 * torch.tensor(ours if order == "bgr" else ours[::-1])
            same = given.numel() == 3 and given.is_floating_point()
            same = same and torch.allclose(given.flatten().float(), wanted, atol=0.01)
            numbers = ", ".join(f"{x:.2f}" for x in wanted.tolist())
            wrong[name] = "" if same else f"not {numbers}, by which images are normalised here"
    return wrong


def _with_random(
    state: dict[str, Tensor], own: Mapping[str, Tensor], keywords: dict[str, Any], place: str
) -> dict[str, Tensor]:
    """The state with initial weights where it has none; UserError where that would be most of the network."""
    there, whole = (sum(tensor.numel() for tensor in tensors.values()) for tensors in (state, own))
    if 2 * there < whole:
        raise UserError(f"{place}: holds {100 * there // whole} % of the network; at least half is needed")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return mspn(**keywords).state_dict() | state


def _infer(
    source: Mapping[str, Tensor], layout: str, place: str
) -> tuple[dict[str, Any], tuple[int, ...], str]:
    """The keywords of the network, the blocks of each layer, and the joint set, from names and shapes."""
    stage = r"stage([0-9]{1,3})\." if layout == "released" else r"backbone\.multi_stage_mspn\.([0-9]{1,3})\."
    block = r".*downsample\.layer([1-4])\.([0-9]{1,3})\."
    stages = {int(match[1]) for name in source if (match := re.match(stage, name))}
    blocks = {(int(match[1]), int(match[2])) for name in source if (match := re.match(block, name))}
    counts = tuple(len([b for layer, b in blocks if layer == number]) for number in (1, 2, 3, 4))
    down = [name for name, (bottleneck, have) in RESNETS.items() if bottleneck and have == counts]
    head = "res_conv2.conv.weight" if layout == "released" else "conv_layers.1.conv.weight"
    joints = [tensor.shape[0] for name, tensor in source.items() if name.endswith(head) and tensor.ndim]
    sets = [known.name for known in (COCO, MPII) if joints and len(known.joints) == joints[-1]]
    if not stages or max(stages) >= MOST_STAGES or not down or not sets:
        raise UserError(
            f"{place}: {layout} layout, stages {sorted(stages)}, blocks {counts}, "
            f"joints {sorted(set(joints))}: not an MSPN of at most {MOST_STAGES} stages on a bottleneck "
            "ResNet with COCO's 17 or MPII's 16 joints"
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
    if input_size is not None:
        check_input_size(input_size, "input")
    if Path(out).resolve() == Path(path).resolve():
        raise UserError(f"{out}: is the checkpoint itself; write to another file")
    read = read_mspn(path, allow_partial, channels)
    header: dict[str, Any] = {
        "constructor": "mspn.networks.mspn:mspn",
        "keywords": read.keywords,
        "joint_set": read.joint_set,
        "input_size": list(input_size or DEFAULT_INPUT[read.joint_set]),
        "source": f"imported from {shown(Path(path).name)}, sha256 {sha256(path)}: {read.layout} layout",
        **dict.fromkeys(("run", "seed", "training_id", "identity", "step")),
    }
    if read.random:
        header["partial"] = read.random
    return read, save_weights(out, read.state, header)
