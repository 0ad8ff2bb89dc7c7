"""Every network of the benchmark by name: its constructor and the keywords that make the variant.

Constructors are named by import path, so that the workflow can check names and follow the code without
importing torch. To add a network: write a constructor, add a line here, add a row to the grid.
"""

from typing import Any

from mspn.errors import UserError

_MSPN = "mspn.networks.mspn:mspn"
_HOURGLASS = "baselines.hourglass:hourglass"
_SIMPLE_BASELINE = "baselines.simple_baseline:simple_baseline"
_HRNET = "baselines.hrnet:hrnet"

# name -> (constructor, keywords). Each constructor also takes, as keywords only, what a run decides:
# joints: int, scales: int (supervised scales: 4, or 1 for the finest alone), width: float.
NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {
    "mspn-1": (_MSPN, {"stages": 1, "down": "resnet50"}),
    "mspn-2": (_MSPN, {"stages": 2, "down": "resnet50"}),
    "mspn-3": (_MSPN, {"stages": 3, "down": "resnet50"}),
    "mspn-4": (_MSPN, {"stages": 4, "down": "resnet50"}),
    "mspn-2-nocsfa": (_MSPN, {"stages": 2, "down": "resnet50", "aggregate": False}),
    "mspn-2xres18": (_MSPN, {"stages": 2, "down": "resnet18"}),
    "resnet-101": (_MSPN, {"stages": 1, "down": "resnet101"}),
    "resnet-152": (_MSPN, {"stages": 1, "down": "resnet152"}),
    "resnet-254": (_MSPN, {"stages": 1, "down": "resnet254"}),
    "l-xcp": (_MSPN, {"stages": 1, "down": "l-xcp"}),
    "mspn-4xs-xcp": (_MSPN, {"stages": 4, "down": "s-xcp"}),
    "hourglass-1": (_HOURGLASS, {"stages": 1}),
    "hourglass-2": (_HOURGLASS, {"stages": 2}),
    "hourglass-4": (_HOURGLASS, {"stages": 4}),
    "hourglass-8": (_HOURGLASS, {"stages": 8}),
    "hourglass-2-wide": (_HOURGLASS, {"stages": 2, "wide": True}),
    "hourglass-4-csfa": (_HOURGLASS, {"stages": 4, "aggregate": True}),
    "simple-baseline-50": (_SIMPLE_BASELINE, {"down": "resnet50"}),
    "simple-baseline-152": (_SIMPLE_BASELINE, {"down": "resnet152"}),
    "hrnet-w32": (_HRNET, {"first": 32}),
    "hrnet-w48": (_HRNET, {"first": 48}),
}


def network_spec(name: str) -> tuple[str, dict[str, Any]]:
    """The constructor's import path and keywords of a network; UserError lists the names there are."""
    if name not in NETWORKS:
        raise UserError(f"unknown network {name!r}; there are: {', '.join(NETWORKS)}")
    return NETWORKS[name]


def family(name: str) -> str:
    """The family of a network, whose members are tuned together: the module of its constructor."""
    return network_spec(name)[0].split(":")[0].rpartition(".")[-1]
