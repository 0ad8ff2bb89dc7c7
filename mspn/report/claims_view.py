"""The claims as the page and their files show them."""

import csv
import io
from pathlib import Path
from typing import Any

from mspn.experiment.paper import FIGURES, FLOPS
from mspn.files import write_json, write_text
from mspn.report.cells import Book, Cell, Entry
from mspn.report.claims import ClaimResult, PartResult
from mspn.report.draws import Draws
from mspn.report.views import Slot


def claim_context(result: ClaimResult, draws: Draws, book: Book) -> dict[str, Any]:
    """A claim as the template wants it, its numbers registered with the evaluations that they come from."""
    claim, number = result.claim, f"claim {result.claim.number}"
    address = _claim_address(result, draws, book)
    probability = None
    if result.probability is not None:
        text = f"{result.probability:.2f}"
        place = ("Claims", number, "all parts", "probability")
        probability = book.add(*place, result.probability, text, status="derived", address=address)
    return {
        "number": claim.number,
        "words": claim.words,
        "verdict": result.verdict,
        "reason": result.reason,
        "probability": probability,
        "noise": "" if draws.spread[1] else " (the noise of images alone)",
        "parts": [_part_context(number, part, address, book) for part in result.parts],
    }


def _claim_address(result: ClaimResult, draws: Draws, book: Book) -> str:
    entries = []
    for run, what in dict.fromkeys(need for part in result.claim.parts for need in part.needs):
        if what == FLOPS:
            entries.append(Entry(f"{run}, FLOPs", "flops.csv", draws.results.flops_file))
        for found in draws.evaluations(run, what) if what != FLOPS else ():
            name = f"{run} on {found.detector}, seed {found.seed}"
            entries.append(Entry(name, "metrics.json", found.folder / "metrics.json"))
    entries = [entry for entry in entries if entry.link and entry.link.is_file()]
    printed = Entry("paper", "figures.tsv", FIGURES)
    return book.address(f"claim/{result.claim.number}", f"Claim {result.claim.number}", [*entries, printed])


def _part_context(number: str, result: PartResult, address: str, book: Book) -> dict[str, Any]:
    part = result.part

    def cell(quantity: str, value: float, digits: int) -> Cell:
        text = f"{value:.{digits}f}".replace("-", "−")
        status: Any = "printed" if quantity == "paper" else "derived"
        return book.add(
            "Claims",
            number,
            part.words,
            quantity,
            value,
            text,
            unit=part.unit,
            status=status,
            address=address,
        )

    digits = 2 if part.unit != "AP" else 1
    if result.ours is None:
        why = "a run that it needs is not there"
        place = ("Claims", number, part.words, "ours")
        ours = Slot(cells={"ours": book.add(*place, None, "not run", status="not run", reason=why)})
    else:
        values = {"ours": result.ours, "low": result.low, "high": result.high}
        ours = Slot(
            cells={name: cell(name, value, digits) for name, value in values.items() if value is not None}
        )
    return {
        "words": part.words,
        "unit": part.unit,
        "small": part.kind == "small",
        "ours": ours,
        "paper": Slot(cells={"paper": cell("paper", result.paper, digits)})
        if result.paper is not None
        else Slot("–"),
        "probability": Slot(cells={"ours": cell("probability", result.probability, 2)})
        if result.probability is not None
        else Slot("–"),
    }


def write_claims(claims: list[ClaimResult], out: Path) -> None:
    """``claims.json`` and ``claims.csv``, a row each part."""
    records: list[dict[str, Any]] = [
        {
            "claim": r.claim.number, "words": r.claim.words, "verdict": r.verdict, "reason": r.reason,
            "probability": r.probability,
            "parts": [
                {"words": p.part.words, "unit": p.part.unit, "kind": p.part.kind, "ours": p.ours,
                 "low": p.low, "high": p.high, "paper": p.paper, "probability": p.probability,
                 "needs": [list(need) for need in p.part.needs]}
                for p in r.parts
            ],
        }
        for r in claims
    ]  # fmt: skip
    write_json(out / "claims.json", records)
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    names = ("words", "unit", "kind", "ours", "low", "high", "paper", "probability")
    writer.writerow(["claim", "verdict", "reason", "claim_probability", *(f"part_{n}" for n in names)])
    for record in records:
        head = [record["claim"], record["verdict"], record["reason"], record["probability"]]
        for part in record["parts"] or [{}]:
            writer.writerow([*head, *(part.get(name) for name in names)])
    write_text(out / "claims.csv", buffer.getvalue())
