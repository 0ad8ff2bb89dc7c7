"""Pictures from their files: whole, of the size that the annotations say, or refused."""

import cv2
import numpy as np

from mspn.data.persons import Picture
from mspn.errors import UserError

# What a whole file of each kind ends in; decoders make up the missing rest of a truncated one.
_ENDINGS = {b"\xff\xd8": b"\xff\xd9", b"\x89PNG": b"IEND"}
_TAIL = 4096  # bytes: some writers pad their files


def read_picture(picture: Picture) -> np.ndarray:
    """The picture (H, W, 3) uint8, BGR, as stored (orientation tags are not applied, as in the released
    code).

    Raises UserError where the file is missing, no picture, truncated, or of another size than annotated.
    """
    try:
        data = np.fromfile(picture.path, np.uint8)
    except OSError as error:
        raise UserError(
            f"{picture.path}: cannot be read ({error.strerror}); fetch the data set anew"
        ) from None
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
