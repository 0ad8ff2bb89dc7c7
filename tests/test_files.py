"""Files are whole or absent."""

import pytest

from mspn.errors import UserError
from mspn.files import atomic, read_json, sha256, write_json


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path):
    path = tmp_path / "deep" / "file.json"
    write_json(path, {"a": 1})
    with pytest.raises(RuntimeError), atomic(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    with pytest.raises(ValueError, match="Out of range float"):
        write_json(path, float("nan"))
    assert read_json(path) == {"a": 1}
    assert [p.name for p in path.parent.iterdir()] == ["file.json"]


def test_reading_names_the_file_and_the_fault(tmp_path):
    with pytest.raises(UserError, match=r"none\.json: no such annotation file"):
        read_json(tmp_path / "none.json", "annotation file")
    (tmp_path / "bad.json").write_text('{"a": \n}')
    with pytest.raises(UserError, match=r"bad\.json: not a valid JSON file: .*line 2"):
        read_json(tmp_path / "bad.json")


def test_sha256_is_the_known_one(tmp_path):
    (tmp_path / "empty").write_bytes(b"")
    assert sha256(tmp_path / "empty").startswith("e3b0c44298fc1c149afbf4c8996fb924")
