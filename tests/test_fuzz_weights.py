"""Files of weights, mutated: each is taken and sane, or refused by a UserError; none hangs or floods memory.

Headers, names, types, shapes, values and bytes of both readers are changed; the same cases in every run.
"""

import io
import json
import resource
import signal
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor

from mspn.errors import UserError
from mspn.networks.foreign import read_foreign
from mspn.networks.header import LARGEST_PX, SMALLEST_PX
from mspn.networks.import_checkpoint import adopt
from mspn.networks.mspn import mspn
from mspn.networks.weights import load_network, load_weights, save_weights, tensor_hash
from tests.published_networks import REFERENCES

KEYWORDS: dict[str, Any] = {"stages": 2, "down": "resnet18", "joints": 17, "scales": 1, "width": 0.0625}
HANG_S = 10  # of this process's CPU time, whatever else the machine does
FLOOD_BYTES = 1 << 30


def fuzz(cases: int) -> Callable[[Any], Any]:
    """As many cases of a test, always the same."""
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture]
    return settings(
        max_examples=cases, derandomize=True, database=None, deadline=None, suppress_health_check=checks
    )


class Hang(BaseException):
    """Not an Exception, which a reader may catch."""


@contextmanager
def outcome() -> Iterator[None]:
    """What is within may raise UserError, of some words, and nothing else; it must end, and stay small."""

    def stop(*_: Any) -> None:
        raise Hang

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, HANG_S)
    try:
        yield
    except UserError as error:
        assert str(error).replace("\n  ", "").isprintable(), repr(str(error))
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    assert 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) < FLOOD_BYTES


# What stands in a header in place of a value, as JSON.
DEEP, LONG = "[" * 2000 + "]" * 2000, "9" * 5000
VALUES = [
    "null", "true", "false", "0", "1", "-64", "65", "4", "1e9", "1e999", "-0.5", "NaN", "Infinity",
    "1000000000", "17", "16", LONG, DEEP, '{"a":' * 40 + "1" + "}" * 40, "[]", "{}", "[64, true]", "[64, 65]",
    "[64, 64]", "[-64, 48]", "[4, 4]", "[64, 1e9]", "[64, 48, 3]", '["coco"]', '"mpii"', '"coco"', '"64x48"',
    '"1x1"', '"resnet254"', '"os:system"', '"mspn.networks.weights:save_weights"', '"\\ud800"',
    '"\\u001b[2J\\n"', '""', '"baselines.hourglass:hourglass"', '"../../etc/passwd"',
]  # fmt: skip
NAMES = ["", "stem.conv.conv.weight", "stages.999999999.x", "\x1b[2J\n", "x" * 5000, "stages.0.up.x"]
SHAPES = [(), (0,), (1,), (1, 1, 1, 1), (2, 0, 3), (300,), (3, 4, 7, 7)]
TYPES = [
    torch.float16, torch.bfloat16, torch.float64, torch.complex64, torch.int8, torch.int64, torch.bool,
    torch.float8_e5m2,
]  # fmt: skip
NUMBERS = [float("nan"), float("inf"), -1.0, -1e30, 0.0, 1e38]


