"""The reader of Matlab files: what the forms come back as, and that no file harms the process that asks."""

import numpy as np
import pytest
from scipy.io import savemat

from mspn.data import mat
from mspn.data.mat import field, items, load_mat
from mspn.errors import UserError


def structs(*rows):
    array = np.empty((1, len(rows)), dtype=[(name, object) for name in rows[0]])
    for i, row in enumerate(rows):
        for name, value in row.items():
            array[name][0, i] = value
    return array


def test_what_the_forms_come_back_as(tmp_path):
    path = tmp_path / "a.mat"
    cells = np.empty((1, 2), object)
    cells[0] = ["text", np.array([[1.5, np.nan]])]
    written = {
        "one": np.array([[2.0]]),
        "none": np.zeros((0, 0)),
        "numbers": np.arange(6, dtype=np.uint8).reshape(2, 3),
        "cells": cells,
        "single": structs({"x": 1.0, "inner": structs({"y": "é"})}),
        "many": structs({"x": 1.0}, {"x": np.zeros((0, 0))}),
    }
    savemat(path, written)
    value = load_mat(path)
    assert value["cells"][0] == "text" and value["cells"][1][0] == 1.5 and np.isnan(value["cells"][1][1])
    del value["cells"]
    assert value == {
        "one": 2.0,
        "none": [],
        "numbers": [[0, 1, 2], [3, 4, 5]],
        "single": {"x": 1.0, "inner": {"y": "é"}},
        "many": [{"x": 1.0}, {"x": []}],
    }
    assert field(value, "single", "inner", "y") == "é" and field(value, "single", "x", "y") is None
    assert (
        items(value["single"]) == [value["single"]] and items(value["none"]) == items("") == items(None) == []
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"z": np.array([1 + 2j])}, "holds complex"),
        # Packed 17 kB; as text 102 MB.
        pytest.param({"z": np.full(17_000_000, -128, np.int8)}, "more than", marks=pytest.mark.slow),
    ],
)
def test_what_is_not_numbers_or_too_much_is_refused(tmp_path, content, message):
    path = tmp_path / "a.mat"
    savemat(path, content, do_compression=True)
    with pytest.raises(UserError, match=rf"a\.mat: not a readable Matlab v5 file: .*{message}"):
        load_mat(path)


def test_files_that_are_none(tmp_path, monkeypatch):
    path = tmp_path / "a.mat"
    with pytest.raises(UserError, match=r"a\.mat: no such file"):
        load_mat(path)
    path.write_text("no Matlab file, but long enough to hold a header" * 10)
    with pytest.raises(UserError, match="not a readable Matlab v5 file"):
        load_mat(path)
    monkeypatch.setattr(mat, "SECONDS", (0, 0))
    with pytest.raises(UserError, match="not read within 0 s"):
        load_mat(path)


def test_a_file_that_crashes_scipys_reader_is_refused(tmp_path):
    """One byte changed; in this process SciPy 1.17 ends in a segmentation fault."""
    path = tmp_path / "a.mat"
    savemat(path, {"joints": structs({"x": 1.0, "name": "a"})})
    data = bytearray(path.read_bytes())
    data[264] = 255
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"a\.mat: (damaged|not a readable)"):
        load_mat(path)
