"""Whether a network of one's own keeps what the benchmark asks of a network.

What it asks is told in ``mspn.networks.build.build_network``.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mspn.errors import UserError, shown
from mspn.experiment.experiment import Experiment
from mspn.experiment.networks import import_function, is_own
from mspn.networks.build import definition

IMAGES = 2
SAVED = (torch.float32, torch.int64)  # what a file of weights holds


@dataclass(frozen=True)
class Kept:
    """What was seen of a network that keeps the contract."""

    network: str
    stages: int
    parameters: int
    output: tuple[int, ...]


def own_networks(experiment: Experiment) -> list[Kept]:
    """Check the users' own networks among a scale's; UserError names the run and what is wrong."""
    found: dict[str, Kept] = {}
    for run in experiment.trained:
        if is_own(run.network):
            path, keywords = definition(run, experiment.scale.width)
            size = experiment.input_size(run)
            key = repr((path, keywords, size))
            try:
                found[key] = found.get(key) or check_network(path, keywords, size)
            except UserError as error:
                raise UserError(f"run {run.run!r}, network {run.network}: {error}") from None
    return list(found.values())


def check_network(path: str, keywords: dict[str, Any], input_size: tuple[int, int]) -> Kept:
    """Build a network on the meta device, without memory for weights, and run it once each way.

    ``path`` and ``keywords`` are a run's ``definition``, ``input_size`` is (height, width) in pixels.
    UserError where it cannot be built by the keywords, an output has another shape than it must have,
    stages are none, no gradient reaches a parameter, or a tensor is of a type that weights are not saved in.
    """
    function, joints, scales = import_function(path), keywords["joints"], keywords["scales"]
    height, columns = input_size[0] // 4, input_size[1] // 4
    said = ", ".join(f"{key}={value!r}" for key, value in keywords.items())
    with torch.device("meta"):
        try:
            network = function(**keywords)
        except Exception as error:
            raise UserError(f"{path}({said}) raises {_words(error)}") from None
        if not isinstance(network, nn.Module):
            raise UserError(f"{path}({said}) returns a {type(network).__name__}, not a torch.nn.Module")
        images = torch.zeros(IMAGES, 3, *input_size)
        single = _call(network.eval(), images, "network(images)")
        _check_shape(single, (IMAGES, joints, height, columns), "network(images)", "(N, K, H/4, W/4)")
        said = "network(images, all_stages=True)"
        maps = _call(network.train(), images, said, all_stages=True)
        stages = maps.shape[1] if maps.dim() == 6 else 1
        _check_shape(maps, (IMAGES, stages, scales, joints, height, columns), said, "(N, S, L, K, H/4, W/4)")
        if stages < 1:
            raise UserError(f"{said} has no stage")
        try:
            maps.sum().backward()
        except RuntimeError as error:
            raise UserError(f"{said} gives what has no gradient: {_words(error)}") from None
    parameters = dict(network.named_parameters())
    _none(
        (key for key, p in parameters.items() if p.requires_grad and p.grad is None),
        f"no gradient of {said} reaches",
    )
    _none(
        (f"{key} ({t.dtype})" for key, t in network.state_dict().items() if t.dtype not in SAVED),
        "weights are saved as float32 and int64 alone, not",
    )
    return Kept(path, stages, sum(p.numel() for p in parameters.values()), tuple(maps.shape))


def _call(network: nn.Module, images: Tensor, said: str, **more: bool) -> Tensor:
    try:
        found = network(images, **more)
    except Exception as error:
        raise UserError(f"{said} raises {_words(error)}, with images {tuple(images.shape)}") from None
    if not isinstance(found, Tensor):
        raise UserError(f"{said} gives a {type(found).__name__}, not a tensor")
    return found


def _check_shape(found: Tensor, wanted: tuple[int, ...], said: str, meaning: str) -> None:
    if tuple(found.shape) != wanted:
        raise UserError(f"{said} gives {tuple(found.shape)}, not {wanted}, which is {meaning}")


def _none(names: Iterable[str], problem: str) -> None:
    if there := list(names):
        more = f" and {len(there) - 5} more" if len(there) > 5 else ""
        raise UserError(f"{problem} {', '.join(there[:5])}{more}")


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {shown(str(error), 300)}"
