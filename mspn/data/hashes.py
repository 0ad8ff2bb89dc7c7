"""A data set's own list of hashes, by split: what its annotations and pictures must be."""

import re
from dataclasses import replace
from pathlib import Path

from mspn.data.persons import Persons
from mspn.errors import UserError
from mspn.files import sha256, write_text

_AGAIN = "make the data set again (mspn synth), or take the file from a copy"


def hash_list(root: Path, split: str) -> Path:
    """The list of the hashes of a split's annotations and pictures, as ``sha256sum -c`` reads it."""
    return root / f"{split}.sha256"


def write_hashes(root: Path, split: str, hashes: dict[str, str]) -> None:
    """Write a split's list: file below ``root`` -> SHA-256."""
    write_text(hash_list(root, split), "".join(f"{digest}  {file}\n" for file, digest in hashes.items()))


def read_hashes(root: Path, name: str) -> dict[str, str]:
    """File below ``root`` -> SHA-256, as ``mspn synth`` lists those of a split; nothing without a list.

    UserError where the list is malformed, or annotations have another hash than theirs.
    """
    path = hash_list(root, name)
    if not path.is_file():
        return {}
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    listed = {file: digest for digest, _, file in (line.partition("  ") for line in lines)}
    bad = [line for line in lines if not re.fullmatch(r"[0-9a-f]{64}  .+", line)]
    if bad or len(listed) != len(lines):
        raise UserError(f"{path}: not a list of hashes, or damaged; {_AGAIN}")
    for file, digest in listed.items():
        if file.startswith("annotations/") and (root / file).is_file() and sha256(root / file) != digest:
            raise UserError(
                f"{root / file}: damaged or edited: not the annotations that {path} lists; {_AGAIN}; if they "
                "were changed by intent, remove the list"
            )
    return listed


def with_hashes(persons: Persons, listed: dict[str, str], root: Path) -> Persons:
    """The persons, their pictures with the hashes that ``listed`` has of them."""
    pictures = {
        key: replace(picture, sha256=listed.get(picture.path.relative_to(root).as_posix()))
        for key, picture in persons.pictures.items()
    }
    return replace(persons, pictures=pictures)
