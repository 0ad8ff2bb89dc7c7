"""Joint sets as arrays have them, indices in place of names; ``experiment.joint_sets`` reads their files."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mspn.errors import UserError
from mspn.experiment.joint_sets import JointSet, checked, load_joint_set, mirror, shipped


@dataclass(frozen=True)
class Pck:
    """A joint is right within ``share`` times the distance of the person's joints ``ends``."""

    name: str
    ends: tuple[int, int]
    share: float


@dataclass(frozen=True)
class Skeleton:
    """A joint set. ``limbs``, ``mirror_pairs`` and ``upper_body`` hold 0-based joint indices."""

    name: str
    joints: tuple[str, ...]
    mirror_pairs: tuple[tuple[int, int], ...]
    limbs: tuple[tuple[int, int], ...]
    upper_body: tuple[int, ...]
    # COCO's per-joint falloff constants (k in the OKS formula is 2 sigma); None where OKS is not defined.
    sigmas: tuple[float, ...] | None
    pck: tuple[Pck, ...] = ()

    @property
    def mirrored(self) -> np.ndarray:
        """(K,) the index of each joint's mirror image; itself where it has none."""
        order = np.arange(len(self.joints))
        for left, right in self.mirror_pairs:
            order[left], order[right] = right, left
        return order


def skeleton(reference: str) -> Skeleton:
    """The joint set of that name, or of that file; UserError as `load_joint_set`."""
    return _skeleton(load_joint_set(reference))


def skeleton_of_weights(header: Mapping[str, Any]) -> Skeleton:
    """The joint set that a weight file's header names, or holds where it is not one of this program's.

    UserError where it does neither; a header names no files.
    """
    name = header["joint_set"]
    if "joints" not in header:
        if name not in shipped():
            there = ", ".join(shipped())
            raise UserError(
                f"unknown joint set {name!r}; there are: {there}; of others the header has joints"
            )
        return skeleton(name)
    found = checked(header["joints"], "joints")
    if found.name != name or found.shipped:
        raise UserError(f"joint_set {name!r}: joints say {found.name!r}")
    return _skeleton(found)


def _skeleton(found: JointSet) -> Skeleton:
    at = {joint: k for k, joint in enumerate(found.joints)}
    pairs = {tuple(sorted((k, at[other]))) for joint, k in at.items() if (other := mirror(joint))}
    return Skeleton(
        name=found.name,
        joints=found.joints,
        mirror_pairs=tuple((a, b) for a, b in sorted(pairs)),
        limbs=tuple((at[a], at[b]) for a, b in found.limbs),
        upper_body=tuple(sorted(at[joint] for joint in found.upper_body)),
        sigmas=None if found.sigmas is None else tuple(found.sigmas[joint] for joint in found.joints),
        pck=tuple(
            Pck(name, (at[one.ends[0]], at[one.ends[1]]), one.share) for name, one in found.pck.items()
        ),
    )


COCO, MPII, LSP = skeleton("coco"), skeleton("mpii"), skeleton("lsp")
