"""Checkpoints: a training's whole state in one file that is either whole and proven or not used.

A file holds a mark, the SHA-256 of what follows, and ``torch.save``'s bytes. It is written under another
name, synced and renamed; the last two are kept, so that a damaged newest one costs some minutes, not the
training. They lie apart from a training's results, because Snakemake deletes those of a failed job.
"""

import fcntl
import hashlib
import io
import os
import pickle
import re
import warnings
from pathlib import Path
from typing import IO, Any

import torch

from mspn.errors import UserError
from mspn.files import atomic

MARK = b"mspn-ckpt-1\n"
KEEP = 2
_NAME = re.compile(r"step-(\d{9})\.ckpt")


def checkpoint_path(folder: Path, step: int) -> Path:
    """The file of the checkpoint after ``step`` steps."""
    return folder / f"step-{step:09d}.ckpt"


def checkpoint_steps(folder: Path) -> list[int]:
    """The steps of the checkpoints in a folder, newest first, sound or not."""
    matches = (_NAME.fullmatch(path.name) for path in folder.iterdir()) if folder.is_dir() else ()
    return sorted((int(match[1]) for match in matches if match), reverse=True)


def save_checkpoint(folder: Path, state: dict[str, Any]) -> Path:
    """Write the state of ``state["step"]`` and drop all but the last two.

    A state consists of tensors, numbers, text, lists and dicts. Raises UserError when a weight is not
    finite: the checkpoints before it stay as they are.
    """
    bad = [
        key
        for key, value in state["network"].items()
        if value.is_floating_point() and not torch.isfinite(value).all()
    ]
    if bad:
        raise UserError(
            f"{folder}: after step {state['step']} the weights are not finite ({len(bad)} tensors, first "
            f"{bad[0]}); no checkpoint written, the last good one stays. Lower the learning rate or use fp32."
        )
    buffer = io.BytesIO()
    torch.save(state, buffer)
    path = checkpoint_path(folder, state["step"])
    with atomic(path) as temporary, temporary.open("wb") as file:
        file.write(MARK + hashlib.sha256(buffer.getbuffer()).digest())
        file.write(buffer.getbuffer())
    _sync_folder(folder)
    for step in checkpoint_steps(folder):
        if step > state["step"]:  # of a future that a damaged file made us leave
            checkpoint_path(folder, step).unlink(missing_ok=True)
    for step in checkpoint_steps(folder)[KEEP:]:
        checkpoint_path(folder, step).unlink(missing_ok=True)
    return path


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The state in one file. Raises ValueError if it is damaged."""
    data = path.read_bytes()
    start = len(MARK) + hashlib.sha256().digest_size
    if not data.startswith(MARK):
        raise ValueError("not a checkpoint of this project")
    if hashlib.sha256(memoryview(data)[start:]).digest() != data[len(MARK) : start]:
        raise ValueError("its checksum does not match its content")
    try:
        state: dict[str, Any] = torch.load(
            io.BytesIO(memoryview(data)[start:]), map_location="cpu", weights_only=True
        )
    except (RuntimeError, pickle.UnpicklingError, EOFError) as error:
        raise ValueError(str(error)) from None
    return state


def load_checkpoint(folder: Path, names: set[str]) -> dict[str, Any] | None:
    """The newest sound checkpoint of a folder; None where there is none at all.

    A damaged one is passed over with a warning. Raises UserError when all are damaged, or when one belongs
    to no training of these ``names``: going on from it would give weights that are not the run's.
    """
    steps = checkpoint_steps(folder)
    for step in steps:
        path = checkpoint_path(folder, step)
        try:
            state = read_checkpoint(path)
        except (ValueError, OSError) as error:
            warnings.warn(f"{path}: damaged ({error}); falling back to the one before", stacklevel=2)
            continue
        if state["identity"] not in names:
            raise UserError(
                f"{path}: of another training ({state['identity']}, wanted {' or '.join(sorted(names))}); "
                f"remove the folder {folder} to start afresh"
            )
        return state
    if steps:
        raise UserError(
            f"{folder}: all {len(steps)} checkpoints are damaged; remove the folder to start afresh"
        )
    return None


def lock_folder(folder: Path) -> IO[str]:
    """Hold a folder for this process, so that no second one trains into it; UserError if another does.

    The lock ends with the process, however it dies, or when the returned file is closed. Left-over
    temporary files of a killed writer are removed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = (folder / ".lock").open("a")
    try:
        # A record lock: unlike flock's it is not inherited by a child that may outlive a killed parent.
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        file.close()
        raise UserError(f"{folder}: another process is training into it; wait for it, or stop it") from None
    except OSError as error:
        warnings.warn(f"{folder}: the file system has no locks ({error}); training without", stacklevel=2)
    for leftover in folder.glob(".*.tmp"):
        leftover.unlink(missing_ok=True)
    return file


def _sync_folder(folder: Path) -> None:
    """Make a rename last through a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
