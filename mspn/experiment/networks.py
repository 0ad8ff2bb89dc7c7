"""Every network of the benchmark by name: its constructor and the keywords that make the variant.

Constructors are named by import path, so that the workflow can check names without importing torch. A
network of one's own is not named here: a row of the grid gives its constructor, ``module:function``, and
after an ``@`` the family that it is tuned with, if not the module's.
"""

import importlib
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mspn.errors import UserError, shown
from mspn.experiment.identity import REVISIONS
from mspn.files import INSTALLED, PROJECT

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


OWN = re.compile(r"(?P<path>[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*)(@(?P<family>[a-z0-9][a-z0-9_-]*))?")


def is_own(name: str) -> bool:
    """Whether a network is the user's: a function of a module outside of this project."""
    return ":" in name


def network_spec(name: str) -> tuple[str, dict[str, Any]]:
    """The constructor's import path and keywords of a network; UserError lists the names there are."""
    if is_own(name):
        match = OWN.fullmatch(name)
        if not match:
            raise UserError(
                f"network {shown(name)!r} is not module:function, with @family behind it or without, such as "
                "mynets:tiny"
            )
        return match["path"], {}
    if name not in NETWORKS:
        raise UserError(
            f"unknown network {shown(name)!r}; there are: {', '.join(NETWORKS)}; or name one of your own, "
            "module:function"
        )
    return NETWORKS[name]


def family(name: str) -> str:
    """The family of a network, whose members are tuned together: as given, or its constructor's module."""
    path, _ = network_spec(name)
    given = OWN.fullmatch(name)
    return (given and given["family"]) or path.split(":")[0].rpartition(".")[-1]


def slug(name: str) -> str:
    """A network's name, without a given family, in a file's name: lower-case letters, digits, hyphens."""
    return re.sub("[^a-z0-9]+", "-", name.partition("@")[0].lower()).strip("-")


def revisions_of(name: str) -> dict[str, int]:
    """What declares that a network's code gives other results than it did, by part.

    The family's revision; of one's own network also the integer ``REVISION`` of its module, 1 without.
    """
    found = {key: REVISIONS[key] for key in (family(name),) if key in REVISIONS}
    if is_own(name):
        path, _ = network_spec(name)
        own = getattr(import_module(path.split(":")[0]), "REVISION", 1)
        if type(own) is not int:
            raise UserError(f"network {name}: REVISION of its module is {own!r}, not an integer")
        found[path] = own
    return found


def import_module(name: str) -> Any:
    """A module by its dotted name, from the working directory too; UserError says what keeps it from that."""
    here = str(Path.cwd())
    if name.startswith("baselines.") and INSTALLED:  # no name that another package may have
        name = f"mspn.{name}"
    elif name.startswith("baselines.") and str(PROJECT) not in sys.path:
        sys.path.insert(0, str(PROJECT))
    elif here not in sys.path:  # a console script's path begins elsewhere
        sys.path.append(here)
    try:
        return importlib.import_module(name)
    except Exception as error:
        raise UserError(
            f"module {name} cannot be imported ({type(error).__name__}: {shown(str(error), 300)}); it is "
            f"looked for among the installed packages and in {here}"
        ) from None


def import_function(path: str) -> Callable[..., Any]:
    """The function at ``module:function``; UserError where there is none."""
    module, name = path.split(":")
    found = getattr(import_module(module), name, None)
    if not callable(found):
        raise UserError(f"module {module} has no function {name}")
    function: Callable[..., Any] = found
    return function
