"""What decides a result besides its configuration: declared revisions of the code, and hashes of files.

A revision rises, by hand, when results change; golden results in the tests say when that is (see
CONTRIBUTING.md). The text of the code decides nothing: a moved file or a mended message makes no training
another one. Imports no torch.
"""

import hashlib
import json
import time
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from mspn.errors import UserError
from mspn.files import PACKAGE, PROJECT, read_json, sha256, write_json

# Of the parts whose code decides results; networks by family.
REVISIONS = {
    "synth": 1,  # the pictures and persons that mspn synth makes
    "data": 1,  # annotations to samples: readers, augmentation, order of samples, crop stores
    "training": 1,  # targets, losses, schedule, optimiser, the arithmetic of a step
    "mspn": 1,  # networks and their initial weights
    "hourglass": 1,
    "simple_baseline": 1,
    "hrnet": 1,
    "boxes": 1,  # simulated detections, and how a file of detections is read
    "evaluation": 1,  # networks and boxes to joints to metrics
    "flops": 1,
}
HASHES = Path("results/.hashes.json")  # file -> size, time of change, SHA-256; may be removed at any time


def digest(value: Any) -> str:
    """Ten hexadecimal digits of a JSON value's SHA-256, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:10]


def content_hash(path: Path) -> str | None:
    """The SHA-256 of a file's bytes, None where there is none.

    Annotations take seconds to read, and every job asks: a hash is remembered for as long as the file has the
    same size and time of change.
    """
    try:
        stat = path.stat()
    except OSError:
        return None
    known, key, state = _remembered(Path.cwd()), str(path), [stat.st_size, stat.st_mtime_ns]
    if known.get(key, [])[:2] == state:
        return str(known[key][2])
    found = sha256(path)
    if time.time_ns() - stat.st_mtime_ns > 2e9:  # else it may change again within its clock's resolution
        known[key] = [*state, found]
        with suppress(OSError):  # a folder that cannot be written to costs time, nothing else
            write_json(HASHES, known)
    return found


@cache
def _remembered(folder: Path) -> dict[str, list[Any]]:
    """What HASHES says; nothing where it says nothing that can be read."""
    try:
        known = read_json(folder / HASHES, "record of hashes")
    except UserError:
        return {}
    entries = known.items() if isinstance(known, dict) else ()
    return {k: v for k, v in entries if isinstance(v, list) and [*map(type, v)] == [int, int, str]}


@cache
def code_hash(*places: str) -> str:
    """Sixteen digits of a hash of source files, for the record and for steps that cost seconds.

    ``places`` are files or folders below the project's root, such as ``mspn/report``.
    """
    paths = [
        path
        for place in places
        for path in _sources((PACKAGE.parent if place.startswith("mspn") else PROJECT) / place)
    ]
    parts = [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]
    return hashlib.sha256("".join(parts).encode()).hexdigest()[:16]


def _sources(place: Path) -> list[Path]:
    return [place] if place.is_file() else sorted(p for p in place.rglob("*") if p.suffix in _SUFFIXES)


_SUFFIXES = {".py", ".html", ".css", ".js"}
