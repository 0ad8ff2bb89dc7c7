"""Build a network by name, or by the constructor that its weights name."""

import importlib
from collections.abc import Callable
from typing import Any

from torch import nn

from mspn.data.skeletons import skeleton
from mspn.errors import UserError, shown
from mspn.experiment.grid import SUPERVISIONS, Run
from mspn.experiment.networks import NETWORKS, network_spec


def constructor(path: str) -> Callable[..., nn.Module]:
    """The constructor at ``package.module:function``; UserError for anything but a network of the benchmark.

    The path may come from a file of weights, which must not choose what else is called.
    """
    if path not in {known for known, _ in NETWORKS.values()}:
        raise UserError(f"'{shown(path)}' is not a network of this project")
    module, function = path.split(":")
    found: Callable[..., nn.Module] = getattr(importlib.import_module(module), function)
    return found


def construct(path: str, keywords: dict[str, Any]) -> nn.Module:
    """Call the constructor at ``package.module:function`` with keywords."""
    return constructor(path)(**keywords)


def definition(run: Run, width: float) -> tuple[str, dict[str, Any]]:
    """The constructor of a run's network and all its keywords, at a width: what `construct` takes."""
    path, keywords = network_spec(run.network)
    joints, scales = len(skeleton(run.joint_set).joints), SUPERVISIONS[run.supervision][0]
    return path, {**keywords, "joints": joints, "scales": scales, "width": width}


def build_network(name: str, *, joints: int = 17, scales: int = 4, width: float = 1.0) -> nn.Module:
    """Build a network by name.

    ``network(images)`` gives the last stage's finest heat maps (N, K, H/4, W/4); ``network(images,
    all_stages=True)`` gives those of every stage and supervised scale as one tensor (N, S, L, K, H/4, W/4),
    stages in order, scales coarsest first, all resized to the finest resolution. ``images`` is (N, 3, H, W),
    BGR, normalised. No loss, no activation on the heat maps. ``len(network.stages)`` is S.
    """
    path, keywords = network_spec(name)
    return construct(path, {**keywords, "joints": joints, "scales": scales, "width": width})
