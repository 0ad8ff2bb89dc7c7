"""Files are whole or absent."""

import errno
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mspn.commands.cli import main
from mspn.errors import UserError
from mspn.files import atomic, read_json, read_sealed, sha256, write_json, write_sealed


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


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


@settings(deadline=None)
@given(json_values)
def test_json_is_read_as_python_reads_it(tmp_path_factory, value):
    """NaN, numbers of any length and lone surrogates included."""
    path = tmp_path_factory.mktemp("json") / "file.json"
    path.write_text(json.dumps(value))
    assert repr(read_json(path)) == repr(json.loads(json.dumps(value)))


def test_an_output_that_is_a_link_is_not_followed(tmp_path):
    (tmp_path / "theirs").write_text("kept")
    (tmp_path / "link.json").symlink_to(tmp_path / "theirs")
    write_json(tmp_path / "link.json", 1)
    assert (tmp_path / "theirs").read_text() == "kept" and not (tmp_path / "link.json").is_symlink()


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError("100 requested and 10 written"),
        RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"),
    ],
)
def test_a_full_disk_is_one_line_whoever_tells_of_it(tmp_path, monkeypatch, capsys, error):
    def run(args):
        with atomic(tmp_path / "file"):
            raise error

    monkeypatch.setattr("mspn.commands.synth.run", run)
    assert main(["synth", "--out", str(tmp_path)]) == 2
    assert capsys.readouterr().err == (
        f"mspn: {tmp_path / 'file'}: No space left on device; make room and start again\n"
    )


def test_what_was_sealed_is_read_and_what_was_changed_since_is_not(tmp_path):
    path = tmp_path / "a.json"
    write_sealed(path, {"a": (1, 0.1), "b": {1: "ü"}})
    assert read_sealed(path, "file", "again")["b"] == {"1": "ü"}
    path.write_text(path.read_text().replace("0.1", "0.2"))
    with pytest.raises(UserError, match=r"a\.json: not as it was written: .*; again"):
        read_sealed(path, "file", "again")


def test_sha256_is_the_known_one(tmp_path):
    (tmp_path / "empty").write_bytes(b"")
    assert sha256(tmp_path / "empty").startswith("e3b0c44298fc1c149afbf4c8996fb924")
