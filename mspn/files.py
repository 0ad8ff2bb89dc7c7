"""Files that are whole or absent: written to a temporary name, synced, renamed; and the project's own."""

import errno
import gc
import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from mspn.errors import UserError

SEAL = "sha256_of_the_rest"  # the key under which a JSON object tells the hash of its other entries
PACKAGE = Path(__file__).resolve().parent
# Where workflow/, baselines/ and reports/paper/ lie: beside the package in a checkout, in it once installed.
INSTALLED = (PACKAGE / "baselines").is_dir()
PROJECT = PACKAGE if INSTALLED else PACKAGE.parent


def project_file(path: Path) -> Path:
    """A file by its path in a checkout: the working directory's, else the one that came with the package."""
    return path if path.is_absolute() or path.exists() or not (PROJECT / path).exists() else PROJECT / path


@contextmanager
def atomic(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success it is synced and renamed, on an error removed."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except Exception as error:
        # NumPy and safetensors tell of a full disk in their own words, a flush without the file's name.
        if getattr(error, "errno", None) in _FULL or re.search(_FULL_WORDS, str(error)):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


_FULL = (errno.ENOSPC, errno.EDQUOT)
_FULL_WORDS = r"No space left|\d+ requested and \d+ written"
_REMEDIES = {
    **dict.fromkeys(_FULL, "make room"),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "choose a place that you may write to"),
    **dict.fromkeys((errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG), "choose another place"),
}


def explained(error: OSError, place: Path | str = "") -> str | None:
    """A line on what a person can mend of an error of the file system; None for all others."""
    remedy = _REMEDIES.get(error.errno or 0)
    if remedy is None:
        return None
    return f"{error.filename or place}: {error.strerror}; {remedy} and start again"


@contextmanager
def writing(place: Path | str) -> Iterator[None]:
    """UserError where the block cannot write under ``place``: no rights, read-only, no space, no folder."""
    try:
        yield
    except OSError as error:
        remedy = _REMEDIES.get(error.errno or 0, "choose a place that you may write to")
        raise UserError(
            f"{error.filename or place}: cannot be written ({error.strerror}); {remedy} and start again"
        ) from None


def write_text(path: Path | str, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path | str, value: Any, indent: int | None = 1) -> None:
    """Write JSON atomically; NaN and infinity are refused, as JSON has none."""
    write_text(path, json.dumps(value, indent=indent, allow_nan=False) + "\n")


def read_json(path: Path | str, what: str = "JSON file") -> Any:
    """Read JSON; UserError names the file and the line where it is missing or malformed."""
    try:
        return _parse(_read_bytes(Path(path), what))
    except (ValueError, RecursionError) as error:  # also a number of too many digits
        raise UserError(f"{path}: not a valid {what}: {error}") from None


def read_form(path: Path, form: "msgspec.json.Decoder[Any]", what: str) -> tuple[Any, bool]:
    """Read JSON whose values are as ``form`` has them, without keys that it has not, and True.

    That takes a tenth of the time of reading the file and checking it. Where it is of another form, its whole
    value and False: the caller finds what is wrong, and names it. UserError as ``read_json``.
    """
    data = _read_bytes(path, what)
    try:
        with no_cycles():
            return form.decode(data), True
    except (ValueError, RecursionError):
        return read_json(path, what), False


def _read_bytes(path: Path, what: str) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path}: no such {what}") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); a {what} is expected") from None


def _parse(data: bytes) -> Any:
    """JSON by msgspec, in a third of the time; what it refuses (NaN among it), as Python has it."""
    with no_cycles():
        try:
            return msgspec.json.decode(data)
        except msgspec.DecodeError:
            return json.loads(data.decode("utf-8"))


@contextmanager
def no_cycles() -> Iterator[None]:
    """A block without Python's search for cycles, for what makes millions of objects that have none."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def sha256(path: Path | str) -> str:
    """The hexadecimal SHA-256 of a file's bytes."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _hash_of_entries(value: dict[str, Any]) -> str:
    rest = {key: entry for key, entry in value.items() if key != SEAL}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def write_sealed(path: Path | str, value: dict[str, Any]) -> None:
    """Write a JSON object atomically with the hash of its entries, which `read_sealed` checks."""
    plain = json.loads(json.dumps(value, allow_nan=False))  # as it will be read: lists, keys that are text
    write_json(path, {**plain, SEAL: _hash_of_entries(plain)})


def read_sealed(path: Path | str, what: str, remedy: str) -> Any:
    """Read JSON; UserError, which ends in ``remedy``, where it is not what `write_sealed` wrote.

    Files without a seal, which older versions wrote, are read as they are; `is_sealed` tells.
    """
    value = read_json(path, what)
    if is_sealed(value) and value[SEAL] != _hash_of_entries(value):
        raise UserError(f"{path}: not as it was written: damaged, or edited by hand; {remedy}")
    return value


def is_sealed(value: Any) -> bool:
    """Whether a JSON value that was read tells the hash of its entries."""
    return isinstance(value, dict) and SEAL in value


def _hash_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def write_hash(path: Path | str) -> None:
    """Keep a file's hash beside it, in ``sha256sum``'s form, for what has no place for one of its own."""
    path = Path(path)
    write_text(_hash_file(path), f"{sha256(path)}  {path.name}\n")


def check_hash(path: Path, remedy: str) -> bool:
    """Whether a file has its hash beside it; UserError, which ends in ``remedy``, where it has another."""
    beside = _hash_file(path)
    if not beside.is_file():
        return False
    if beside.read_text(encoding="utf-8", errors="replace").split()[:1] != [sha256(path)]:
        raise UserError(f"{path}: not as it was written: damaged, or edited by hand; {remedy}")
    return True
