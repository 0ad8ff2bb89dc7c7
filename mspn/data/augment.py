"""The protocol's augmentation: which part of the picture a training sample shows, turned, mirrored or not.

Random numbers are keyed by (seed, epoch, sample), so that a sample depends on nothing else: not on workers,
ranks, restarts, or the samples before it.
"""

from dataclasses import dataclass, replace

import numpy as np

from mspn.data.geometry import (
    TEST_ENLARGEMENT,
    box_centres,
    compose,
    crop_matrices,
    fit_aspect,
    mirror_matrices,
    transform,
)
from mspn.data.skeletons import Skeleton

# A sample's uniform numbers in [0, 1), in this order.
DRAWS = ("extend_w", "extend_h", "half_body", "upper", "scale", "rotate", "angle", "flip")
# A half with more labelled joints than this is preferred; one with fewer is not cropped to.
_MIN_HALF_JOINTS = 3


@dataclass(frozen=True)
class Augmentation:
    """The numbers of an augmentation; lengths are factors of the box, angles degrees."""

    enlarge: tuple[float, float]  # the box's width, height times this,
    extend: tuple[float, float]  # then width, height times 1 + extend x uniform
    half_body_above: int  # half body where more joints than this are labelled,
    half_body_probability: float  # with this probability;
    upper_probability: float  # the upper half's share
    half_body_extend: tuple[float, float]  # its joints' box times 1 + extend x uniform
    scale: tuple[float, float]  # the crop's side times a uniform number in this range
    rotate_probability: float
    rotation: float  # uniform in -rotation .. rotation
    flip_probability: float
    shift: float = 0.0  # where nothing is extended: the centre moves by up to this share of the box's sides


# The probability that a standard normal number is below 0.5, as the released code draws the upper half.
_NORMAL_BELOW_HALF = 0.6914624612740131

# The released code.
_RELEASED = Augmentation(
    enlarge=(1.05, 1.05), extend=(0.6, 0.8), half_body_above=3, half_body_probability=0.3,
    upper_probability=_NORMAL_BELOW_HALF, half_body_extend=(0.6, 0.8), scale=(0.8 * 0.75, 0.8 * 1.25),
    rotate_probability=0.5, rotation=45.0, flip_probability=0.5,
)  # fmt: skip

AUGMENTATIONS = {
    "released": _RELEASED,
    # The paper, section 4.2: half body above eight joints with equal probability of the halves, rotation up
    # to 45 degrees. Where it is silent, as on the probabilities of half body, rotation and flip and on the
    # box's margin, the released code. Its range of scales, 0.7 to 1.35, is read in two ways: as a factor of
    # the crop's side, which makes crops 1.3 times as large as the tested ones in the middle; and divided by
    # 1.25, as CPN's code does, where the range comes from.
    "paper-literal": replace(_RELEASED, half_body_above=8, upper_probability=0.5, scale=(0.7, 1.35)),
    "paper-divided": replace(
        _RELEASED, half_body_above=8, upper_probability=0.5, scale=(0.7 / 1.25, 1.35 / 1.25)
    ),
    # Around the tested crop, for trainings too short to learn more: moved as a detector's boxes are, turned
    # and scaled a little, mirrored.
    "mild": Augmentation(
        enlarge=TEST_ENLARGEMENT, extend=(0.0, 0.0), half_body_above=99, half_body_probability=0.0,
        upper_probability=0.5, half_body_extend=(0.0, 0.0), scale=(0.8, 1.25),
        rotate_probability=0.5, rotation=20.0, flip_probability=0.5, shift=0.15,
    ),
    # Less still, for minutes of training: moved and scaled as a detector's boxes are, mirrored, never turned.
    "slight": Augmentation(
        enlarge=TEST_ENLARGEMENT, extend=(0.0, 0.0), half_body_above=99, half_body_probability=0.0,
        upper_probability=0.5, half_body_extend=(0.0, 0.0), scale=(0.9, 1.15),
        rotate_probability=0.0, rotation=0.0, flip_probability=0.5, shift=0.12,
    ),
    # The released code's MPII: ``Persons.boxes`` is already the square that it crops.
    "mpii": Augmentation(
        enlarge=(1.0, 1.0), extend=(0.0, 0.0), half_body_above=8, half_body_probability=0.5,
        upper_probability=_NORMAL_BELOW_HALF, half_body_extend=(0.6, 0.6), scale=(0.75, 1.25),
        rotate_probability=0.5, rotation=60.0, flip_probability=0.5,
    ),
    # No chance at all, the crop that is tested on: for trying whether a network can fit its training persons.
    "none": Augmentation(
        enlarge=TEST_ENLARGEMENT, extend=(0.0, 0.0), half_body_above=99, half_body_probability=0.0,
        upper_probability=0.5, half_body_extend=(0.0, 0.0), scale=(1.0, 1.0),
        rotate_probability=0.0, rotation=0.0, flip_probability=0.0,
    ),
}  # fmt: skip


def augmentation_for(name: str, skeleton: Skeleton) -> Augmentation:
    """The recipe of that name for a joint set: MPII's boxes are its protocol's squares, never enlarged."""
    recipe = AUGMENTATIONS[name]
    return replace(recipe, enlarge=(1.0, 1.0)) if skeleton.name == "mpii" else recipe


