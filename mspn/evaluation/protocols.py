"""Test protocols by name: everything about a score that is neither the network nor the boxes.

The same checkpoint scores points apart under different protocols, so each is a named row here, every figure
carries its name, and one forward pass is scored under all of them. Imports no torch.
"""

from dataclasses import dataclass, replace
from typing import Literal


@dataclass(frozen=True)
class Protocol:
    """What happens between the network's heat maps and the scored persons.

    ``flip``: average with the heat maps of the mirrored crop. ``shift``: pixels that the mirrored maps are
    moved to the right first. ``filter``: blur the maps by the Gaussian filter. ``offset``: a quarter pixel
    from the peak, towards the ``second`` highest pixel or by the sign of the ``gradient``. ``nms``: suppress
    near copies by OKS. ``box_score``: multiply a person's score by the box's.
    """

    flip: bool = True
    shift: int = 0
    filter: bool = True
    offset: Literal["second", "gradient"] = "second"
    nms: bool = False
    box_score: bool = True


_PAPER = Protocol()
_SHIFTED = replace(_PAPER, shift=1)
_SHIFTED_RAW = replace(_SHIFTED, filter=False)

PROTOCOLS: dict[str, Protocol] = {
    # The paper's test (section 4.1); what it leaves open is the released code's.
    "paper": _PAPER,
    "no-flip": replace(_PAPER, flip=False),
    "no-filter": replace(_PAPER, filter=False),
    # Two of the `STEPS` to the next.
    "paper+shift": _SHIFTED,
    "paper+shift-no-filter": _SHIFTED_RAW,
    # As Simple Baseline and HRNet test: mirrored map moved a pixel, no filter, offset by the gradient's sign.
    "shift-1": replace(_SHIFTED_RAW, offset="gradient"),
    "paper+nms": replace(_PAPER, nms=True),
    "paper-no-box-score": replace(_PAPER, box_score=False),
}

# From the paper's protocol to Simple Baseline's, a field at a time: what changes, and the protocol after it.
STEPS = (
    ("move the mirrored map one pixel", "paper+shift"),
    ("no Gaussian filter", "paper+shift-no-filter"),
    ("quarter offset by the sign of the gradient", "shift-1"),
)


def filter_kernel(joint_set: str) -> int:
    """Size of the Gaussian filter on the heat maps (the released code's test configurations)."""
    return 9 if joint_set == "mpii" else 5


def protocols_for(joint_set: str) -> dict[str, Protocol]:
    """The protocols that make a difference on a joint set: MPII's PCKh has neither scores nor duplicates."""
    if joint_set == "mpii":
        return {name: p for name, p in PROTOCOLS.items() if p.box_score and not p.nms}
    return dict(PROTOCOLS)
