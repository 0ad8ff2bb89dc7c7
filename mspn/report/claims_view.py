"""The claims as the page and their files show them."""

from pathlib import Path
from typing import Any

import pandas as pd

from mspn.experiment.paper import FIGURES
from mspn.files import write_json, write_text
from mspn.report.cells import Book, Cell, Entry
from mspn.report.claim_parts import COSTS, TRAINED
from mspn.report.claims import ClaimResult, StatementResult
from mspn.report.draws import Draws
from mspn.report.views import Slot

# A row of claims.csv: numbers at full precision, empty where there is none. ``level`` (0 to 1) is that of the
# interval ``low`` to ``high``; those that end in ``_here`` are about these images alone; ``trend`` has the
# contrast at each budget, as samples:value.
COLUMNS = (
    "claim", "statement", "words", "kind", "unit", "verdict", "reason", "ours", "low", "high", "level",
    "margin", "paper", "seeds", "verdict_here", "low_here", "high_here", "level_here", "trend",
)  # fmt: skip


def claim_context(result: ClaimResult, draws: Draws, book: Book) -> dict[str, Any]:
    """A claim as the template wants it, its numbers registered with the evaluations that they come from.

    ``summary`` counts the verdicts; ``statements`` has for each: name, words, unit, verdict, reason, and
    slots for ours (with the interval), level, margin and paper; ``here`` where the verdict on these images
    differs, with a slot; ``trend``, the contrast at each budget.
    """
    address = _claim_address(result, draws, book)
    return {
        "number": result.claim.number,
        "words": result.claim.words,
        "summary": result.summary,
        "statements": [_statement_context(s, address, book) for s in result.statements],
    }


def _claim_address(result: ClaimResult, draws: Draws, book: Book) -> str:
    entries = []
    for run, what in dict.fromkeys(need for s in result.claim.statements for need in s.needs):
        if what in COSTS:
            file = draws.results.trained_file if what == TRAINED else draws.results.flops_file
            entries.append(Entry(f"{run}, {what}", file.name, file))
        for found in draws.evaluations(run, what) if what not in COSTS else ():
            name = f"{run} on {found.detector}, seed {found.seed}"
            entries.append(Entry(name, "metrics.json", found.folder / "metrics.json"))
    entries = [entry for entry in entries if entry.link and entry.link.is_file()]
    printed = Entry("paper", "figures.tsv", FIGURES)
    return book.address(f"claim/{result.claim.number}", f"Claim {result.claim.number}", [*entries, printed])


def _statement_context(result: StatementResult, address: str, book: Book) -> dict[str, Any]:
    statement = result.statement
    digits = 1 if statement.unit == "AP" else 2

    def cell(quantity: str, value: float, digits: int = digits, unit: str = statement.unit) -> Cell:
        text = f"{value:.{digits}f}".replace("-", "−")
        status: Any = "printed" if quantity == "paper" else "derived"
        place = ("Claims", f"statement {result.name}", statement.words, quantity)
        return book.add(*place, value, text, unit=unit, status=status, address=address)

    def single(quantity: str, value: float | None, **more: Any) -> Slot:
        return Slot("–") if value is None else Slot(cells={"ours": cell(quantity, value, **more)})

    interval = {"ours": result.ours, "low": result.low, "high": result.high}
    here = None
    if result.here and result.here.verdict != result.verdict:
        ends = {"low": result.here.low, "high": result.here.high}
        cells = {name: cell(f"{name}, these images", value) for name, value in ends.items()}
        here = {"verdict": result.here.verdict, **cells}
    level = None if result.level is None else 100 * result.level
    return {
        "name": result.name,
        "words": statement.words,
        "kind": statement.kind,
        "unit": statement.unit,
        "verdict": result.verdict,
        "reason": result.reason,
        "ours": Slot("–")
        if result.ours is None
        else Slot(cells={name: cell(name, value) for name, value in interval.items() if value is not None}),
        "level": single("level", level, digits=1, unit="%"),
        "margin": single("margin", None if statement.kind == "fewer" else result.margin),
        "paper": Slot("–") if result.paper is None else Slot(cells={"paper": cell("paper", result.paper)}),
        "here": here,
        "trend": [(samples, cell(f"at {samples} samples", value)) for samples, value in result.trend],
    }


def write_claims(claims: list[ClaimResult], out: Path) -> None:
    """``claims.json``, and ``claims.csv``, a row each statement."""
    records: list[dict[str, Any]] = [
        {
            "claim": claim.claim.number,
            "words": claim.claim.words,
            "summary": claim.summary,
            "statements": [_record(claim, result) for result in claim.statements],
        }
        for claim in claims
    ]
    write_json(out / "claims.json", records)
    rows = [
        {
            **row,
            "seeds": " ".join(map(str, row["seeds"])),
            "trend": " ".join(f"{samples}:{value}" for samples, value in row["trend"]),
        }
        for record in records
        for row in record["statements"]
    ]
    table = pd.DataFrame(rows, columns=list(COLUMNS), dtype=object)
    write_text(out / "claims.csv", table.to_csv(index=False, lineterminator="\n"))


def _record(claim: ClaimResult, result: StatementResult) -> dict[str, Any]:
    own = ("verdict", "reason", "ours", "low", "high", "level", "margin", "paper")
    here = {f"{name}_here": getattr(result.here, name, None) for name in ("verdict", "low", "high", "level")}
    return {
        "claim": claim.claim.number,
        "statement": result.name,
        **{name: getattr(result.statement, name) for name in ("words", "kind", "unit")},
        **{name: getattr(result, name) for name in own},
        **here,
        "seeds": list(result.seeds),
        "trend": [list(point) for point in result.trend],
    }
