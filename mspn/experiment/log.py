"""The log of a finished training, a line per step: tied to its record, and thinned for small bundles."""

import hashlib
import re
from pathlib import Path
from typing import Any

from mspn.errors import UserError

LOG = "log.jsonl"
TRAIN_AGAIN = "take it from a copy, or train again"  # what to do where a log or record is damaged
HASHES = "log_sha256"  # in the training's record: of the whole log, and of the thinned one
KEPT = 10  # every so manieth step is in a thinned log, and the last


def thinned(log: bytes) -> bytes:
    """The lines of every KEPT-th step, and the last; of a thinned log all."""
    lines = log.splitlines(keepends=True)
    steps = [re.match(rb'\{"step": (\d+)', line) for line in lines]
    return b"".join(
        line
        for line, step in zip(lines, steps, strict=True)
        if line is lines[-1] or step is None or int(step[1]) % KEPT == 0
    )


def log_hashes(log: bytes) -> list[str]:
    """What the record keeps under HASHES."""
    return [hashlib.sha256(data).hexdigest() for data in (log, thinned(log))]


def read_log(path: Path, record: dict[str, Any], remedy: str) -> bytes:
    """The log; UserError, which ends in ``remedy``, where it is not the one that the record speaks of.

    Records of older versions speak of none.
    """
    try:
        log = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); {remedy}") from None
    told = record.get(HASHES)
    if told is not None and hashlib.sha256(log).hexdigest() not in told:
        raise UserError(f"{path}: not the log that environment.json beside it speaks of; {remedy}")
    return log
