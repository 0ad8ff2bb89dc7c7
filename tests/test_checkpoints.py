import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mspn.errors import UserError
from mspn.training.checkpoints import (
    checkpoint_steps,
    load_checkpoint,
    lock_folder,
    read_checkpoint,
    save_checkpoint,
)


def state(step, identity="one"):
    return {
        "step": step,
        "identity": identity,
        "network": {"w": torch.full((3,), float(step))},
        "note": ["x", 1.5],
    }


def test_what_is_saved_comes_back_bit_for_bit(tmp_path):
    values = {"a": torch.randn(5), "b": torch.tensor([1e-45, -0.0]), "n": torch.tensor(7)}
    save_checkpoint(tmp_path, {"step": 3, "identity": "i", "network": values, "nested": {"list": [1, None]}})
    found = load_checkpoint(tmp_path, {"i"})
    assert found is not None and found["nested"] == {"list": [1, None]}
    for name, value in values.items():
        assert torch.equal(found["network"][name], value)
    assert torch.signbit(found["network"]["b"][1])


def test_the_last_two_are_kept(tmp_path):
    for step in (1, 2, 3, 4):
        save_checkpoint(tmp_path, state(step))
    assert checkpoint_steps(tmp_path) == [4, 3]
    assert not list(tmp_path.glob(".*.tmp"))


def test_none_where_there_is_none(tmp_path):
    assert load_checkpoint(tmp_path / "absent", {"one"}) is None


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return save_checkpoint(tmp_path_factory.mktemp("sound"), state(1)).read_bytes()


@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_any_damage_is_found(sound, tmp_path_factory, data):
    path = tmp_path_factory.mktemp("damaged") / "step-000000001.ckpt"
    place = data.draw(st.integers(0, len(sound) - 1))
    if data.draw(st.booleans()):
        path.write_bytes(sound[:place])
    else:
        path.write_bytes(
            sound[:place] + bytes([sound[place] ^ data.draw(st.integers(1, 255))]) + sound[place + 1 :]
        )
    with pytest.raises(ValueError):
        read_checkpoint(path)


def test_damaged_newest_falls_back_with_a_warning_and_stays_out_of_the_way(tmp_path):
    save_checkpoint(tmp_path, state(1))
    newest = save_checkpoint(tmp_path, state(2))
    newest.write_bytes(newest.read_bytes()[:-7])
    with pytest.warns(UserWarning, match=r"step-000000002\.ckpt: damaged"):
        found = load_checkpoint(tmp_path, {"one"})
    assert found is not None and found["step"] == 1
    save_checkpoint(tmp_path, state(1))
    assert checkpoint_steps(tmp_path) == [1]


def test_all_damaged_is_an_error(tmp_path):
    save_checkpoint(tmp_path, state(1)).write_bytes(b"")
    with pytest.warns(UserWarning, match="damaged"), pytest.raises(UserError, match="all 1 checkpoints"):
        load_checkpoint(tmp_path, {"one"})


def test_another_identity_is_refused(tmp_path):
    save_checkpoint(tmp_path, state(1, "another"))
    with pytest.raises(UserError, match="of another training"):
        load_checkpoint(tmp_path, {"one"})


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_not_saved(tmp_path, value):
    save_checkpoint(tmp_path, state(1))
    with pytest.raises(UserError, match="not finite"):
        save_checkpoint(tmp_path, {**state(2), "network": {"w": torch.tensor([1.0, value])}})
    found = load_checkpoint(tmp_path, {"one"})
    assert found is not None and found["step"] == 1


def test_nothing_in_a_checkpoint_can_run_code(tmp_path):
    class Evil:
        def __reduce__(self):
            return print, ("ran",)

    path = save_checkpoint(tmp_path, {**state(1), "evil": Evil()})
    with pytest.raises(ValueError):
        read_checkpoint(path)


def test_one_process_at_a_time_and_leftovers_are_removed(tmp_path):
    leftover = tmp_path / ".step-000000002.ckpt.123.tmp"
    leftover.write_bytes(b"half")
    with lock_folder(tmp_path):
        assert not leftover.exists()
        code = (
            "import sys; from pathlib import Path; from mspn.training.checkpoints import lock_folder; "
            "lock_folder(Path(sys.argv[1]))"
        )
        second = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)
    assert "another process is training into it" in second.stderr
