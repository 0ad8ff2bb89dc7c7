"""ONNX files: the same heat maps as torch's, and the documented program finds the same joints as predict."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mspn.commands.cli import main
from mspn.data.notes import Notes
from mspn.data.pictures import read_upright
from mspn.data.skeletons import COCO
from mspn.errors import UserError
from mspn.evaluation import export
from mspn.evaluation.inference import load_ensemble
from mspn.evaluation.predict import predict_photos
from mspn.experiment.networks import network_spec
from mspn.networks.build import construct
from mspn.networks.weights import load_network, save_weights
from tests.photo_cases import photos_of, write_photos

SIZE = (64, 48)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def weights(folder: Path, name: str, **more: Any) -> Path:
    """An untrained narrow network of that name, with batch norms as a training leaves them."""
    constructor, keywords = network_spec(name)
    keywords = {**keywords, "joints": 17, "scales": 1, "width": 0.0625, **more}
    torch.manual_seed(0)
    network = construct(constructor, keywords)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.running_mean, 0, 0.1)  # type: ignore[arg-type]
            torch.nn.init.uniform_(module.running_var, 0.5, 2)  # type: ignore[arg-type]
    header = {"constructor": constructor, "keywords": keywords, "joint_set": "coco", "input_size": list(SIZE)}
    save_weights(folder / "weights.safetensors", network.state_dict(), {**header, "run": name})
    return folder / "weights.safetensors"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("mspn-2", {}),
        ("mspn-1", {"rgb_input": True, "conv_bias": True}),
        ("hourglass-1", {}),
        ("simple-baseline-50", {}),
    ],
)
def test_heat_maps_are_torchs_at_every_batch_and_the_file_tells_how_to_use_it(tmp_path, name, more, capsys):
    import onnxruntime

    checkpoint, out = weights(tmp_path, name, **more), tmp_path / "network.onnx"
    assert main(["export", "--checkpoint", str(checkpoint), "--to", "onnx", "--out", str(out)]) == 0
    printed = capsys.readouterr()
    assert "(N, 3, 64, 48) to heat maps (N, 17, 16, 12)" in printed.out and printed.err == ""
    session = onnxruntime.InferenceSession(out, providers=["CPUExecutionProvider"])
    network, header = load_network(checkpoint)
    for batch in (1, 8):
        images = torch.randn(batch, 3, *SIZE)
        with torch.inference_mode():
            expected = network(images).numpy()
        (found,) = session.run(None, {"images": images.numpy()})
        assert found.shape == (batch, 17, 16, 12) and found.dtype == np.float32
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    told = {key: json.loads(text) for key, text in session.get_modelmeta().custom_metadata_map.items()}
    assert told["joints"] == list(COCO.joints) and told["input_size"] == list(SIZE)
    assert (told["channel_order"], told["run"]) == ("BGR", name)
    assert told["tensor_hash"] == header["tensor_hash"]
    assert str(Path(__file__).resolve().parents[1]).encode() not in out.read_bytes()


@pytest.mark.slow
def test_the_documented_program_finds_what_predict_finds(tmp_path, monkeypatch):
    checkpoint = weights(tmp_path, "mspn-1")
    export.export_onnx(checkpoint, tmp_path / "mspn-2.onnx")
    text = (Path(__file__).resolve().parents[1] / "docs/export.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(compile(program, "docs/export.md", "exec"), names)
    photos = photos_of(write_photos(tmp_path / "p", ["a.png", "b.png"], size=(120, 200)))
    boxes = np.array([[20.0, 10, 60, 100, 1], [90, -5, 100, 50, 1], [3, 3, 9, 110, 1]])
    predict_photos(
        load_ensemble([checkpoint], torch.device("cpu")),
        photos,
        {photo.name: boxes for photo in photos},
        tmp_path,
        Notes(""),
    )
    results = json.loads((tmp_path / "predictions.json").read_text())
    expected = np.array([result["keypoints"] for result in results]).reshape(2, 3, 17, 3)
    for photo, wanted in zip(photos, expected, strict=True):
        found = names["joints"](read_upright(photo.path), boxes[:, :4])
        np.testing.assert_allclose(found, wanted, atol=2e-3)


def test_another_network_than_torchs_is_not_written(tmp_path, monkeypatch):
    monkeypatch.setattr(export, "_run", lambda content, images: np.full((3, 17, 16, 12), np.nan))
    monkeypatch.setattr(export, "_translate", lambda network, images: __import__("onnx").ModelProto())
    with pytest.raises(UserError, match=r"differ from torch's by nan"):
        export.export_onnx(weights(tmp_path, "mspn-1"), tmp_path / "network.onnx")
    assert not (tmp_path / "network.onnx").exists()


def test_packages_that_are_missing_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(export, "PACKAGES", ("onnx", "none_such"))
    with pytest.raises(UserError, match=r"none_such: not installed; `pip install"):
        export.export_onnx(tmp_path / "weights.safetensors", tmp_path / "network.onnx")
