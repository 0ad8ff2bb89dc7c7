"""The page's first screen: what was learnt of each claim, in a sentence."""

from itertools import groupby
from typing import Any

from mspn.report.claims import VERDICTS
from mspn.report.views import Slot

SHOWN = 3  # statements of one verdict that are named; the rest are counted
# Verdicts that rest on a number.
MEASURED = ("supported", "contradicted", "undecided", "budget-limited", "about these weights")
UNMEASURED = ("not run", "not checkable here")
# What is no news in a sentence: the second is said once for the whole scale.
NO_NEWS = ("exact", "convergence not measured")


def learnt(claim: dict[str, Any]) -> list[dict[str, Any]]:
    """The parts of a claim's sentence, one for each verdict that its statements have, in `VERDICTS`' order.

    ``claim`` is what `claims_view.claim_context` gives. A part has the ``verdict``; ``statements``, the first
    few with their words and, where they were measured, the slot of what was; how many ``more``; and the first
    ``reason`` with how many ``others`` there are, but of what was not run: its words say what is missing.
    """
    ordered = sorted(claim["statements"], key=lambda statement: VERDICTS.index(statement["verdict"]))
    parts = []
    for verdict, group in groupby(ordered, key=lambda statement: statement["verdict"]):
        statements = list(group)
        reasons = dict.fromkeys(filter(None, (_news(s["reason"]) for s in statements)))
        parts.append(
            {
                "verdict": verdict,
                "statements": [
                    {"words": s["words"], "unit": s["unit"], "ours": _measured(s)} for s in statements[:SHOWN]
                ],
                "more": max(0, len(statements) - SHOWN),
                "reason": "" if verdict == "not run" else next(iter(reasons), ""),
                "others": max(0, len(reasons) - 1),
            }
        )
    return parts


def is_silent(parts: list[dict[str, Any]]) -> bool:
    """Whether nothing at all was found out of a claim."""
    return all(part["verdict"] in UNMEASURED for part in parts)


def _news(reason: str) -> str:
    return "; ".join(part for part in reason.split("; ") if part not in NO_NEWS)


def _measured(statement: dict[str, Any]) -> Slot | None:
    """The slot of what was measured, where the verdict rests on it."""
    slot: Slot = statement["ours"]
    return slot if slot.cells and statement["verdict"] in MEASURED else None
