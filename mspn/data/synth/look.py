"""What a person looks like: skin, hair and clothes. Nothing here knows left from right."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from mspn.data.synth.canvas import Colour, darker, mix

T = TypeVar("T")


def _bgr(*codes: str) -> tuple[Colour, ...]:
    return tuple((int(c[4:6], 16), int(c[2:4], 16), int(c[0:2], 16)) for c in codes)


SKIN = _bgr("ecc8b0", "e6b999", "e2ad88", "d69b74", "c68863", "a96f4c", "8d5a3c", "6f4530", "573626")
HAIR = _bgr(
    "1c1512", "2b1d16", "3d291d", "5a3b25", "7a5230", "a67c48", "d2b074", "8a3d1f", "8e8a86", "c9c5c0"
)
CLOTH = _bgr(
    "f4f2ec", "e6dfd0", "1e2126", "3b3f46", "7c828a", "b9bec4", "1f3a5f", "2f5d8c", "5b8fc4", "9cc3e0",
    "7a1f2b", "b8323a", "e0574e", "f0908a", "c9763b", "e8a33d", "f2cf63", "6b7d3a", "3d6b4a", "7fb08a",
    "2c7a78", "6cbcb5", "5c4a8a", "9a7fc0", "c65f93", "e9b3c8", "6b4a36", "a58260",
)  # fmt: skip
TROUSERS = _bgr(
    "1f2a44", "2c3e63", "47628c", "7c97b8", "22242a", "3a3d44", "6d6f73", "8c7a5c", "b9a582", "4b5138",
    "5a3d2e", "d8d3c8", "4a2a38", "efece4",
)  # fmt: skip
SHOES = _bgr("f2f0ec", "24262b", "5a3a28", "8d1f2b", "2d4f86", "9a9da1", "c9a26b", "3f5a3c")

TOPS = ("t-shirt", "t-shirt", "long sleeves", "tank top", "shirt", "jacket", "hoodie")
PATTERNS = ("plain", "plain", "plain", "stripes", "stripes", "pinstripes", "check", "print", "panel", "dots")
BOTTOMS = ("trousers", "trousers", "trousers", "shorts", "skirt", "dress", "leggings")
HAIRSTYLES = ("short", "short", "cropped", "long", "long", "bob", "ponytail", "bun", "curly", "bald", "cap")


@dataclass(frozen=True)
class Look:
    """Colours are BGR. ``sleeve`` and ``leg``: how far cloth covers a limb, 1 to the elbow (knee), 2 all."""

    skin: Colour
    hair: Colour
    hairstyle: str
    top: str
    top_colour: Colour
    second_colour: Colour
    pattern: str
    sleeve: float
    bottom: str
    bottom_colour: Colour
    leg: float
    looseness: float
    shoes: Colour
    sole: Colour
    hem: float  # how far the top hangs below the hips' middle, in standing heights
    beard: bool = False
    glasses: bool = False
    backpack: Colour | None = None
    tie: Colour | None = None
    face: bool = True


def choose(rng: np.random.Generator, those: Sequence[T]) -> T:
    """One of those, each as likely."""
    return those[int(rng.integers(len(those)))]


def _pick(rng: np.random.Generator, colours: tuple[Colour, ...]) -> Colour:
    """One of the colours, a little changed."""
    colour = choose(rng, colours)
    tone = 1.0 + 0.07 * float(rng.normal())
    b, g, r = (
        min(max(c * tone * (1.0 + d), 6.0), 248.0)
        for c, d in zip(colour, rng.normal(0.0, 0.025, 3).tolist(), strict=True)
    )
    return b, g, r


def sample_look(rng: np.random.Generator) -> Look:
    top, bottom, style = choose(rng, TOPS), choose(rng, BOTTOMS), choose(rng, HAIRSTYLES)
    chance = rng.random(8)
    sleeve = {"t-shirt": 0.55, "tank top": 0.0}.get(top, 2.0)
    if top == "shirt" and chance[0] < 0.4:
        sleeve = 0.6
    leg = {"trousers": 2.0, "leggings": 2.0, "shorts": 0.55 + 0.4 * chance[1]}.get(bottom, 0.0)
    top_colour, second = _pick(rng, CLOTH), _pick(rng, CLOTH)
    if sum(abs(a - b) for a, b in zip(top_colour, second, strict=True)) < 110:
        second = mix(top_colour, (245.0, 245.0, 245.0) if sum(top_colour) < 380 else (40.0, 36.0, 34.0), 0.6)
    bottom_colour = top_colour if bottom == "dress" else _pick(rng, TROUSERS if bottom != "skirt" else CLOTH)
    pattern = "plain" if top == "jacket" else choose(rng, PATTERNS)
    skin = _pick(rng, SKIN)
    return Look(
        skin=skin,
        hair=_pick(rng, HAIR),
        hairstyle=style,
        top=top,
        top_colour=top_colour,
        second_colour=second,
        pattern=pattern,
        sleeve=sleeve,
        bottom=bottom,
        bottom_colour=bottom_colour,
        leg=leg,
        looseness=1.03 if bottom == "leggings" else 1.08 + 0.14 * float(chance[2]),
        shoes=_pick(rng, SHOES),
        sole=(226.0, 232.0, 234.0) if chance[3] < 0.5 else (48.0, 46.0, 44.0),
        hem=0.0 if bottom in ("skirt", "dress") else 0.01 + 0.045 * float(chance[4]),
        beard=bool(style in ("short", "cropped", "bald", "cap") and chance[5] < 0.3),
        glasses=bool(chance[6] < 0.18),
        backpack=_pick(rng, CLOTH) if chance[7] < 0.12 else None,
        tie=_pick(rng, CLOTH) if top == "shirt" and sleeve == 2.0 and chance[7] > 0.65 else None,
    )


def lifeless(look: Look, colour: Colour) -> Look:
    """The same figure in one material, without a face: a statue or a mannequin."""
    light, dark = darker(colour, 1.08), darker(colour, 0.9)
    return replace(
        look,
        skin=colour,
        hair=dark,
        top_colour=light,
        second_colour=dark,
        bottom_colour=dark,
        shoes=dark,
        sole=dark,
        pattern="plain",
        glasses=False,
        beard=False,
        backpack=None,
        tie=None,
        face=False,
    )
