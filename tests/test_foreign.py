"""Files from elsewhere: failed downloads are called that, and only sound tensors come in."""

import json
import pickle
import struct
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from mspn.commands.cli import main
from mspn.errors import UserError
from mspn.networks.foreign import Unit, read_foreign, refuse, transfer
from mspn.networks.weights import load_weights

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935\nsize 132735\n"
HTML = b"<!DOCTYPE html>\n<html><head><title>Google Drive - Virus scan warning</title></head></html>"
DOWNLOADS = {
    "empty": (b"", "an empty file"),
    "zeros": (bytes(5000), "nothing but zeros"),
    "html": (HTML, "a page of HTML ('Google Drive - Virus scan warning')"),
    "xml": (b"<?xml version='1.0'?><Error><Code>NoSuchKey</Code></Error>", "a page of XML"),
    "lfs": (LFS, "a pointer of git-lfs (fetch it by `git lfs pull`)"),
    "jpeg": (cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))[1].tobytes(), "a JPEG picture"),
    "address": (b"https://", "text ('https://')"),
    "host": (b"host not found\n", "text ('host not found')"),
    "hello": (b"hello", "text ('hello')"),
    "q": (b"q", "text ('q')"),
    "json": (b'{"error": "quota exceeded"}', """text ('{"error": "quota exceeded"}')"""),
    "escape": (b"not found\r\x1b[2Jrm", "a file of no kind that is known (16 bytes)"),
    "umlaut": ("nicht gefunden: ä".encode(), "text ('nicht gefunden: ä')"),
    "gzip": (b"\x1f\x8b\x08\x00abc", "a gzip archive"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "what"), DOWNLOADS.values(), ids=list(DOWNLOADS))
