"""The body's parts, as the owner map names them, and the parts at which each joint counts as visible."""

from mspn.data.synth.pose import SIDES

_NAMES = (
    "torso", "pelvis", "neck", "head", "hair", "backpack",
    *(f"{side}_{limb}" for side in SIDES
      for limb in ("thigh", "shin", "foot", "upper_arm", "forearm", "hand")),
)  # fmt: skip
PART = {name: index + 1 for index, name in enumerate(_NAMES)}  # 0 is nobody's


def _shown_at(joint: str) -> frozenset[int]:
    side, _, kind = joint.partition("_")
    parts: dict[str, tuple[str, ...]] = {
        "shoulder": ("torso", f"{side}_upper_arm"),
        "elbow": (f"{side}_upper_arm", f"{side}_forearm"),
        "wrist": (f"{side}_forearm", f"{side}_hand"),
        "hip": ("torso", "pelvis", f"{side}_thigh"),
        "knee": (f"{side}_thigh", f"{side}_shin"),
        "ankle": (f"{side}_shin", f"{side}_foot"),
    }
    return frozenset(PART[name] for name in parts.get(kind, ("head",)))


SHOWN_AT = {
    joint: _shown_at(joint)
    for joint in (
        "nose",
        *(f"{side}_{kind}" for side in SIDES
          for kind in ("eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle")),
    )
}  # fmt: skip