def draw(seed: int, epoch: int, samples: int) -> np.ndarray:
    """(samples, 8) the uniform numbers of every sample of an epoch, columns as in DRAWS.

    Philox with the key (seed, epoch): a counter's value gives four numbers, so sample i's are those from
    counter 2 i on, whoever draws them.
    """
    generator = np.random.Generator(np.random.Philox(key=np.array([seed, epoch], np.uint64)))
    return generator.random((samples, len(DRAWS)))


def half_bodies(
    joints: np.ndarray, skeleton: Skeleton, recipe: Augmentation, draws: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Who is cropped to a half of the body, (N,) bool, and the chosen half's joints' boxes (N, 4).

    The upper half if it has more than 3 labelled joints and the draw says so, else the lower if it has more
    than 3, else the upper; none where the half has fewer than 3, or no extent.
    """
    labelled = np.asarray(joints[:, :, 2] > 0)
    in_upper = np.isin(np.arange(joints.shape[1]), skeleton.upper_body)
    upper_count, lower_count = labelled[:, in_upper].sum(1), labelled[:, ~in_upper].sum(1)
    wants_upper = draws[:, 3] < recipe.upper_probability
    upper = ((upper_count > _MIN_HALF_JOINTS) & wants_upper) | (lower_count <= _MIN_HALF_JOINTS)
    boxes, count = joint_boxes(joints, labelled & (in_upper == upper[:, None]))
    applies = (labelled.sum(1) > recipe.half_body_above) & (draws[:, 2] < recipe.half_body_probability)
    return applies & (count >= _MIN_HALF_JOINTS) & (boxes[:, 2:].max(1) > 0), boxes


def joint_boxes(joints: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The boxes (N, 4) around the joints ``chosen`` (N, K), zeros where none is, and their count (N,)."""
    points = joints[:, :, :2].astype(float)
    low = np.where(chosen[:, :, None], points, np.inf).min(1)
    high = np.where(chosen[:, :, None], points, -np.inf).max(1)
    none = chosen.sum(1) == 0
    boxes = np.where(none[:, None], 0, np.concatenate([low, high - low], 1))
    return boxes, chosen.sum(1)


def augmented_crops(
    boxes: np.ndarray,
    joints: np.ndarray,
    skeleton: Skeleton,
    recipe: Augmentation,
    input_size: tuple[int, int],
    draws: np.ndarray,
) -> np.ndarray:
    """(N, 4) crops before rotation and mirroring: the box or a half body, extended, fitted and scaled."""
    half, half_boxes = half_bodies(joints, skeleton, recipe, draws)
    whole = np.array(recipe.enlarge) * (1 + np.array(recipe.extend) * draws[:, :2])
    part = 1 + np.array(recipe.half_body_extend) * draws[:, :2]
    base = np.where(half[:, None], half_boxes, boxes)
    sizes = fit_aspect(base[:, 2:] * np.where(half[:, None], part, whole), input_size)
    low, high = recipe.scale
    centres = box_centres(base) + (2 * draws[:, :2] - 1) * recipe.shift * base[:, 2:]
    return np.concatenate([centres, sizes * (low + (high - low) * draws[:, 4:5])], axis=1)


def augment(
    boxes: np.ndarray,
    joints: np.ndarray,
    widths: np.ndarray,
    skeleton: Skeleton,
    recipe: Augmentation,
    input_size: tuple[int, int],
    draws: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """The maps picture -> input (N, 2, 3) float64 and the joints (N, K, 3) float32 in the input.

    ``boxes`` (N, 4), ``joints`` (N, K, 3) and the pictures' ``widths`` (N,) in pixels of the pictures;
    ``input_size`` (H, W); ``draws`` (N, 8) as from ``draw``. A mirrored sample is the picture mirrored (x to
    width - x - 1, left and right joints swapped), then cropped. Joints outside the input are all zeros.
    """
    crops = augmented_crops(boxes, joints, skeleton, recipe, input_size, draws)
    angles = np.where(draws[:, 5] < recipe.rotate_probability, (2 * draws[:, 6] - 1) * recipe.rotation, 0.0)
    flip = draws[:, 7] < recipe.flip_probability
    crops[:, 0] = np.where(flip, widths - 1 - crops[:, 0], crops[:, 0])
    matrices = crop_matrices(crops, input_size, angles)
    mirrored = compose(matrices, mirror_matrices(widths))
    matrices = np.where(flip[:, None, None], mirrored, matrices)
    placed = place_joints(joints, matrices, input_size)
    return matrices, np.where(flip[:, None, None], placed[:, skeleton.mirrored], placed)


def place_joints(joints: np.ndarray, matrices: np.ndarray, input_size: tuple[int, int]) -> np.ndarray:
    """Joints (N, K, 3) float32 in the input; all zeros without a label or outside 0 <= x < W, 0 <= y < H."""
    height, width = input_size
    placed = joints.astype(np.float32)
    placed[:, :, :2] = transform(joints[:, :, :2].astype(float), matrices)
    x, y, v = np.moveaxis(placed, 2, 0)
    inside = (v > 0) & (x >= 0) & (x < width) & (y >= 0) & (y < height)
    return placed * inside[:, :, None]
