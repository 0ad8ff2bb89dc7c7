"""From a box to a crop and from a crop to the network's input, and back, for many persons at once.

A *crop* is (centre x, centre y, width, height) in pixels of the picture, of the input's aspect. A *matrix* is
the 2 x 3 affine map from the picture to the input: a similarity that takes the crop's centre to the input's
centre and the crop's width to the input's width. Coordinates are OpenCV's: pixel centres lie at whole
numbers.
"""

import numpy as np

# Protocol "Test": the box's width and height are enlarged before it is fitted to the aspect (released code).
TEST_ENLARGEMENT = (1.09, 1.135)


def fit_aspect(sizes: np.ndarray, input_size: tuple[int, int]) -> np.ndarray:
    """Enlarge the smaller side of each (width, height), (N, 2), to the aspect of ``input_size`` (H, W)."""
    height, width = input_size
    factor = np.maximum(sizes[:, 0] / width, sizes[:, 1] / height)
    return factor[:, None] * np.array([width, height], float)


def box_centres(boxes: np.ndarray) -> np.ndarray:
    """(N, 2) the centres x + w/2, y + h/2 of boxes (N, 4)."""
    boxes = np.asarray(boxes, float)
    return boxes[:, :2] + boxes[:, 2:] / 2


def test_crops(boxes: np.ndarray, input_size: tuple[int, int], enlarge: bool = True) -> np.ndarray:
    """The crops (N, 4) that the protocol tests on, of boxes (N, 4) as x, y, width, height.

    ``enlarge`` multiplies by TEST_ENLARGEMENT first: right for COCO and for every detector. MPII's boxes are
    already the squares that its protocol crops (``Persons.boxes``): pass False.
    """
    boxes = np.asarray(boxes, float).reshape(-1, 4)
    sizes = boxes[:, 2:] * (TEST_ENLARGEMENT if enlarge else (1.0, 1.0))
    return np.concatenate([box_centres(boxes), fit_aspect(sizes, input_size)], axis=1)


test_crops.__test__ = False  # type: ignore[attr-defined]  # its name looks like a test's


def crop_matrices(
    crops: np.ndarray, input_size: tuple[int, int], angles: np.ndarray | None = None
) -> np.ndarray:
    """(N, 2, 3) float64: picture -> input, for crops (N, 4) and ``angles`` (N,) in degrees.

    A positive angle turns the content counter-clockwise, as in ``cv2.getRotationMatrix2D``. The centre goes
    to (W/2, H/2), as in the released code.
    """
    height, width = input_size
    crops = np.asarray(crops, float).reshape(-1, 4)
    turn = np.radians(np.zeros(len(crops)) if angles is None else np.asarray(angles, float))
    scale = width / crops[:, 2]
    cos, sin = scale * np.cos(turn), scale * np.sin(turn)
    linear = np.stack([np.stack([cos, sin], 1), np.stack([-sin, cos], 1)], 1)
    return about(linear, crops[:, :2], np.array([width / 2, height / 2]))


def about(linear: np.ndarray, source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """(N, 2, 3): the affine maps of linear part (N, 2, 2) that take ``source`` (N, 2) to ``target`` (2,)."""
    shift = target - np.einsum("nij,nj->ni", linear, source)
    return np.concatenate([linear, shift[:, :, None]], axis=2)


def invert(matrices: np.ndarray) -> np.ndarray:
    """(N, 2, 3): the inverse of each affine map; input -> picture of what ``crop_matrices`` gives."""
    inverse = np.linalg.inv(matrices[:, :, :2])
    return np.concatenate([inverse, -inverse @ matrices[:, :, 2:]], axis=2)


def compose(second: np.ndarray, first: np.ndarray) -> np.ndarray:
    """(N, 2, 3): the affine map that does ``first``, then ``second``."""
    linear = second[:, :, :2] @ first[:, :, :2]
    return np.concatenate([linear, second[:, :, :2] @ first[:, :, 2:] + second[:, :, 2:]], axis=2)


def transform(points: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """Map points (N, ..., 2) each by its row's matrix (N, 2, 3)."""
    linear = np.einsum("nij,n...j->n...i", matrices[:, :, :2], points)
    shift = matrices[:, :, 2].reshape(len(matrices), *[1] * (points.ndim - 2), 2)
    return linear + shift


def mirror_matrices(widths: np.ndarray) -> np.ndarray:
    """(N, 2, 3): the mirror image of pictures ``widths`` (N,) wide: x to width - x - 1."""
    matrices = np.zeros((len(widths), 2, 3))
    matrices[:, 0, 0], matrices[:, 1, 1] = -1, 1
    matrices[:, 0, 2] = np.asarray(widths, float) - 1
    return matrices
