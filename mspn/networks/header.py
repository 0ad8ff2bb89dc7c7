"""The header of a weight file: text of unknown origin, checked before anything is built by it.

Its keys are told in ``weights``.
"""

import inspect
import json
import math
import re
import typing
from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from mspn.data.skeletons import skeleton_of_weights
from mspn.errors import UserError, shown
from mspn.networks.build import PROJECTS, constructor

FORMAT = 1
# What a network cannot be rebuilt and used without.
NEEDED = ("format", "constructor", "keywords", "joint_set", "input_size", "tensor_hash")
# Where weights come from, for people and for the check that they are a run's; absent or null if not known.
TOLD: dict[str, type] = {"run": str, "training_id": str, "source": str, "seed": int, "step": int}
OWN_KEYWORDS: dict[str, Any] = {"joints": int, "scales": int, "width": float}  # of networks of one's own
MOST_STAGES = 16  # twice the deepest network of the benchmark: a small file must not build a huge network
SMALLEST_PX, LARGEST_PX = 16, 1024  # of an input's sides; the paper's are 192 to 384
DEEPEST = 32  # lists and mappings within each other; a training's header has 6


def parse_header(text: str, place: str) -> dict[str, Any]:
    """The JSON text as a checked header; UserError says what is wrong with it and where."""
    try:
        header = json.loads(text, parse_float=_number, parse_int=_whole, parse_constant=_no_number)
        json.dumps(header, ensure_ascii=False).encode()  # half of a surrogate pair is no text
    except RecursionError:
        raise UserError(f"{place}: the header is nested too deeply") from None
    except ValueError as error:
        raise UserError(f"{place}: the header is not valid JSON: {shown(str(error))}") from None
    check_header(header, place)
    return dict(header)


def _number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is too large")
    return number


def _whole(text: str) -> int:
    if len(text) > 19:
        raise ValueError(f"a number of {len(text)} digits")
    return int(text)


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is not a number")


def check_header(header: Any, place: str) -> None:
    """UserError where a header lacks a key, or holds what no network of this project is built or used by."""
    missing = [key for key in NEEDED if key not in header] if isinstance(header, dict) else list(NEEDED)
    if missing:
        raise UserError(f"{place}: the header lacks {', '.join(missing)}; write the file anew")
    if not _is(header["format"], int) or header["format"] != FORMAT:
        raise UserError(f"{place}: format {_quoted(header['format'])}; this version reads format {FORMAT}")
    if too_deep(header):
        raise UserError(f"{place}: the header is nested too deeply: more than {DEEPEST} levels")
    joint_set = header["joint_set"]
    if not isinstance(joint_set, str) or not re.fullmatch("[a-z0-9][a-z0-9-]*", joint_set):
        raise UserError(f"{place}: joint_set {_quoted(joint_set)} is not a name")  # nor the path of a file
    try:
        found = skeleton_of_weights(header)
    except UserError as error:
        raise UserError(f"{place}: {error}") from None
    check_input_size(header["input_size"], place)
    if not isinstance(header["tensor_hash"], str) or not re.fullmatch("[0-9a-f]{64}", header["tensor_hash"]):
        raise UserError(f"{place}: tensor_hash {_quoted(header['tensor_hash'])} is no SHA-256")
    partial = header.get("partial") or []
    if not isinstance(partial, list) or not all(isinstance(name, str) for name in partial):
        raise UserError(f"{place}: partial {_quoted(partial)} is not a list of names")
    for key, kind in TOLD.items():
        value = header.get(key)
        if value is not None and not _is(value, kind):
            raise UserError(f"{place}: {key} {_quoted(value)} is not of type {kind.__name__}")
    _check_keywords(header["constructor"], header["keywords"], place)
    joints = header["keywords"]["joints"]
    if found.name != joint_set or joints != len(found.joints):
        raise UserError(
            f"{place}: a network of {joints} joints of {joint_set}, but {found.name} has {len(found.joints)}"
        )


def check_input_size(size: Any, place: str) -> None:
    """UserError unless ``size`` is [height, width] in pixels that a network of this project can have."""
    sides: list[Any] = list(size) if isinstance(size, list | tuple) and len(size) == 2 else [None]
    if not all(_is(n, int) and SMALLEST_PX <= n <= LARGEST_PX and n % 4 == 0 for n in sides):
        raise UserError(
            f"{place}: input_size {_quoted(size)}; it is [height, width] in pixels, both multiples of 4 "
            f"from {SMALLEST_PX} to {LARGEST_PX}"
        )


def _check_keywords(path: Any, keywords: Any, place: str) -> None:
    """UserError where a network's keywords are not its constructor's, in name and type."""
    try:
        function = constructor(str(path))
    except UserError as error:
        raise UserError(f"{place}: {error}") from None
    if not isinstance(keywords, dict):
        raise UserError(f"{place}: keywords {_quoted(keywords)} are not a mapping")
    types, needed = OWN_KEYWORDS, set(OWN_KEYWORDS)
    if path in PROJECTS:
        types, parameters = typing.get_type_hints(function), inspect.signature(function).parameters.values()
        types.pop("return", None)
        needed = {p.name for p in parameters if p.default is inspect.Parameter.empty}
    lines = [f"  {shown(name)}: no such keyword" for name in keywords if name not in types]
    for name in types:
        if name not in keywords:
            lines += [f"  {name}: missing"] if name in needed else []
            continue
        try:
            TypeAdapter(types[name]).validate_python(keywords[name], strict=True)
        except ValidationError as error:
            lines.append(f"  {name}: {_quoted(keywords[name])}: {error.errors()[0]['msg']}")
    if not lines and keywords.get("stages", 1) > MOST_STAGES:
        lines = [f"  stages: {keywords['stages']}: this version builds at most {MOST_STAGES}"]
    if lines:
        raise UserError(f"{place}: keywords that {path} cannot be built by\n" + "\n".join(lines))


def too_deep(value: Any, levels: int = DEEPEST) -> bool:
    """Whether lists and mappings lie within each other more than ``levels`` deep."""
    if not isinstance(value, list | Mapping):
        return False
    inner = value.values() if isinstance(value, Mapping) else value
    return levels == 0 or any(too_deep(item, levels - 1) for item in inner)


def _is(value: Any, kind: type) -> bool:
    """Of a type; True and False are no numbers here."""
    return isinstance(value, kind) and not isinstance(value, bool)


def _quoted(value: Any) -> str:
    return shown(repr(value)) if not too_deep(value) else "(nested too deeply)"
