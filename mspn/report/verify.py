"""A bundle checked, its files against the manifest and its figures against its matches; and put back."""

import hashlib
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from mspn.data.skeletons import skeleton
from mspn.errors import UserError, shown
from mspn.evaluation.rescoring import MATCHES, check_evaluation
from mspn.files import atomic, read_sealed
from mspn.report.bundle import MANIFEST

METRICS = "metrics.json"
# Larger than results are, or compressed more than numbers and text can be.
_LARGEST, _LARGE, _TIGHTEST = 4 << 30, 32 << 20, 200  # bytes, bytes, times


def verify(archive: Path) -> dict[str, Any]:
    """Compare an archive, or a folder unpacked from one, with its manifest.

    Returns the names ``changed``, ``missing``, ``extra`` (in the archive but not in the manifest) and
    ``damaged`` (unreadable, twice there, or outside the archive's folder), and ``files``, the number of files
    listed. Raises UserError where there is no bundle at all. `rescore` looks at what the files say.
    """
    findings: dict[str, Any] = {"changed": [], "missing": [], "extra": [], "damaged": [], "files": 0}
    hashes: dict[str, str] = {}
    manifest: bytes | None = None
    for name, data in read_archive(archive):
        outside = PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts
        if data is None or outside or name in hashes:
            findings["damaged"].append(name)
        else:
            hashes[name] = hashlib.sha256(data).hexdigest()
            manifest = data if name == MANIFEST else manifest
    if manifest is None:
        raise UserError(f"{archive}: no readable {MANIFEST} in it: not an evidence bundle, or a damaged one")
    listed = _parse_manifest(manifest, archive)
    hashes.pop(MANIFEST)
    damaged = set(findings["damaged"])
    findings["files"] = len(listed)
    findings["changed"] = sorted(n for n, digest in listed.items() if n in hashes and hashes[n] != digest)
    findings["missing"] = sorted(n for n in listed if n not in hashes and n not in damaged)
    findings["extra"] = sorted(n for n in hashes if n not in listed)
    return findings


def _parse_manifest(manifest: bytes, archive: Path) -> dict[str, str]:
    listed: dict[str, str] = {}
    for number, line in enumerate(manifest.decode("utf-8", "replace").splitlines(), start=1):
        digest, _, name = line.partition("  ")
        if len(digest) != 64 or not name or name in listed:
            raise UserError(
                f"{archive}: {MANIFEST}, line {number}: not 'sha256  path', or there twice: {line!r}"
            )
        listed[name] = digest
    return listed


def read_archive(archive: Path) -> Iterator[tuple[str, bytes | None]]:
    """(name, bytes) of every file; None for bytes that cannot be read."""
    if archive.is_dir():
        for path in sorted(archive.rglob("*")):
            if path.is_symlink() or not (path.is_file() or path.is_dir()):
                yield path.relative_to(archive).as_posix(), None
            elif path.is_file():
                yield path.relative_to(archive).as_posix(), path.read_bytes()
        return
    try:
        with zipfile.ZipFile(archive) as file:
            for info in file.infolist():
                try:
                    yield info.filename, None if _is_bomb(info) else file.read(info)
                except (zipfile.BadZipFile, OSError, ValueError, EOFError, RuntimeError, zlib.error):
                    yield info.filename, None
    except FileNotFoundError:
        raise UserError(f"{archive}: no such file or folder") from None
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise UserError(f"{archive}: not a zip archive: {shown(str(error))}") from None


def _is_bomb(info: zipfile.ZipInfo) -> bool:
    """Whether a file is far larger than results are, or compressed more than numbers and text can be."""
    return info.file_size > _LARGEST or info.file_size > max(_LARGE, _TIGHTEST * info.compress_size)


def rescore(archive: Path) -> dict[str, Any]:
    """Compute the figures of every evaluation in an archive again from its matches.

    Returns ``evaluations``, their number, ``rescored``, of how many the matches are there and the joints are
    the program's own, and ``wrong``, a sentence for each that has other figures or other files.
    """
    findings: dict[str, Any] = {"evaluations": 0, "rescored": 0, "wrong": []}
    with tempfile.TemporaryDirectory() as folder:  # no name of the archive becomes a path
        for place, files in _evaluations(archive).items():
            findings["evaluations"] += 1
            if MATCHES not in files:
                continue
            for name, data in files.items():
                (Path(folder) / name).write_bytes(data)
            try:
                findings["rescored"] += _rescored(Path(folder))
            except UserError as error:
                findings["wrong"].append(str(error).replace(folder, shown(place)))
    return findings


def _evaluations(archive: Path) -> dict[str, dict[str, bytes]]:
    """Folder of an evaluation in the archive -> its files of figures and matches."""
    found: dict[str, dict[str, bytes]] = {}
    for name, data in read_archive(archive):
        path = PurePosixPath(name)
        if data is not None and path.name in (METRICS, MATCHES):
            found.setdefault(path.parent.as_posix(), {})[path.name] = data
    return {place: files for place, files in found.items() if METRICS in files}


def _rescored(folder: Path) -> int:
    """1 where an evaluation's figures were computed again, 0 where its joints are of another's own file."""
    content = read_sealed(folder / METRICS, "metrics file", "take the bundle from where it came from")
    try:
        joints = content["address"]["members"][0]["identity"]["joints"]
        if not isinstance(joints, str):
            return 0
        check_evaluation(folder, content, skeleton(joints))
    except (LookupError, TypeError, AttributeError) as error:
        raise UserError(f"{folder / METRICS}: not a metrics file ({error!r})") from None
    return 1


def restore(archive: Path, root: Path = Path()) -> int:
    """Write the archive's files below ``results/`` into ``root`` where they are not there yet; the graph goes
    on from them.

    Returns how many were written. Raises UserError, with nothing written, where the archive is not as packed,
    or a file of the same name and other content is there.
    """
    findings = verify(archive)
    wrong = [name for kind in ("changed", "missing", "damaged") for name in findings[kind]]
    if wrong:
        raise UserError(f"{archive}: not as packed ({', '.join(wrong[:3])}); mspn report verify lists all")
    files = {
        root / name: data
        for name, data in read_archive(archive)
        if data is not None and name.startswith("results/") and name not in findings["extra"]
    }
    for path, data in files.items():
        if path.exists() and path.read_bytes() != data:
            raise UserError(f"{path}: is there with other content than in {archive}; move it away first")
    fresh = [path for path in files if not path.exists()]
    evaluations = {path.parent for path in files if path.name == METRICS}
    # Evaluations last: Snakemake makes those again whose weights are newer.
    for path in sorted(fresh, key=lambda path: path.parent in evaluations):
        with atomic(path) as temporary:
            temporary.write_bytes(files[path])
    return len(fresh)
