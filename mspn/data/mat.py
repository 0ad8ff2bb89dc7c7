"""The one door for Matlab's ``.mat`` files, which may be damaged or hostile.

SciPy's reader of them can crash the interpreter, or unpack a small file to gigabytes. It runs in a process of
its own with limits of time and memory, and what it found comes back as JSON: numbers, text, lists, and
dictionaries for structs. Run as a program (``python -m mspn.data.mat FILE``), this module is that process.
"""

import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from mspn.errors import UserError

# An imitation of MPII's release, of 11 MB, took 16 s, 0.5 GB and 41 MB of JSON.
SECONDS = (10, 10)  # of CPU time; the second for each MB of the file
PATIENCE = 12  # times that in wall time: other jobs may have the CPU
MEMORY_BYTES = 2**30
JSON_BYTES = 100_000_000


def load_mat(path: Path) -> dict[str, Any]:
    """The variables of a Matlab file (version 5 or older) by name.

    A struct is a dictionary of its fields, an array (also of structs) lists in lists, without the sides of
    length 1; what has one element is that element, what has none an empty list. UserError where the file is
    missing, damaged, holds other than numbers, text, cells and structs, or needs more than the limits.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    seconds = PATIENCE * _seconds(path)
    # Each thread of OpenBLAS reserves address space, which the limit counts.
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-m", __name__, str(path.absolute())]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        raise UserError(f"{path}: not read within {seconds} s; fetch it anew") from None
    if done.returncode < 0:
        raise UserError(
            f"{path}: damaged, SciPy's reader of it ended in {signal.strsignal(-done.returncode)!r}; "
            "fetch it anew"
        )
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise UserError(f"{path}: not a readable Matlab v5 file: {said}; fetch it anew")
    value: dict[str, Any] = json.loads(done.stdout)
    return value


def items(value: Any) -> list[Any]:
    """The entries of an array of structs, which is there as nothing, one of them, or a list."""
    if value is None or isinstance(value, str):
        return []
    return value if isinstance(value, list) else [value]


def field(value: Any, *names: str) -> Any:
    """A field of a struct, of a struct in it, and so on; None where there is no such."""
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def read_here(path: Path) -> dict[str, Any]:
    """`load_mat` without its protection: in this process, and with SciPy's errors."""
    from scipy.io import loadmat

    found = loadmat(path, appendmat=False, struct_as_record=False, squeeze_me=True)
    return {name: _plain(value) for name, value in found.items() if not name.startswith("__")}


def _plain(value: Any) -> Any:
    """SciPy's value as JSON has it."""
    from scipy.io.matlab import mat_struct

    if isinstance(value, mat_struct):
        return {name: _plain(getattr(value, name)) for name in value._fieldnames}
    if isinstance(value, np.ndarray) and value.dtype.kind == "O":
        return [_plain(item) for item in value]
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind in "biufU":
        return value.tolist()
    if isinstance(value, bool | int | float | str):
        return value
    raise ValueError(f"holds {getattr(value, 'dtype', None) or type(value).__name__}, not numbers or text")


def _seconds(path: Path) -> int:
    least, each = SECONDS
    return least + each * (path.stat().st_size // 1_000_000)


def _limit(kind: int, most: int) -> None:
    hard = resource.getrlimit(kind)[1]
    resource.setrlimit(kind, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def main() -> None:
    """Print a file's variables as JSON; where that fails, a line that says why, with exit code 1."""
    path = Path(sys.argv[1])
    _limit(resource.RLIMIT_CPU, _seconds(path))
    _limit(resource.RLIMIT_AS, MEMORY_BYTES)
    _limit(resource.RLIMIT_CORE, 0)
    try:
        text = json.dumps(read_here(path))
        if len(text) > JSON_BYTES:
            raise ValueError(f"holds more than {JSON_BYTES // 1_000_000} MB of numbers and text")
    except MemoryError:
        sys.exit(f"needs more than {MEMORY_BYTES / 1e9:.1f} GB of memory")
    except Exception as error:  # SciPy raises many kinds on a damaged file
        sys.exit(" ".join(str(error).split()) or type(error).__name__)
    print(text)


if __name__ == "__main__":
    main()
