"""Weight files: what is written comes back; what is damaged, foreign or does not fit is refused by name."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from mspn.errors import UserError
from mspn.networks.mspn import mspn
from mspn.networks.weights import load_network, load_weights, save_weights, tensor_hash

KEYWORDS: dict[str, Any] = {"stages": 1, "down": "resnet18", "joints": 3, "scales": 1, "width": 0.0625}
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
        (damaged, "damaged"),
        (short, "not a readable weight file"),
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
        assert str(path) in str(caught.value) or "os:system" in str(caught.value)