def test_a_failed_download_is_called_that(
    content: bytes, what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mspn.pth"
    file.write_bytes(content)
    expected = f"{file}: a failed download: {what} in place of the weights; download it again"
    assert main(["import-checkpoint", str(file), "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err == f"mspn: {expected}\n"
    with pytest.raises(UserError) as caught:
        load_weights(file)
    assert str(caught.value) == expected


def test_a_cut_zip_and_other_archives_are_failed_downloads(tmp_path: Path) -> None:
    whole, file = tmp_path / "whole.pth", tmp_path / "file.pth"
    torch.save({"a": torch.randn(1000)}, whole)
    for size in (2, 10, 1000, whole.stat().st_size - 10):
        file.write_bytes(whole.read_bytes()[:size])
        with pytest.raises(UserError, match=rf"a zip archive without its end \({size} bytes"):
            read_foreign(file)
    with zipfile.ZipFile(file, "w") as archive:
        archive.write(whole, "mspn.pth")
    with pytest.raises(UserError, match="failed download: a zip archive without a checkpoint"):
        read_foreign(file)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(100_000_000))
    with pytest.raises(UserError, match="unpacks to more than its own size"):
        read_foreign(file)


class NotTensors:
    pass


def test_what_is_no_state_dict_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "file.pth"
    with pytest.raises(UserError, match="no such checkpoint"):
        read_foreign(file)
    file.write_bytes(pickle.dumps({"a": np.ones(2)}))
    with pytest.raises(UserError, match="a Python pickle, which could run code"):
        read_foreign(file)
    header = json.dumps({}).encode()
    file.write_bytes(struct.pack("<Q", len(header)) + header)
    with pytest.raises(UserError, match="safetensors, no checkpoint"):
        read_foreign(file)
    sparse = torch.ones(2, 2).to_sparse()
    cases = [
        ({"state_dict": {"a": NotTensors()}}, r"more than tensors \(tests.test_foreign.NotTensors\)"),
        ({"epoch": 3}, "not tensors by name: epoch"),
        ({"model": {("a", "b"): torch.ones(1)}}, "not tensors by name: a name that is no text"),
        ({"a\n\x1b[2J": 3}, r"not tensors by name: a\\n\\x1b\[2J;"),
        ({"state_dict": {"a": sparse, "b": torch.ones(1, device="meta")}}, "by name: a, b;"),
        ([torch.ones(1)], "no named tensors"),
        ({"state_dict": {}}, "no named tensors"),
        ({"a": torch.ones(1).expand(1_000_000)}, "larger than the file itself"),
        ({"module.a": torch.ones(1), "a": torch.ones(1)}, "the same names with and without"),
    ]
    for content, message in cases:
        torch.save(content, file)
        with pytest.raises(UserError, match=message):
            read_foreign(file)
    torch.save({"model": {"conv1.weight": torch.ones(1)}}, file)
    out = ["--out", str(tmp_path / "out")]
    assert main(["import-checkpoint", str(file), *out]) == 2
    assert "neither the authors' release nor mmpose's" in capsys.readouterr().err
    for size in ("255x192", "64x20000"):
        with pytest.raises(SystemExit):
            main(["import-checkpoint", str(file), *out, "--input", size])
        assert "--input" in capsys.readouterr().err
    assert main(["import-checkpoint", str(file), *out, "--input", "4x4"]) == 2
    assert "input" in capsys.readouterr().err
    torch.save({"a": torch.arange(3.0)}, file, _use_new_zipfile_serialization=False)  # as before torch 1.6
    assert read_foreign(file)["a"].tolist() == [0, 1, 2]


def unit(**changes: Tensor) -> dict[str, Tensor]:
    """A convolution with batch norm in the names of a source; ``changes`` to its tensors."""
    parts = {name: torch.ones(2) for name in ("weight", "bias", "running_mean", "running_var")}
    state = {f"bn.{name}": tensor for name, tensor in parts.items()} | {"conv.weight": torch.ones(2, 3, 1, 1)}
    return state | {name.replace("_", ".", 1): tensor for name, tensor in changes.items()}


OWN = {
    "own.conv.weight": torch.ones(2, 3, 1, 1, device="meta"),
    **{
        f"own.norm.{name}": torch.ones(2, device="meta")
        for name in ("weight", "bias", "running_mean", "running_var")
    },
    "own.norm.num_batches_tracked": torch.tensor(0, device="meta"),
}
PAIRS = [Unit("own", "conv", "bn")]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"conv_weight": torch.full((2, 3, 1, 1), torch.nan)}, "conv.weight: NaN or infinity in it"),
        ({"bn_bias": torch.tensor([1, torch.inf])}, "bn.bias: NaN or infinity in it"),
        ({"bn_weight": torch.tensor([1e300, 1], dtype=torch.float64)}, "bn.weight: NaN or infinity in it"),
        ({"bn_running_var": torch.tensor([1, -1e-3])}, "bn.running_var: a variance below 0"),
        ({"bn_bias": torch.ones(2, dtype=torch.complex64)}, "bn.bias: torch.complex64, not a floating point"),
        ({"bn_bias": torch.ones(2, dtype=torch.int32)}, "bn.bias: torch.int32, not a floating point type"),
        ({"bn_bias": torch.ones(2, dtype=torch.bool)}, "bn.bias: torch.bool, not a floating point type"),
        ({"bn_bias": torch.ones(2).to(torch.float8_e5m2)}, "bn.bias: torch.float8_e5m2, not a floating"),
        ({"bn_bias": torch.ones(3)}, r"bn.bias: \(3,\) instead of \(2,\)"),
        ({"bn_num_batches_tracked": torch.tensor(-1)}, "bn.num_batches_tracked: a count below 0"),
        ({"bn_num_batches_tracked": torch.tensor(1.0)}, "bn.num_batches_tracked: torch.float32, not"),
        ({"bn_num_batches_tracked": torch.tensor([0, 0])}, r"bn.num_batches_tracked: \(2,\) instead of"),
    ],
)  # fmt: skip
def test_tensors_that_no_network_has_are_refused(changes: dict[str, Tensor], line: str) -> None:
    read = transfer(unit(**changes), OWN, PAIRS)
    assert not read.state and read.unread == ["own"]
    with pytest.raises(UserError, match=rf"^file: 1 names do not fit\n  {line}"):
        refuse("file", read.misfits)


def test_other_precisions_are_read_as_floats() -> None:
    half = {name: tensor.half() * 1.5 for name, tensor in unit().items()}
    double = {"conv.weight": torch.full((2, 3, 1, 1), 0.1, dtype=torch.float64)}
    read = transfer({**half, **double}, OWN, PAIRS)
    assert not read.misfits and {tensor.dtype for name, tensor in read.state.items()} == {
        torch.float32, torch.int64,
    }  # fmt: skip
    assert read.state["own.norm.bias"].tolist() == [1.5, 1.5]
    assert read.state["own.conv.weight"].flatten()[0] == torch.tensor(0.1)
