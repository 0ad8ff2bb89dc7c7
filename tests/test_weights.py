"""Weight files: what is written comes back; what is damaged, foreign or does not fit is refused by name."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from mspn.errors import UserError
from mspn.networks.mspn import mspn
from mspn.networks.weights import load_network, load_weights, save_weights, tensor_hash

KEYWORDS: dict[str, Any] = {"stages": 1, "down": "resnet18", "joints": 17, "scales": 1, "width": 0.0625}
DEFAULTS = {"aggregate": True, "stride_on": "3x3", "conv_bias": False, "rgb_input": False}
HEADER = {
    "constructor": "mspn.networks.mspn:mspn",
    "keywords": KEYWORDS,
    "joint_set": "coco",
    "input_size": [64, 48],
    "run": "a-run",
}


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    path = tmp_path / "weights.safetensors"
    save_weights(path, mspn(**KEYWORDS).state_dict(), HEADER)
    return path


def test_network_comes_back(saved: Path) -> None:
    torch.manual_seed(0)
    original = mspn(**KEYWORDS).eval()
    network, header = load_network(saved)
    images = torch.randn(2, 3, 64, 48)
    assert not network.training
    assert torch.equal(network(images, all_stages=True), original(images, all_stages=True))
    assert header["keywords"] == {**KEYWORDS, **DEFAULTS}
    assert header["tensor_hash"] == tensor_hash(original.state_dict())
    assert header["run"] == "a-run" and header["format"] == 1
    assert all(p.requires_grad for p in network.parameters())


def test_hash_depends_on_values_names_and_shapes_alone() -> None:
    state = {"b": torch.arange(6.0), "a": torch.zeros((), dtype=torch.int64)}
    assert tensor_hash(state) == tensor_hash(dict(reversed(state.items())))
    assert tensor_hash(state) == tensor_hash({**state, "b": torch.arange(12.0)[::2] / 2})
    for other in (
        {"b": torch.arange(6.0).reshape(2, 3)},
        {"b": torch.arange(6)},
        {"b": torch.arange(6.0) + 1e-6},
    ):
        assert tensor_hash(state) != tensor_hash({**state, **other})


def _file(path: Path, header: object, state: dict[str, torch.Tensor] | None = None) -> Path:
    save_file(state or {"a": torch.ones(1)}, path, metadata={"mspn": json.dumps(header)})
    return path


def test_unusable_files_are_refused(saved: Path, tmp_path: Path) -> None:
    state, header = load_weights(saved)
    damaged = tmp_path / "damaged.safetensors"
    content = bytearray(saved.read_bytes())
    content[-1] ^= 1
    damaged.write_bytes(content)
    short = tmp_path / "short.safetensors"
    short.write_bytes(saved.read_bytes()[:-10])
    foreign = tmp_path / "foreign.safetensors"
    save_file({"a": torch.ones(1)}, foreign)
    renamed = {f"x.{name}" if name.startswith("stem") else name: value for name, value in state.items()}
    misfit = _file(tmp_path / "misfit", {**header, "tensor_hash": tensor_hash(renamed)}, renamed)
    cases = [
        (tmp_path / "none.safetensors", "no such weights"),
        (damaged, "damaged: its tensors hash to"),
        (short, "damaged: not readable safetensors"),
        (foreign, "without the header"),
        (_file(tmp_path / "list", []), "lacks format"),
        (_file(tmp_path / "old", {**header, "format": 0}), "format 0"),
        (misfit, r"(?s)missing: stem\.conv.*left over: x\.stem\.conv"),
        (
            _file(tmp_path / "code", {**header, "constructor": "os:system"}, state),
            "not a network of this project",
        ),
    ]
    for path, message in cases:
        with pytest.raises(UserError, match=message) as caught:
            load_network(path)
        assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("input_size", "[-64, 48]", r"input_size \[-64, 48\]; it is \[height, width\]"),
        ("input_size", "[65, 48]", "input_size"),
        ("input_size", "[4, 4]", "from 16 to 1024"),
        ("input_size", "[true, 48]", r"input_size \[True, 48\]"),
        ("input_size", "64", "input_size 64"),
        ("input_size", "[64, 1048576]", "from 16 to 1024"),
        ("joint_set", '["coco"]', r"joint_set \['coco'\] is not a name"),
        ("joint_set", '"face"', "unknown joint set 'face'"),
        ("joint_set", '"mpii"', "a network of 17 joints of mpii, but mpii has 16"),
        ("joint_set", '"../coco.yaml"', "is not a name"),
        ("joint_set", '"own"', "unknown joint set 'own'"),
        ("tensor_hash", "1", "tensor_hash 1 is no SHA-256"),
        ("partial", "3", "partial 3 is not a list"),
        ("source", "[]", r"source \[\] is not of type str"),
        ("seed", "true", "seed True is not of type int"),
        ("format", "true", "format True"),
        ("constructor", '"mspn.networks.weights:save_weights"', "is not a network of this project"),
        ("keywords", "[]", r"keywords \[\] are not a mapping"),
        ("stages", "1e9", r"\n  stages: 1000000000.0: Input should be a valid integer"),
        ("stages", "1000000000", r"\n  stages: 1000000000: this version builds at most 16"),
        ("stages", "0", "cannot be built by this version: stages=0"),
        ("joints", "1000000", "a network of 1000000 joints of coco, but coco has 17"),
        ("width", "1e999", "not valid JSON: 1e999 is too large"),
        ("width", "NaN", "not valid JSON: NaN is not a number"),
        ("down", '["resnet18"]', r"\n  down: \['resnet18'\]: Input should be a valid string"),
        ("more", "1", r"\n  more: no such keyword"),
        ("identity", "[" * 2000 + "]" * 2000, "nested too deeply"),
        ("identity", "[" * 40 + "]" * 40, "nested too deeply: more than 32 levels"),
        ("identity", "9" * 5000, "not valid JSON: a number of 5000 digits"),
        ("identity", '"\\ud800"', "not valid JSON"),
    ],
)
def test_absurd_headers_are_refused(saved: Path, key: str, value: str, message: str) -> None:
    state, header = load_weights(saved)
    place = header["keywords"] if key in header["keywords"] or key == "more" else header
    place[key] = "HERE"
    save_file(state, saved, metadata={"mspn": json.dumps(header).replace('"HERE"', value)})
    with pytest.raises(UserError, match=message) as caught:
        load_network(saved)
    assert str(caught.value).startswith(f"{saved}: ") and len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("stem.conv.norm.bias", lambda t: t.half(), "another type than F32: stem.conv.norm.bias is F16"),
        ("stem.conv.norm.bias", lambda t: t.to(torch.complex64), "stem.conv.norm.bias is C64"),
        ("stem.conv.norm.bias", lambda t: t.long(), "wrong: stem.conv.norm.bias: torch.int64, not"),
        ("stem.conv.norm.bias", lambda t: t / 0, "wrong: stem.conv.norm.bias: NaN or infinity"),
        ("stem.conv.norm.running_var", lambda t: -t, "wrong: stem.conv.norm.running_var: a variance below 0"),
        ("stem.conv.norm.bias", lambda t: t[1:], r"wrong: stem.conv.norm.bias: \(3,\) instead of \(4,\)"),
    ],
)  # fmt: skip
def test_tensors_that_no_network_has_are_refused(
    saved: Path, name: str, change: Callable[[torch.Tensor], torch.Tensor], message: str
) -> None:
    state, header = load_weights(saved)
    state[name] = change(state[name]).contiguous()
    _file(saved, {**header, "tensor_hash": tensor_hash(state)}, state)
    with pytest.raises(UserError, match=message):
        load_network(saved)


def test_what_could_not_be_read_back_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    with pytest.raises(UserError, match="input_size"):
        save_weights(path, mspn(**KEYWORDS).state_dict(), {**HEADER, "input_size": [65, 48]})
    assert not path.exists()
