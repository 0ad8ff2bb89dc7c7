"""Build a network by name, or by the constructor that its weights name."""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import nn

from mspn.data.skeletons import skeleton
from mspn.errors import UserError, shown
from mspn.experiment.grid import GRID, SUPERVISIONS, Run, load_grid
from mspn.experiment.networks import NETWORKS, import_function, is_own, network_spec

PROJECTS = frozenset(path for path, _ in NETWORKS.values())


def constructor(path: str) -> Callable[..., nn.Module]:
    """The constructor at ``package.module:function``, of the benchmark or named in the grid; else UserError.

    The path may come from a file of weights, which must not choose what else is called.
    """
    if path not in PROJECTS and path not in _in_grid():
        raise UserError(f"'{shown(path)}' is not a network of this project, nor does a row of {GRID} name it")
    return import_function(path)


def _in_grid() -> set[str]:
    return {network_spec(run.network)[0] for run in load_grid().values() if is_own(run.network)}


def construct(path: str, keywords: dict[str, Any]) -> nn.Module:
    """Call the constructor at ``package.module:function``, as the grid or a checked header has it."""
    network: nn.Module = import_function(path)(**keywords)
    return network


def definition(run: Run, width: float) -> tuple[str, dict[str, Any]]:
    """The constructor of a run's network and all its keywords, at a width: what `construct` takes."""
    path, keywords = network_spec(run.network)
    joints, scales = len(skeleton(run.joint_set).joints), SUPERVISIONS[run.supervision][0]
    return path, {**keywords, "joints": joints, "scales": scales, "width": width}


def outline(run: Run, width: float) -> nn.Module:
    """A run's network on the meta device, in inference: names and shapes. Runs share it as it is."""
    path, keywords = definition(run, width)
    return _outline(path, tuple(keywords.items()))


@cache
def _outline(path: str, keywords: tuple[tuple[str, Any], ...]) -> nn.Module:
    with torch.device("meta"):
        return construct(path, dict(keywords)).eval()


def build_network(name: str, *, joints: int = 17, scales: int = 4, width: float = 1.0) -> nn.Module:
    """Build a network by name.

    ``network(images)`` gives the last stage's finest heat maps (N, K, H/4, W/4); ``network(images,
    all_stages=True)`` gives those of every stage and supervised scale as one tensor (N, S, L, K, H/4, W/4),
    stages in order, scales coarsest first, all resized to the finest resolution. ``images`` is (N, 3, H, W),
    BGR, normalised. No loss, no activation on the heat maps.
    """
    path, keywords = network_spec(name)
    return construct(path, {**keywords, "joints": joints, "scales": scales, "width": width})


def count_stages(path: str, keywords: dict[str, Any], input_size: tuple[int, int]) -> int:
    """The number of stages S of a network, asked of its output for an image of (height, width) pixels."""
    with torch.device("meta"), torch.no_grad():
        network = construct(path, keywords).eval()
        return int(network(torch.zeros(1, 3, *input_size), all_stages=True).shape[1])
