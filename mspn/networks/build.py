"""Build a network by name, or by the constructor that its weights name."""

import importlib
from typing import Any

from torch import nn

from mspn.errors import UserError
from mspn.experiment.networks import network_spec


def construct(path: str, keywords: dict[str, Any]) -> nn.Module:
    """Call the constructor at ``package.module:function`` with keywords."""
    module, function = path.split(":")
    if not module.startswith(("mspn.networks.", "baselines.")):
        raise UserError(f"{path!r} is not a network of this project")
    network: nn.Module = getattr(importlib.import_module(module), function)(**keywords)
    return network


def build_network(name: str, *, joints: int = 17, scales: int = 4, width: float = 1.0) -> nn.Module:
    """Build a network by name.

    ``network(images)`` gives the last stage's finest heat maps (N, K, H/4, W/4); ``network(images,
    all_stages=True)`` gives those of every stage and supervised scale as one tensor (N, S, L, K, H/4, W/4),
    stages in order, scales coarsest first, all resized to the finest resolution. ``images`` is (N, 3, H, W),
    BGR, normalised. No loss, no activation on the heat maps. ``len(network.stages)`` is S.
    """
    path, keywords = network_spec(name)
    return construct(path, {**keywords, "joints": joints, "scales": scales, "width": width})
