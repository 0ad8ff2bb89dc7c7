"""From weight files and crops to heat maps: one network, or the mean of several of equal geometry."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.utils import fuse_conv_bn_eval

from mspn.data.batches import normalise
from mspn.data.skeletons import Skeleton, skeleton_of_weights
from mspn.errors import UserError
from mspn.networks.blocks import ConvNorm
from mspn.networks.weights import load_network
from mspn.training.hardware import autocast, set_arithmetic


@dataclass(frozen=True)
class Ensemble:
    """Networks that see the same input and predict the same joints; usually one."""

    networks: list[nn.Module]
    headers: list[dict[str, Any]]
    device: torch.device
    precision: str = "fp32"  # of their arithmetic: or tf32 or bf16

    @property
    def skeleton(self) -> Skeleton:
        """The joint set that all of them predict."""
        return skeleton_of_weights(self.headers[0])

    @property
    def input_size(self) -> tuple[int, int]:
        """(height, width) of the input in pixels."""
        height, width = self.headers[0]["input_size"]
        return int(height), int(width)


def load_ensemble(paths: Sequence[Path], device: torch.device, precision: str = "fp32") -> Ensemble:
    """Load weight files onto a device, on a GPU in the layout and with the settings of a training.

    UserError where one is missing, damaged or of another geometry.
    """
    loaded = [load_network(path) for path in paths]
    first = loaded[0][1]
    for path, (_, header) in zip(paths, loaded, strict=True):
        for key in ("joint_set", "joints", "input_size"):
            if header.get(key) != first.get(key):
                raise UserError(
                    f"{path}: {key} {header.get(key)}, {paths[0]} has {first.get(key)}; "
                    "an ensemble needs networks of equal geometry"
                )
    set_arithmetic(device, precision)
    layout = torch.channels_last if device.type == "cuda" else torch.preserve_format
    networks = [network.to(device).to(memory_format=layout) for network, _ in loaded]  # type: ignore[call-overload]
    return Ensemble(networks, [header for _, header in loaded], device, precision)


def quicken(ensemble: Ensemble) -> None:
    """Make the networks faster, in place: channels-last, and each batch norm folded into its convolution.

    Heat maps change by rounding. A network so changed is for use, not for training or saving.
    """
    for network in ensemble.networks:
        for module in network.modules():
            if isinstance(module, ConvNorm):
                module.conv = fuse_conv_bn_eval(module.conv, module.norm)
                module.norm = nn.Identity()  # type: ignore[assignment]
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


@torch.inference_mode()
def heat_maps(ensemble: Ensemble, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The finest heat maps of crops and of their mirror images, the mean over the networks.

    ``images`` is (N, H, W, 3) uint8, BGR. Returns two (N, K, H/4, W/4) float32 on the networks' device; the
    second as the networks gave it, not mirrored back. UserError on a number that is none.
    """
    inputs = normalise(images.to(ensemble.device, non_blocking=True))
    both = torch.cat([inputs, inputs.flip(-1)])
    with autocast(ensemble.device, ensemble.precision):
        total = ensemble.networks[0](both).float()
        for network in ensemble.networks[1:]:
            total = total + network(both).float()
    maps = total / len(ensemble.networks)
    if not bool(torch.isfinite(maps).all()):
        raise UserError("the network gave a heat map with a number that is none; train it again")
    straight, mirrored = maps.split(len(images))
    return straight, mirrored


@torch.inference_mode()
def stage_maps(ensemble: Ensemble, images: torch.Tensor) -> torch.Tensor:
    """The first network's heat maps of every stage and supervised scale: (N, S, L, K, H/4, W/4) float32."""
    with autocast(ensemble.device, ensemble.precision):
        maps: torch.Tensor = ensemble.networks[0](normalise(images.to(ensemble.device)), all_stages=True)
    return maps.float()
