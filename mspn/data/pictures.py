"""Pictures from their files: whole, of a size that can be worked with, or refused."""

import hashlib
import os
import re
import tempfile
import threading
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np

from mspn.data.persons import Picture
from mspn.errors import UserError

KINDS = ("JPEG", "PNG", "BMP", "WEBP", "TIFF")
MOST_SIDE = 32_766  # pixels: OpenCV's warp takes no longer side
MOST_BYTES = 1 << 30  # of a picture's file: more than the most pixels take, however they are stored
MOST_PIXELS = 178_956_970  # above this a picture is a bomb to Pillow; 537 MB when decoded

# What a whole file of each kind ends in; decoders make up the missing rest of a truncated one.
_ENDINGS = {b"\xff\xd8": b"\xff\xd9", b"\x89PNG": b"IEND"}
_TAIL = 4096  # bytes: some writers pad their files

# libjpeg's warnings that it made something up, then what OpenCV's other decoders say of damage; and what they
# all say of whole pictures.
_DAMAGE = rb"Corrupt JPEG data: (?!bad ICC)[^\n]*|Premature end of JPEG[^\n]*|Inconsistent progression[^\n]*"
_OTHER_DAMAGE = rb"\[ERROR:[^\n]*|libpng error[^\n]*"
_CHATTER = rb"Corrupt JPEG data: bad ICC[^\n]*|libpng warning[^\n]*|\[ WARN:[^\n]*|[^\n]*unknown JFIF[^\n]*"
_SAID = re.compile(rb"(" + _DAMAGE + rb")\n*|(" + _OTHER_DAMAGE + rb")\n*|(?:" + _CHATTER + rb")\n*")
_STANDARD_ERROR = threading.Lock()  # one decoding at a time has it


def read_picture(picture: Picture) -> np.ndarray:
    """A data set's picture (H, W, 3) uint8, BGR, as stored.

    Orientation tags are not applied: annotations are of the stored pixels. The released code reads with
    OpenCV's default, which turns such a picture and leaves its annotations as they are.

    Raises UserError where the file is missing, no picture, truncated, or of another size than annotated; and
    where it has another hash than the data set's list of them says.
    """
    try:
        _check_size(picture.path)
        data = np.fromfile(picture.path, np.uint8)
    except OSError as error:
        raise UserError(
            f"{picture.path}: cannot be read ({error.strerror}); fetch the data set anew"
        ) from None
    if picture.sha256 is not None and hashlib.sha256(data.tobytes()).hexdigest() != picture.sha256:
        raise UserError(f"{picture.path}: damaged: not the picture that the data set lists; make it again")
    head, tail = data[:4].tobytes(), data[-_TAIL:].tobytes()
    ending = next((end for start, end in _ENDINGS.items() if head.startswith(start)), b"")
    if ending not in tail:
        raise UserError(f"{picture.path}: truncated picture; fetch it anew")
    image = cv2.imdecode(data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION) if len(data) else None
    if image is None:
        raise UserError(
            f"{picture.path}: not a picture that OpenCV {cv2.__version__} can read; fetch it anew"
        )
    if image.shape[:2] != (picture.height, picture.width):
        raise UserError(
            f"{picture.path}: {image.shape[1]} x {image.shape[0]} pixels, annotated as "
            f"{picture.width} x {picture.height}; pictures and annotations belong to different releases"
        )
    return image


def read_upright(path: Path) -> np.ndarray:
    """Anybody's picture (H, W, 3) uint8, BGR, as people see it: turned as its orientation tag says.

    Raises UserError where the file cannot be read, is none of KINDS, is larger than MOST_SIDE or MOST_PIXELS
    (known from its head, before it is decoded), or is damaged as far as its decoder notices. JPEG, BMP and
    WebP have no checksum: 1,000 bytes overwritten in a JPEG are mostly noticed, a flipped bit seldom is.
    """
    try:
        _check_size(path)
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check the file and its rights") from None
    _check_head(path, data)
    image, damage = _decode(np.frombuffer(data, np.uint8))
    if image is None or damage:
        raise UserError(
            f"{path}: damaged ({damage or 'cannot be decoded to its end'}); copy it anew from its source; if "
            "it looks whole, open it in an image program and save it anew"
        )
    return image


def _check_size(path: Path) -> None:
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise UserError(
            f"{path}: {size / 1e9:.1f} GB: not a picture; at most {MOST_BYTES / 1e9:.1f} GB are read"
        )


def _check_head(path: Path, data: bytes) -> None:
    from PIL import Image

    large = (
        f"{path}: too large; at most {MOST_SIDE:,} pixels a side and {MOST_PIXELS / 1e6:.0f} million in all: "
        "make it smaller"
    )
    try:
        with Image.open(BytesIO(data), formats=KINDS) as image:
            width, height = image.size
    except Image.DecompressionBombError:
        raise UserError(large) from None
    except Exception:  # whatever a damaged head makes Pillow's readers raise
        raise UserError(
            f"{path}: no picture of a kind that is read ({', '.join(KINDS)}), or damaged at its head; "
            "save it anew as JPEG or PNG"
        ) from None
    if max(width, height) > MOST_SIDE:
        raise UserError(large)


def _decode(data: np.ndarray) -> tuple[np.ndarray | None, str]:
    """The picture, None where there is none, and what its decoder complained of.

    libjpeg and libtiff fill what is damaged with something and say so on standard error, and nowhere else.
    So that is where this looks; what others write there meanwhile is passed on.
    """
    with _STANDARD_ERROR, tempfile.TemporaryFile() as said:
        try:
            kept = os.dup(2)
        except OSError:  # there is no standard error
            return _imdecode(data), ""
        try:
            os.dup2(said.fileno(), 2)
            image = _imdecode(data)
        finally:
            os.dup2(kept, 2)
            os.close(kept)
        said.seek(0)
        text = said.read()
    if rest := _SAID.sub(b"", text):
        os.write(2, rest)
    complaints = [
        match[1] or b"an error in the middle" for match in _SAID.finditer(text) if match[1] or match[2]
    ]
    return image, complaints[0].decode() if complaints else ""


def _imdecode(data: np.ndarray) -> np.ndarray | None:
    try:
        return cv2.imdecode(data, cv2.IMREAD_COLOR)
    except cv2.error:
        return None
