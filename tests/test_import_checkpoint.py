"""Published checkpoints: each layout against networks written out; every name that does not fit is listed."""

import hashlib
from pathlib import Path

import pytest
import torch
from torch import Tensor

from mspn.commands.cli import main
from mspn.errors import UserError
from mspn.networks.import_checkpoint import adopt, import_checkpoint
from mspn.networks.weights import load_network, load_weights
from tests.published_networks import REFERENCES, published

# How many names two stages have in each layout, and the SHA-256 (16 digits) of their published names and
# shapes: "name 1x2x3" a line, sorted, without batch norm's counters.
LAYOUT_DIGESTS = {"released": (864, "563494972b68b71c"), "mmpose": (720, "17c3d17f2a3eb91c")}
LAYOUTS = pytest.mark.parametrize("layout", ["released", "mmpose"])


def without_counters(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")}


@LAYOUTS
def test_references_have_the_published_names_and_shapes(layout: str) -> None:
    with torch.device("meta"):
        state = without_counters(REFERENCES[layout](2).state_dict())
    lines = sorted(f"{name} {'x'.join(map(str, tensor.shape))}" for name, tensor in state.items())
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]
    assert (len(lines), digest) == LAYOUT_DIGESTS[layout]


def assert_same(ours: Tensor, theirs: list[list[Tensor]]) -> None:
    """Every stage and scale within 1e-5 of the map's own scale."""
    assert ours.shape[1:3] == (len(theirs), 4)
    for stage, maps in enumerate(theirs):
        for scale, expected in enumerate(maps):
            worst = (ours[:, stage, scale] - expected).abs().max() / expected.abs().max()
            assert worst < 1e-5, (stage, scale, float(worst))


@LAYOUTS
def test_same_heat_maps_at_every_stage_and_scale(layout: str, tmp_path: Path) -> None:
    file, out = tmp_path / "published.pth", tmp_path / "ours.safetensors"
    theirs = REFERENCES[layout](2)
    theirs.load_state_dict(published(layout, 2, file))
    read, header = import_checkpoint(file, out)
    ours, loaded = load_network(out)
    assert read.layout == layout and header == loaded and header["input_size"] == [256, 192]
    assert loaded["keywords"] == {
        "stages": 2, "down": "resnet50", "joints": 17, "scales": 4, "width": 1.0, "aggregate": True,
        "stride_on": "3x3", "conv_bias": layout == "released", "rgb_input": layout == "mmpose",
    }  # fmt: skip
    torch.manual_seed(5)
    bgr = torch.randn(3, 3, 128, 96)
    picture = bgr if layout == "released" else bgr.flip(1)  # as each network reads it
    # train() also moves the running statistics, on both sides alike. A random network amplifies rounding past
    # 1e-4 in train(), so this also needs the same numbers added in the same order.
    with torch.no_grad():
        for training in (False, True, False):
            ours.train(training)
            assert_same(ours(bgr, all_stages=True), theirs.train(training)(picture))


@LAYOUTS
def test_other_forms_of_the_same_file(layout: str, tmp_path: Path) -> None:
    plain, wrapped, out = tmp_path / "plain.pth", tmp_path / "wrapped.pth", tmp_path / "out"
    state = published(layout, 1, plain)
    whole, _ = import_checkpoint(plain, out)
    assert {int(t) for name, t in whole.state.items() if name.endswith("num_batches_tracked")} == {7}
    for key, content in (("state_dict", state), ("model", without_counters(state))):
        torch.save({key: {f"module.{name}": t for name, t in content.items()}, "epoch": 3}, wrapped)
        read, header = import_checkpoint(wrapped, out, channels="rgb", input_size=(384, 288))
        assert hashlib.sha256(wrapped.read_bytes()).hexdigest() in header["source"]
        assert read.state.keys() == whole.state.keys()
        values = without_counters(read.state)
        assert all(torch.equal(tensor, whole.state[name]) for name, tensor in values.items())
    assert load_weights(out)[1]["keywords"]["rgb_input"] is True
    assert load_weights(out)[1]["input_size"] == [384, 288]


def test_what_mmpose_publishes_is_its_present_layout_under_older_names(tmp_path: Path) -> None:
    old, new, out = tmp_path / "old.pth", tmp_path / "new.pth", tmp_path / "out"
    state = dict(published("mmpose-0.x", 1, old))
    mean, renamed = "data_preprocessor.mean", {}
    for name, tensor in state.items():  # as mmpose's own loader renames and drops
        if not name.startswith("data_preprocessor."):
            renamed[name.replace("keypoint_head", "head")] = tensor
    torch.save(renamed, new)
    (read, header), (_, expected) = import_checkpoint(old, out), import_checkpoint(new, out)
    assert read.layout == "mmpose-0.x" and not read.left_over and not read.random
    assert read.same == ["data_preprocessor.mean", "data_preprocessor.std"]
    assert header["tensor_hash"] == expected["tensor_hash"] and header["keywords"] == expected["keywords"]
    with pytest.raises(UserError, match=rf"2 names do not fit\n  {mean}: not 103.53, 116.28, 123.6"):
        adopt(state, "old", channels="bgr")
    with pytest.raises(UserError, match=f"{mean}: not 123.6"):
        adopt({**state, mean: torch.zeros(3, 1, 1)}, "old")


@pytest.mark.parametrize(
    ("layout", "head"),
    [
        ("released", "stage0.upsample.up1.res_conv2"),
        ("mmpose-0.x", "keypoint_head.predict_layers.0.conv_layers.1"),
    ],
)
def test_every_name_that_does_not_fit_is_listed(
    layout: str, head: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, out = tmp_path / "published.pth", tmp_path / "ours.safetensors"
    state = dict(published(layout, 1, file))
    state["extra.weight"] = torch.ones(2)
    del state[f"{head}.bn.weight"]
    state[f"{head}.conv.weight"] = torch.ones(17, 1, 3, 3)
    torch.save(state, file)
    with pytest.raises(UserError) as caught:
        import_checkpoint(file, out)
    lines = str(caught.value).splitlines()[1:]
    assert sorted(line.strip() for line in lines) == sorted(
        [
            f"{head}.conv.weight: (17, 1, 3, 3) instead of (17, 256, 3, 3)",
            f"{head}.bn.weight: missing",
            "extra.weight: left over",
        ]
    )
    assert not out.exists()
    with pytest.raises(UserError, match=r"1 names do not fit\n  extra\.weight: left over$"):
        import_checkpoint(file, out, allow_partial=[f"{head}.*"])
    with pytest.raises(UserError, match=r"nothing\.at\.all: this pattern allows nothing"):
        import_checkpoint(file, out, allow_partial=[f"{head}.*", "extra.*", "nothing.at.all"])
    command = ["import-checkpoint", str(file), "--out", str(out), "--allow-partial", f"{head}.*", "extra.*"]
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert "not whole, random here: stages.0.heads.0.1" in printed and "not used: extra.weight" in printed
    assert load_weights(out)[1]["partial"] == ["stages.0.heads.0.1"]
    with pytest.raises(UserError, match="imported in part"):
        load_network(out)
