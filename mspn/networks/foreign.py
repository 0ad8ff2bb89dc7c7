"""Checkpoints from elsewhere: the tensors of a torch file by name, read into a network unit by unit.

A unit is a convolution with its batch norm. What does not fit is told by the checkpoint's own names.
"""

import pickle
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from mspn.errors import UserError, shown
from mspn.networks.downloads import refuse_other_files
from mspn.networks.weights import misfit

BATCH_NORM = ("weight", "bias", "running_mean", "running_var")
COUNTER = "num_batches_tracked"  # optional in every layout; evaluation does not use it


class Unit(NamedTuple):
    """A convolution with batch norm: this project's prefix, and the source's two."""

    own: str
    conv: str
    norm: str


def read_foreign(path: Path | str) -> dict[str, Tensor]:
    """The tensors of a torch file, from under ``model`` or ``state_dict`` and without a ``module.`` prefix.

    Read with ``weights_only``, so that the file cannot run code. UserError for a failed download and for
    anything but plain tensors by name.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such checkpoint")
    refuse_other_files(path, "torch")
    content = _load(path)
    for key in ("model", "state_dict"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
            break
    if not isinstance(content, Mapping) or not content:
        raise UserError(f"{path}: no named tensors in it, nor under 'model' or 'state_dict'")
    strange = [name for name, value in content.items() if not (isinstance(name, str) and _plain(value))]
    if strange:
        names = [shown(name) if isinstance(name, str) else "a name that is no text" for name in strange[:5]]
        raise UserError(f"{path}: not tensors by name: {', '.join(names)}; expected a state_dict")
    # Views of a single number, say, would make a huge network of a small file.
    if sum(tensor.nbytes for tensor in content.values()) > path.stat().st_size:
        raise UserError(f"{path}: its tensors are larger than the file itself; save its state_dict anew")
    state = {name.removeprefix("module."): tensor for name, tensor in content.items()}
    if len(state) < len(content):
        raise UserError(f"{path}: the same names with and without 'module.'; expected one state_dict")
    return state


def _load(path: Path) -> object:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a pickle's protocol, which a damaged byte changes
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if found := re.search(r"Unsupported (?:global: GLOBAL|class) ([\w.]+) was", str(error)):
            raise UserError(
                f"{path}: holds more than tensors ({shown(found[1])}), and is not loaded, as it could run "
                "code; where it was made, save its state_dict alone to a new file"
            ) from None
        raise UserError(f"{path}: damaged: torch cannot unpickle it; download it again") from None
    except Exception as error:  # torch's readers raise many kinds on a damaged file
        why = shown(f"{type(error).__name__}: {str(error).partition(chr(10))[0]}")
        raise UserError(f"{path}: damaged: not readable by torch ({why}); download it again") from None


def _plain(value: object) -> bool:
    """A tensor with a number in memory for each of its elements."""
    return (
        isinstance(value, Tensor)
        and value.layout == torch.strided
        and value.device.type == "cpu"
        and not (value.is_quantized or value.is_nested)
    )


@dataclass(frozen=True)
class Transfer:
    """Tensors in this project's names, and what did not fit."""

    state: dict[str, Tensor]
    unread: list[str]  # this project's units that are not whole in the source
    misfits: dict[str, str]  # the source's name -> "missing", "left over" or what is wrong with it


def transfer(
    source: Mapping[str, Tensor], own: Mapping[str, Tensor], pairs: Sequence[Unit], *, biases: bool = False
) -> Transfer:
    """Read every unit of ``pairs`` from ``source`` into tensors of ``own``'s names and shapes.

    A unit is read whole or not at all. ``biases``: its convolution has one. ``own`` may be on meta.
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
        counter, own_counter = f"{unit.norm}.{COUNTER}", f"{unit.own}.norm.{COUNTER}"
        if counter in source:
            names[counter] = own_counter
        wrong = {
            there: misfit(there, source[there], own[name]) if there in source else "missing"
            for there, name in names.items()
        }
        misfits |= {there: why for there, why in wrong.items() if why}
        used |= names.keys()
        if any(wrong.values()):
            unread.append(unit.own)
            continue
        state |= {name: source[there].detach().to(own[name].dtype) for there, name in names.items()}
        state.setdefault(own_counter, torch.zeros((), dtype=own[own_counter].dtype))
    misfits |= dict.fromkeys((name for name in source if name not in used), "left over")
    return Transfer(state, unread, misfits)


def refuse(place: str, misfits: Mapping[str, str], allowed: Sequence[str] = ()) -> None:
    """UserError that lists the misfits which no pattern of ``allowed`` names, and patterns that name none."""
    lines = [
        f"  {shown(name)}: {why}"
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
