"""A bundle's results put back at their places, so that the graph goes on from what a bundle kept."""

from pathlib import Path

from mspn.errors import UserError
from mspn.files import atomic
from mspn.report.verify import read_archive, verify


def restore(archive: Path, root: Path = Path()) -> int:
    """Write the archive's files below ``results/`` into ``root`` where they are not there yet.

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
    fresh = {path: data for path, data in files.items() if not path.exists()}
    for path, data in fresh.items():
        with atomic(path) as temporary:
            temporary.write_bytes(data)
    return len(fresh)
