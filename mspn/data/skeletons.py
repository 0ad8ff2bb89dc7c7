"""The two joint sets, COCO's 17 and MPII's 16: names, mirror pairs, limbs, body halves and OKS constants."""

from dataclasses import dataclass

import numpy as np

from mspn.errors import UserError


@dataclass(frozen=True)
class Skeleton:
    """A joint set. ``limbs`` and ``mirror_pairs`` hold 0-based joint indices."""

    name: str
    joints: tuple[str, ...]
    mirror_pairs: tuple[tuple[int, int], ...]
    limbs: tuple[tuple[int, int], ...]
    upper_body: tuple[int, ...]
    # COCO's per-joint falloff constants (k in the OKS formula is 2 sigma); None where OKS is not defined.
    sigmas: tuple[float, ...] | None

    @property
    def mirrored(self) -> np.ndarray:
        """(K,) the index of each joint's mirror image; itself where it has none."""
        order = np.arange(len(self.joints))
        for left, right in self.mirror_pairs:
            order[left], order[right] = right, left
        return order

    @property
    def lower_body(self) -> tuple[int, ...]:
        """The joints that are not of the upper body."""
        return tuple(k for k in range(len(self.joints)) if k not in self.upper_body)


COCO = Skeleton(
    name="coco",
    joints=(
        "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder",
        "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee",
        "right_knee", "left_ankle", "right_ankle",
    ),
    mirror_pairs=((1, 2), (3, 4), (5, 6), (7, 8), (9, 10), (11, 12), (13, 14), (15, 16)),
    # The skeleton of COCO's person category, 0-based.
    limbs=(
        (15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11), (6, 12), (5, 6), (5, 7), (6, 8),
        (7, 9), (8, 10), (1, 2), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6),
    ),
    # Joints 0 to 12, as the released code has it: the hips count as upper body.
    upper_body=tuple(range(13)),
    # pycocotools' Params.kpt_oks_sigmas.
    sigmas=(
        0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072, 0.062, 0.062, 0.107, 0.107, 0.087,
        0.087, 0.089, 0.089,
    ),
)  # fmt: skip

MPII = Skeleton(
    name="mpii",
    joints=(
        "right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle", "pelvis", "thorax",
        "upper_neck", "head_top", "right_wrist", "right_elbow", "right_shoulder", "left_shoulder",
        "left_elbow", "left_wrist",
    ),
    mirror_pairs=((0, 5), (1, 4), (2, 3), (10, 15), (11, 14), (12, 13)),
    limbs=(
        (0, 1), (1, 2), (2, 6), (6, 3), (3, 4), (4, 5), (6, 7), (7, 8), (8, 9), (10, 11), (11, 12),
        (12, 7), (7, 13), (13, 14), (14, 15),
    ),
    upper_body=tuple(range(7, 16)),
    sigmas=None,
)  # fmt: skip

SKELETONS = {skeleton.name: skeleton for skeleton in (COCO, MPII)}


def skeleton(name: str) -> Skeleton:
    """The joint set of that name; UserError lists those there are."""
    if name not in SKELETONS:
        raise UserError(f"unknown joint set {name!r}; there are: {', '.join(SKELETONS)}")
    return SKELETONS[name]
