"""Joint sets: which joints a data set has, in order, and what else is known of them. Imports no torch.

COCO's, MPII's and LSP's lie beside this file, in ``joints/``; one's own is a file of the same kind anywhere.
``joints/coco.yaml`` says what the keys are.
"""

import re
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from mspn.errors import UserError
from mspn.experiment.plain_yaml import read_yaml

FOLDER = Path(__file__).with_name("joints")
# What joints of the upper half of a body are called, after the side; COCO's hips are there by intent.
UPPER = ("nose", "eye", "ear", "mouth", "chin", "head", "head_top", "upper_neck", "neck", "thorax", "chest",
         "shoulder", "elbow", "wrist", "hand", "thumb", "finger")  # fmt: skip
_SIDES = {"left_": "right_", "right_": "left_"}

JointName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=60)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Length(_Strict):
    """PCK's measure: a share of the distance between two joints."""

    ends: tuple[JointName, JointName]
    share: float = Field(gt=0, le=10)


class JointSet(_Strict):
    """A joint set as its file has it; `upper_body` by the joints' names where the file does not say."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$", max_length=60)
    joints: tuple[JointName, ...] = Field(min_length=1, max_length=1000)
    limbs: tuple[tuple[JointName, JointName], ...] = ()
    upper_body: tuple[JointName, ...]
    sigmas: dict[JointName, Annotated[float, Field(gt=0, le=10)]] | None = None
    pck: dict[str, Length] = {}

    @model_validator(mode="before")
    @classmethod
    def _upper_by_name(cls, value: Any) -> Any:
        joints = value.get("joints") if isinstance(value, dict) else None
        if isinstance(joints, list | tuple) and value.get("upper_body") is None:
            upper = [joint for joint in joints if re.sub("^(left|right)_", "", str(joint)) in UPPER]
            if not 0 < len(upper) < len(joints):
                raise ValueError("upper_body: the names of the joints do not tell it: give it")
            return {**value, "upper_body": upper}
        return value

    @model_validator(mode="after")
    def _fits(self) -> "JointSet":
        twice = sorted({joint for joint in self.joints if self.joints.count(joint) > 1})
        if twice:
            raise ValueError(f"joints: there twice: {', '.join(twice)}")
        alone = [joint for joint in self.joints if (other := mirror(joint)) and other not in self.joints]
        if alone:
            raise ValueError(f"joints: without the other side's: {', '.join(alone)}")
        for key, used in (
            ("limbs", [joint for limb in self.limbs for joint in limb]),
            ("upper_body", self.upper_body),
            ("sigmas", self.sigmas or ()),
            ("pck", [joint for length in self.pck.values() for joint in length.ends]),
        ):
            unknown = [joint for joint in used if joint not in self.joints]
            if unknown:
                raise ValueError(f"{key}: not among the joints: {', '.join(unknown)}")
        if self.sigmas is not None and (lacking := self.without_sigma):
            raise ValueError(f"sigmas: none for {', '.join(lacking)}; give each joint's, such as 0.079")
        return self

    @property
    def without_sigma(self) -> list[str]:
        """The joints that OKS cannot count."""
        return [joint for joint in self.joints if joint not in (self.sigmas or {})]

    @property
    def shipped(self) -> bool:
        """Whether it is one of this program's, whose name says all."""
        return self.name in shipped()

    @property
    def identity(self) -> Any:
        """What of it decides a training: the name of one of this program's, else joints and upper body."""
        if self.shipped:
            return self.name
        return {"joints": list(self.joints), "upper_body": sorted(self.upper_body)}


def mirror(joint: str) -> str | None:
    """The name of the joint on the other side; None for one in the middle."""
    for side, other in _SIDES.items():
        if joint.startswith(side):
            return other + joint.removeprefix(side)
    return None


def shipped() -> list[str]:
    """The names of this program's joint sets."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def load_joint_set(reference: str) -> JointSet:
    """A joint set by the name of one of this program's, or by the path of a YAML file, whose stem names it.

    UserError lists what is wrong in the file, such as joints that lack a sigma or the other side.
    """
    own = reference.endswith((".yaml", ".yml"))
    path = Path(reference) if own else FOLDER / f"{reference}.yaml"
    if not own and reference not in shipped():
        raise UserError(
            f"unknown joint set {reference!r}; there are: {', '.join(shipped())}; or give the path of a .yaml"
        )
    if own and path.stem in shipped():
        raise UserError(f"{path}: {path.stem!r} is a joint set of this program; call the file otherwise")
    try:
        return _read(path, path.stat().st_mtime_ns)
    except OSError as error:
        raise UserError(f"{path}: no such joint set ({error.strerror})") from None


@lru_cache
def _read(path: Path, changed_ns: int) -> JointSet:
    try:
        value = read_yaml(path)
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such joint set ({error.strerror})") from None
    if not isinstance(value, dict):
        raise UserError(f"{path}: a joint set is a mapping of keys to values")
    return checked({"name": path.stem, **value}, str(path))


def checked(value: Any, place: str) -> JointSet:
    """A joint set from plain values; UserError, which begins with ``place``, lists what is wrong."""
    try:
        return JointSet.model_validate(value)
    except ValidationError as error:
        lines = [
            f"  {'.'.join(map(str, e['loc']))}: {e['msg']}" if e["loc"] else f"  {e['msg']}"
            for e in error.errors()
        ]
        raise UserError(f"{place}: not a joint set\n" + "\n".join(lines)) from None