def mutate_state(data: st.DataObject, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A few changes to names, shapes, types and values."""
    state = dict(state)
    for _ in range(data.draw(st.integers(1, 3))):
        name = data.draw(st.sampled_from(sorted(state)))
        tensor = state[name]
        kind = data.draw(st.sampled_from(["drop", "rename", "add", "shape", "type", "value", "swap"]))
        if kind == "drop":
            del state[name]
        elif kind == "rename":
            state[data.draw(st.sampled_from(NAMES))] = state.pop(name)
        elif kind == "add":
            state[data.draw(st.sampled_from(NAMES))] = torch.ones(2)
        elif kind == "shape":
            state[name] = torch.ones(data.draw(st.sampled_from(SHAPES)), dtype=tensor.dtype)
        elif kind == "type":
            state[name] = tensor.to(data.draw(st.sampled_from(TYPES)))
        elif kind == "swap":
            other = data.draw(st.sampled_from(sorted(state)))
            state[name], state[other] = state[other], state[name]
        elif tensor.is_floating_point() and tensor.numel():
            state[name] = tensor.clone()
            state[name].view(-1)[-1] = data.draw(st.sampled_from(NUMBERS))
    return state


def mutate_text(data: st.DataObject, header: dict[str, Any]) -> str:
    """The header's JSON with one or two values changed or left out, or its text cut."""
    header = {**header, "keywords": dict(header["keywords"])}
    holes: list[str] = []
    for _ in range(data.draw(st.integers(0, 2))):
        inner = header.get("keywords")
        place = data.draw(st.sampled_from([header, inner] if isinstance(inner, dict) else [header]))
        key = data.draw(st.sampled_from([*sorted(place), "partial", "joints", "more"]))
        if key == "keywords" or data.draw(st.booleans()):
            place[key] = f"\0{len(holes)}"
            holes.append(data.draw(st.sampled_from(VALUES)))
        else:
            place.pop(key, None)
    text = json.dumps(header)
    for i, hole in enumerate(holes):
        text = text.replace(json.dumps(f"\0{i}"), hole)
    return text[: data.draw(st.integers(0, len(text)))] if data.draw(st.integers(0, 9)) == 0 else text


def mutate_bytes(data: st.DataObject, content: bytes) -> bytes:
    """Some bytes changed, cut, doubled or zeroed, more often near the beginning and the end."""
    found = bytearray(content)
    for _ in range(data.draw(st.integers(1, 3))):
        near = data.draw(st.integers(0, min(600, len(found))))
        at = data.draw(st.sampled_from([near, len(found) - near, data.draw(st.integers(0, len(found)))]))
        kind = data.draw(st.sampled_from(["flip", "cut", "insert", "double", "zero", "number"]))
        if kind == "flip" and at < len(found):
            found[at] ^= 1 << data.draw(st.integers(0, 7))
        elif kind == "cut":
            del found[at:]
        elif kind == "insert":
            found[at:at] = data.draw(st.binary(max_size=20))
        elif kind == "double":
            found[at:at] = found[at : at + 50]
        elif kind == "zero":
            found[at : at + 50] = bytes(len(found[at : at + 50]))
        elif kind == "number":
            numbers = [b"\xff" * 8, b"\0\0\0\0\x7f\xff\xff\xff", bytes(8)]
            found[at : at + 8] = data.draw(st.sampled_from(numbers))
    return bytes(found)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small weight file."""
    path = tmp_path_factory.mktemp("fuzz") / "weights.safetensors"
    header = {"constructor": "mspn.networks.mspn:mspn", "keywords": KEYWORDS, "joint_set": "coco"}
    torch.manual_seed(0)
    state = mspn(**KEYWORDS).state_dict()
    save_weights(path, state, {**header, "input_size": [64, 48], "source": "test", "seed": 0, "step": 4})
    return path


def check_load(path: Path) -> None:
    """Load a mutated file: what is taken is a network that works."""
    with outcome():
        network, header = load_network(path)
        height, width = header["input_size"]
        assert min(height, width) >= SMALLEST_PX and max(height, width) <= LARGEST_PX
        with torch.inference_mode():
            maps = network(torch.zeros(1, 3, 32, 24))
        assert maps.shape == (1, header["keywords"]["joints"], 8, 6) and bool(torch.isfinite(maps).all())
        json.dumps(header, allow_nan=False).encode()


def weight_files(data: st.DataObject, file: Path) -> None:
    """One mutation of a weight file: of its header, its tensors (with their hash) or its bytes."""
    changed = file.with_name("changed.safetensors")
    kind = data.draw(st.sampled_from(["header", "tensors", "bytes", "header"]))
    if kind == "bytes":
        changed.write_bytes(mutate_bytes(data, file.read_bytes()))
    else:
        state, header = load_weights(file)
        if kind == "tensors":
            state = mutate_state(data, state)
            header["tensor_hash"] = tensor_hash(state)
        text = mutate_text(data, header) if kind == "header" else json.dumps(header)
        save_file(state, changed, metadata={"mspn": text})
    check_load(changed)


def checkpoints(data: st.DataObject, file: Path) -> None:
    """One mutation of a torch file: of its bytes, or of the pickle within it."""
    changed, buffer = file.with_name("changed.pth"), io.BytesIO()
    content = {"state_dict": {"a.weight": torch.ones(2, 3), "a.bias": torch.ones(2)}, "epoch": 3}
    torch.save(content, buffer, _use_new_zipfile_serialization=data.draw(st.integers(0, 3)) > 0)
    if zipfile.is_zipfile(buffer) and data.draw(st.booleans()):
        with zipfile.ZipFile(buffer) as old, zipfile.ZipFile(changed, "w") as new:
            for entry in old.infolist():
                part = old.read(entry)
                new.writestr(entry, mutate_bytes(data, part) if entry.filename.endswith(".pkl") else part)
    else:
        changed.write_bytes(mutate_bytes(data, buffer.getvalue()))
    with outcome():
        state = read_foreign(changed)
        assert all(isinstance(name, str) and tensor.device.type == "cpu" for name, tensor in state.items())
        assert sum(tensor.nbytes for tensor in state.values()) <= changed.stat().st_size


@pytest.fixture(scope="module")
def states() -> dict[str, dict[str, Tensor]]:
    """Of each layout a one-stage checkpoint whose numbers are all 0."""
    found = {}
    for layout, network in REFERENCES.items():
        with torch.device("meta"):
            shapes = network(1).state_dict()
        found[layout] = {name: torch.zeros(t.shape, dtype=t.dtype) for name, t in shapes.items()}
        for name, value in (("mean", [123.675, 116.28, 103.53]), ("std", [58.395, 57.12, 57.375])):
            if f"data_preprocessor.{name}" in found[layout]:
                found[layout][f"data_preprocessor.{name}"] = torch.tensor(value)
    return found


def layouts(data: st.DataObject, states: dict[str, dict[str, Tensor]]) -> None:
    """One mutation of a published checkpoint's tensors."""
    state = mutate_state(data, states[data.draw(st.sampled_from(sorted(states)))])
    if data.draw(st.integers(0, 4)) == 0:
        number = data.draw(st.sampled_from(["999999999", "998", "15", "\u0661", "-1", ""]))
        state[f"stage{number}.x"] = state[f"backbone.multi_stage_mspn.{number}.x"] = torch.ones(1)
    with outcome():
        read = adopt(state, "file", ["*"] if data.draw(st.integers(0, 5)) == 0 else [])
        for name, tensor in read.state.items():
            assert bool(torch.isfinite(tensor).all()) and tensor.dtype in (torch.float32, torch.int64), name
            assert not name.endswith("running_var") or bool((tensor >= 0).all())


@fuzz(50)
@given(st.data())
def test_weight_files(file: Path, data: st.DataObject) -> None:
    weight_files(data, file)


@fuzz(35)
@given(st.data())
def test_checkpoints(file: Path, data: st.DataObject) -> None:
    checkpoints(data, file)


@fuzz(15)
@given(st.data())
def test_layouts(states: dict[str, dict[str, Tensor]], data: st.DataObject) -> None:
    layouts(data, states)


@pytest.mark.slow
@fuzz(600)
@given(st.data())
def test_more_weight_files(file: Path, data: st.DataObject) -> None:
    weight_files(data, file)


@pytest.mark.slow
@fuzz(1500)
@given(st.data())
def test_more_checkpoints(file: Path, data: st.DataObject) -> None:
    checkpoints(data, file)


@pytest.mark.slow
@fuzz(100)
@given(st.data())
def test_more_layouts(states: dict[str, dict[str, Tensor]], data: st.DataObject) -> None:
    layouts(data, states)
