"""What a file of weights really is, by its first bytes.

A download that failed leaves a page of HTML, a message, a pointer or nothing under the wanted name. torch and
safetensors then speak of corrupt pickles and headers; this module says what is there.
"""

import re
import struct
import zipfile
from pathlib import Path
from typing import Literal

from mspn.errors import UserError, shown

_HEAD = 1024  # bytes that are looked at
_LEGACY = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."  # how torch.save before 1.6 began
_BEGINNINGS = {
    b"\xff\xd8\xff": "a JPEG picture",
    b"\x89PNG": "a PNG picture",
    b"GIF8": "a GIF picture",
    b"%PDF": "a PDF",
    b"\x1f\x8b": "a gzip archive",
    b"BZh": "a bzip2 archive",
    b"\xfd7zXZ": "an xz archive",
    b"7z\xbc\xaf": "a 7z archive",
    b"Rar!": "a RAR archive",
    b"\x89HDF": "an HDF5 file",
    b"\x93NUMPY": "a NumPy array",
}


def refuse_other_files(path: Path, wanted: Literal["torch", "safetensors"]) -> None:
    """UserError, in one line, where the file is surely not what is wanted: a failed download, another format.

    A file that passes may still be damaged; its reader says so.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    kind, what = _kind(path, head)
    if kind == wanted:
        return
    if kind == "download":
        raise UserError(f"{path}: a failed download: {what} in place of the weights; download it again")
    remedies = {
        "torch": "a checkpoint of torch.save; make weights of it by `mspn import-checkpoint`",
        "safetensors": "safetensors, no checkpoint of torch.save; this project's own are used as they are",
        "pickle": "a Python pickle, which could run code, not a checkpoint of torch.save; it is not loaded",
    }
    raise UserError(f"{path}: {remedies[kind]}")


def _kind(path: Path, head: bytes) -> tuple[str, str]:
    """("torch", "safetensors", "pickle" or "download"; for a download what there is instead)."""
    if head.startswith(b"PK"):
        what = _wrong_zip(path)
        return ("download", what) if what else ("torch", "")
    if head.startswith(_LEGACY):
        return "torch", ""
    if len(head) > 8 and head[8:9] == b"{" and 2 <= struct.unpack("<Q", head[:8])[0] <= 100_000_000:
        return "safetensors", ""
    if len(head) > 1 and head[0] == 0x80 and 2 <= head[1] <= 5:
        return "pickle", ""
    return "download", _instead(path, head)


def _wrong_zip(path: Path) -> str:
    """What is wrong with a zip archive; empty for one as torch.save writes them, stored and whole."""
    size = path.stat().st_size
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except Exception:  # zipfile raises many kinds on a damaged archive
        return f"a zip archive without its end ({size} bytes)"
    if not any(entry.filename.endswith("/data.pkl") for entry in entries):
        return "a zip archive without a checkpoint of torch.save"
    if sum(entry.file_size for entry in entries) > size:
        return "a zip archive that unpacks to more than its own size, which torch.save never writes,"
    return ""


def _instead(path: Path, head: bytes) -> str:
    """What stands in the place of weights, in words."""
    if not head:
        return "an empty file"
    if not head.strip(b"\0"):
        return "nothing but zeros"
    for beginning, what in _BEGINNINGS.items():
        if head.startswith(beginning):
            return what
    if head[257:262] == b"ustar":
        return "a tar archive"
    text = _text(head)
    if text is None:
        return f"a file of no kind that is known ({path.stat().st_size} bytes)"
    lower = text.lower()
    if lower.startswith("version https://git-lfs"):
        return "a pointer of git-lfs (fetch it by `git lfs pull`)"
    if lower.startswith(("<!doctype html", "<html")) or "<html" in lower:
        title = re.search(r"<title>([^<]*)", text, re.IGNORECASE)
        return f"a page of HTML ('{shown(title[1].strip())}')" if title else "a page of HTML"
    if text.startswith("<"):
        return "a page of XML"
    return f"text ('{shown(text.splitlines()[0].strip(), 60)}')"


def _text(head: bytes) -> str | None:
    """The beginning as text, if it is any: UTF-8 (the last character may be cut) and printable."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = head.decode("utf-16", errors="ignore")
    else:
        try:
            text = head.removeprefix(b"\xef\xbb\xbf").decode("utf-8")
        except UnicodeDecodeError as error:
            if error.start < len(head) - 3:
                return head.decode("latin-1").strip() if head.lstrip().startswith(b"<") else None
            text = head[: error.start].decode("utf-8")
    text = text.strip()
    return text if text and all(char.isprintable() or char.isspace() for char in text) else None
