"""Weight files: safetensors with a header that says which network they are and where they come from.

A file holds tensors and one JSON text; nothing in it can run code. The header's keys: ``format`` (1),
``constructor`` and ``keywords`` (what builds the network), ``joint_set`` (its name), ``joints`` (the whole
joint set where it is not one of this program's), ``input_size`` ([height, width] in pixels), ``tensor_hash``,
and where it comes from: ``run``, ``seed``, ``training_id``, ``identity``, ``step``, ``source`` (free text).
"""

import hashlib
import inspect
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from mspn.errors import UserError, shown
from mspn.files import atomic
from mspn.networks.build import PROJECTS, construct, constructor
from mspn.networks.downloads import refuse_other_files
from mspn.networks.header import FORMAT, check_header, parse_header

_TYPES = {"F32", "I64"}  # of a network's tensors: weights and statistics, and batch norm's counters
_FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


def tensor_hash(state: Mapping[str, Tensor]) -> str:
    """Hexadecimal SHA-256 of the names, types, shapes and values, in the order of the names.

    The bytes of a file depend on more than its tensors, so tensors are what is hashed.
    """
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def complete_keywords(path: str, keywords: Mapping[str, Any]) -> dict[str, Any]:
    """The keywords with the constructor's defaults filled in: a later change of a default changes no file.

    One's own network is left as it is: its defaults may be anything.
    """
    if path not in PROJECTS:
        return dict(keywords)
    parameters = inspect.signature(constructor(path)).parameters.values()
    defaults = {p.name: p.default for p in parameters if p.default is not inspect.Parameter.empty}
    return {**defaults, **keywords}


def save_weights(path: Path | str, state: Mapping[str, Tensor], header: Mapping[str, Any]) -> dict[str, Any]:
    """Write a weight file atomically and return its whole header.

    ``state`` is a network's ``state_dict()``. ``header`` needs ``constructor``, ``keywords``, ``joint_set``
    and ``input_size``; ``format``, ``tensor_hash`` and the keywords' defaults are filled in here. UserError
    for a header that could not be read back.
    """
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.items()}
    whole = {
        **header,
        "format": FORMAT,
        "keywords": complete_keywords(header["constructor"], header["keywords"]),
        "tensor_hash": tensor_hash(tensors),
    }
    check_header(whole, str(path))
    text = json.dumps(whole, sort_keys=True, allow_nan=False)
    with atomic(path) as temporary:
        save_file(tensors, temporary, metadata={"mspn": text})
        temporary.chmod(0o644)  # safetensors makes files that no one else on a shared cluster can read
    return dict(json.loads(text))


def load_weights(path: Path | str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors (on the CPU) and the header.

    Raises UserError for a file that is missing, damaged or not of this project.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such weights; train the run first, or import a published checkpoint")
    refuse_other_files(path, "safetensors")
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            metadata = file.metadata() or {}
            if "mspn" not in metadata:
                raise UserError(f"{path}: safetensors, but without the header of this project's weight files")
            header = parse_header(metadata["mspn"], str(path))
            types = {name: file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118
            wrong = [f"{shown(name)} is {kind}" for name, kind in types.items() if kind not in _TYPES]
            if wrong:
                raise UserError(f"{path}: weights of another type than F32: {', '.join(wrong[:5])}")
            state = {name: file.get_tensor(name) for name in types}
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path}: damaged: not readable safetensors ({shown(str(error))})") from None
    found = tensor_hash(state)
    if found != header["tensor_hash"]:
        raise UserError(
            f"{path}: damaged: its tensors hash to {found[:12]}, not {header['tensor_hash'][:12]}"
        )
    return state, header


def load_network(path: Path | str) -> tuple[nn.Module, dict[str, Any]]:
    """Build the network that a weight file holds, in eval mode, on the CPU, and return it with the header.

    Every tensor must fit: UserError lists those that are missing, left over, of another shape or type, or
    hold values that no network has. Weights that were imported in part (header key ``partial``) are in part
    random, and are refused as well.
    """
    state, header = load_weights(path)
    if header.get("partial"):
        raise UserError(
            f"{path}: imported in part, {len(header['partial'])} tensors are random: train from it first"
        )
    try:
        with torch.device("meta"):
            network = construct(header["constructor"], header["keywords"])
    except (TypeError, ValueError, RuntimeError) as error:
        raise UserError(f"{path}: its network cannot be built by this version: {error}") from None
    own = network.state_dict()
    misfits = mismatches(own, state)
    if misfits:
        raise UserError(f"{path}: does not fit {header['constructor']}:\n" + "\n".join(misfits))
    network.load_state_dict(state, assign=True)
    return network.eval(), header


def mismatches(own: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> list[str]:
    """A line for every tensor that is missing, left over or does not fit."""
    lines = [f"  missing: {name} {tuple(own[name].shape)}" for name in own if name not in given]
    lines += [f"  left over: {shown(name)} {tuple(given[name].shape)}" for name in given if name not in own]
    wrong = {name: misfit(name, given[name], own[name]) for name in own if name in given}
    return lines + [f"  wrong: {name}: {why}" for name, why in wrong.items() if why]


def misfit(name: str, given: Tensor, own: Tensor) -> str:
    """Why a tensor cannot be the network's ``own`` of the name; empty where it can.

    One floating point type is taken for another, as long as the values fit. ``own`` may be on meta.
    """
    if given.shape != own.shape:
        return f"{tuple(given.shape)} instead of {tuple(own.shape)}"
    if not own.is_floating_point():
        if given.dtype != own.dtype:
            return f"{given.dtype}, not {own.dtype}"
        return "" if bool((given >= 0).all()) else "a count below 0"
    if given.dtype not in _FLOATS:
        return f"{given.dtype}, not a floating point type"
    low, high = (float(value) for value in torch.aminmax(given.detach().to(own.dtype)))  # NaN if any is
    if not (math.isfinite(low) and math.isfinite(high)):
        return "NaN or infinity in it"
    if name.endswith("running_var") and low < 0:
        return "a variance below 0"
    return ""
