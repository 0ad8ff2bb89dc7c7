"""Weight files: safetensors with a header that says which network they are and where they come from.

A file holds tensors and one JSON text; nothing in it can run code. The header's keys: ``format`` (1),
``constructor`` and ``keywords`` (what builds the network), ``joint_set`` (its name), ``joints`` (the whole
joint set where it is not one of this program's), ``input_size`` ([height, width] in pixels), ``tensor_hash``,
and where it comes from: ``run``, ``seed``, ``training_id``, ``identity``, ``step``, ``source`` (free text).
"""

import hashlib
import importlib
import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from mspn.errors import UserError
from mspn.files import atomic
from mspn.networks.build import construct

FORMAT = 1
# What a network cannot be rebuilt and used without.
NEEDED = ("format", "constructor", "keywords", "joint_set", "input_size", "tensor_hash")


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


def complete_keywords(constructor: str, keywords: Mapping[str, Any]) -> dict[str, Any]:
    """The keywords with the constructor's defaults filled in: a later change of a default changes no file."""
    module, function = constructor.split(":")
    parameters = inspect.signature(getattr(importlib.import_module(module), function)).parameters.values()
    defaults = {p.name: p.default for p in parameters if p.default is not inspect.Parameter.empty}
    return {**defaults, **keywords}


def save_weights(path: Path | str, state: Mapping[str, Tensor], header: Mapping[str, Any]) -> dict[str, Any]:
    """Write a weight file atomically and return its whole header.

    ``state`` is a network's ``state_dict()``. ``header`` needs ``constructor``, ``keywords``, ``joint_set``
    and ``input_size``; ``format``, ``tensor_hash`` and the keywords' defaults are filled in here.
    """
    missing = set(NEEDED) - {"format", "tensor_hash"} - set(header)
    if missing:
        raise ValueError(f"{path}: the header lacks {sorted(missing)}")
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.items()}
    whole = {
        **header,
        "format": FORMAT,
        "keywords": complete_keywords(header["constructor"], header["keywords"]),
        "tensor_hash": tensor_hash(tensors),
    }
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
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            metadata = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise UserError(
            f"{path}: not a readable weight file ({error}); for a published .pth use `mspn import-checkpoint`"
        ) from None
    if "mspn" not in metadata:
        raise UserError(f"{path}: safetensors, but without the header of this project's weight files")
    try:
        header: dict[str, Any] = json.loads(metadata["mspn"])
    except json.JSONDecodeError as error:
        raise UserError(f"{path}: the header is not valid JSON: {error}") from None
    missing = [key for key in NEEDED if key not in header] if isinstance(header, dict) else list(NEEDED)
    if missing:
        raise UserError(f"{path}: the header lacks {', '.join(missing)}; write the file anew")
    if header["format"] != FORMAT:
        raise UserError(f"{path}: format {header['format']!r}; this version reads format {FORMAT}")
    found = tensor_hash(state)
    if found != header["tensor_hash"]:
        raise UserError(
            f"{path}: damaged: its tensors hash to {found[:12]}, not {str(header['tensor_hash'])[:12]}"
        )
    return state, header


def load_network(path: Path | str) -> tuple[nn.Module, dict[str, Any]]:
    """Build the network that a weight file holds, in eval mode, on the CPU, and return it with the header.

    Every tensor must fit: UserError lists those that are missing, left over or of another shape. Weights that
    were imported in part (header key ``partial``) are in part random, and are refused as well.
    """
    state, header = load_weights(path)
    if header.get("partial"):
        raise UserError(
            f"{path}: imported in part, {len(header['partial'])} tensors are random: train from it first"
        )
    try:
        with torch.device("meta"):
            network = construct(header["constructor"], header["keywords"])
    except (TypeError, ValueError, AttributeError, ImportError) as error:
        raise UserError(f"{path}: its network cannot be built by this version: {error}") from None
    own = network.state_dict()
    misfits = mismatches(own, state)
    if misfits:
        raise UserError(f"{path}: does not fit {header['constructor']}:\n" + "\n".join(misfits))
    network.load_state_dict(state, assign=True)
    return network.eval(), header


def mismatches(own: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> list[str]:
    """A line for every tensor that is missing, left over or of another shape."""
    lines = [f"  missing: {name} {tuple(own[name].shape)}" for name in own if name not in given]
    lines += [f"  left over: {name} {tuple(given[name].shape)}" for name in given if name not in own]
    lines += [
        f"  shape: {name} is {tuple(given[name].shape)}, the network's is {tuple(own[name].shape)}"
        for name in own
        if name in given and own[name].shape != given[name].shape
    ]
    return lines
