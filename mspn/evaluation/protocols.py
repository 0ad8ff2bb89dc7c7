"""Test protocols by name: everything about a score that is neither the network nor the boxes.

The same checkpoint scores points apart under different protocols, so each is a named row here, every figure
carries its name, and one forward pass is scored under all of them. Imports no torch.
"""

from dataclasses import dataclass, fields, replace
from typing import Literal

from mspn.errors import UserError


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
    # The two steps between the paper's protocol and the next.
    "paper+shift": _SHIFTED,
    "paper+shift-no-filter": _SHIFTED_RAW,
    # As Simple Baseline and HRNet test: mirrored map moved a pixel, no filter, offset by the gradient's sign.
    "shift-1": replace(_SHIFTED_RAW, offset="gradient"),
    "paper+nms": replace(_PAPER, nms=True),
    "paper-no-box-score": replace(_PAPER, box_score=False),
}

# What a step between two protocols is called in a table: field -> text for its new value.
_STEPS: dict[str, dict[bool | int | str, str]] = {
    "flip": {True: "average with the mirrored crop", False: "no mirrored crop"},
    "shift": {1: "move the mirrored map one pixel", 0: "do not move the mirrored map"},
    "filter": {True: "Gaussian filter", False: "no Gaussian filter"},
    "offset": {
        "second": "quarter offset to the second highest pixel",
        "gradient": "quarter offset by the sign of the gradient",
    },
    "nms": {True: "OKS-NMS", False: "no OKS-NMS"},
    "box_score": {True: "box score in the person's score", False: "no box score"},
}


def filter_kernel(joint_set: str) -> int:
    """Size of the Gaussian filter on the heat maps (the released code's test configurations)."""
    return 9 if joint_set == "mpii" else 5


def protocol(name: str) -> Protocol:
    """The protocol of that name; UserError lists those there are."""
    if name not in PROTOCOLS:
        raise UserError(f"unknown protocol {name!r}; there are: {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]


def protocols_for(joint_set: str) -> dict[str, Protocol]:
    """The protocols that make a difference on a joint set: MPII's PCKh has neither scores nor duplicates."""
    if joint_set == "mpii":
        return {name: p for name, p in PROTOCOLS.items() if p.box_score and not p.nms}
    return dict(PROTOCOLS)


def path(start: str, end: str) -> list[tuple[str, str]]:
    """The single steps from one protocol to another: (what changes, the protocol after it) for each.

    Fields change one at a time, in the order of `Protocol`. UserError if a step between is not a named
    protocol, because then nothing was scored under it.
    """
    current, goal = protocol(start), protocol(end)
    steps = []
    for field in fields(Protocol):
        value = getattr(goal, field.name)
        if getattr(current, field.name) == value:
            continue
        current = replace(current, **{field.name: value})
        name = next((name for name, p in PROTOCOLS.items() if p == current), None)
        if name is None:
            raise UserError(
                f"no named protocol lies between {start!r} and {end!r} after {field.name} = {value!r}; "
                "add it to PROTOCOLS in mspn/evaluation/protocols.py"
            )
        steps.append((_STEPS[field.name][value], name))
    return steps
