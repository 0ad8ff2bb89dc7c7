"""Whether a network of one's own keeps what the benchmark asks of a network; see ``build_network``."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mspn.data.skeletons import skeleton
from mspn.errors import UserError, shown
from mspn.experiment.experiment import Experiment
from mspn.experiment.grid import SUPERVISIONS
from mspn.experiment.networks import import_function, is_own, network_spec

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
    found = {}
    for run in experiment.trained:
        if is_own(run.network):
            decided = (len(skeleton(run.joint_set).joints), SUPERVISIONS[run.supervision][0])
            key = (run.network, *decided, experiment.input_size(run))
            try:
                found[key] = check_network(
                    run.network,
                    joints=decided[0],
                    scales=decided[1],
                    width=experiment.scale.width,
                    input_size=experiment.input_size(run),
                )
            except UserError as error:
                raise UserError(f"run {run.run!r}, network {run.network}: {error}") from None
    return list(found.values())


def check_network(name: str, *, joints: int, scales: int, width: float, input_size: tuple[int, int]) -> Kept:
    """Build a network on the meta device, without memory for weights, and run it once each way.

    UserError where it cannot be built by the keywords, an output has another shape than it must have, stages
    are none, no gradient reaches a parameter, or a tensor is of a type that weights are not saved in.
    """
    path, keywords = network_spec(name)
    given = {**keywords, "joints": joints, "scales": scales, "width": width}
    function, height, columns = import_function(path), input_size[0] // 4, input_size[1] // 4
    said = ", ".join(f"{key}={value!r}" for key, value in given.items())
    with torch.device("meta"):
        try:
            network = function(**given)
        except Exception as error:
            raise UserError(f"{path}({said}) raises {_words(error)}") from None
        if not isinstance(network, nn.Module):
            raise UserError(f"{path}({said}) returns a {type(network).__name__}, not a torch.nn.Module")
        images = torch.zeros(IMAGES, 3, *input_size)
        single = _call(network.eval(), images, "network(images)")
        maps = _call(network.train(), images, "network(images, all_stages=True)", all_stages=True)
        _check_shape(single, (IMAGES, joints, height, columns), "network(images)", "(N, K, H/4, W/4)")
        stages = maps.shape[1] if maps.dim() == 6 else 1
        wanted = (IMAGES, stages, scales, joints, height, columns)
        _check_shape(maps, wanted, "network(images, all_stages=True)", "(N, S, L, K, H/4, W/4)")
        if stages < 1:
            raise UserError("network(images, all_stages=True) has no stage")
        maps.sum().backward()
    parameters = dict(network.named_parameters())
    _none(
        (key for key, p in parameters.items() if p.requires_grad and p.grad is None),
        "no gradient of network(images, all_stages=True) reaches",
    )
    _none(
        (f"{key} ({t.dtype})" for key, t in network.state_dict().items() if t.dtype not in SAVED),
        "weights are saved as float32 and int64 alone, not",
    )
    return Kept(name, stages, sum(p.numel() for p in parameters.values()), tuple(maps.shape))


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
