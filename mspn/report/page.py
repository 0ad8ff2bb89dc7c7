"""The whole report of a scale: tables, figures, claims, cells and the page that shows them."""

import csv
import io
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from mspn.config import CONFIG
from mspn.errors import UserError
from mspn.experiment import Experiment
from mspn.files import write_json, write_text
from mspn.report import claims as claims_module
from mspn.report import extras, figures, pictures, style
from mspn.report.addresses import file_address
from mspn.report.cells import Book, Cell, Entry
from mspn.report.claims import VERDICTS, ClaimResult, PartResult
from mspn.report.draws import Draws
from mspn.report.figures import Drawn
from mspn.report.formats import WRITERS, caption
from mspn.report.paper import FIGURES, FLOPS, Figures, load_figures
from mspn.report.results import Results, collect
from mspn.report.tables import Slot, Tables, View, load_layout

LEDGER = CONFIG / "ledger.yaml"
TEMPLATES = Path(__file__).parent / "template"


@dataclass(frozen=True)
class Report:
    """What ``make_report`` wrote: the page and how many cells and files it has."""

    page: Path
    cells: int
    verdicts: dict[str, int]


def make_report(experiment: Experiment, out: Path) -> Report:
    """Write the report of a scale to the folder ``out``, from the results there are. The same results, the same bytes."""
    results, figures_of_paper, book = collect(experiment), load_figures(), Book()
    views = Tables(results, figures_of_paper, load_layout(), book).views()
    protocols = extras.protocols_view(results, book)
    extra = [extras.flops_view(results, book), extras.evaluations_view(results, book)]
    extra += [protocols] if protocols else []
    extra.append(extras.detectors_view(results, book))
    cost, totals = extras.cost_view(results, book)
    draws = Draws(results)
    claims = claims_module.evaluate(results, figures_of_paper, draws)
    drawn = draw(results, figures_of_paper, claims, out / "figures")
    context = {
        "scale": experiment.scale,
        "first": drawn[0],
        "drawings": drawn[1:],
        "views": views,
        "extra": extra,
        "claims": [_claim_context(result, draws, book) for result in claims],
        "counts": _counts(claims, book, out),
        "facts": _facts(results, book, out),
        "warnings": _warnings(results),
        "rule": RULE,
        "ledger": load_ledger(),
        "cost": {"view": cost, **_cost_cells(book, totals, out)},
        "environment": extras.environment_rows(results),
        "paper_file": FIGURES,
    }
    for view in [*views, *extra, cost]:
        for suffix, write in WRITERS.items():
            write_text(out / "tables" / f"{view.id}.{suffix}", write(view))
    _write_claims(claims, out)
    write_text(out / "cells.csv", book.frame().to_csv(index=False, lineterminator="\n"))
    write_json(out / "report.json", {"format": 1, "scale": experiment.scale.name, "cells": len(book.cells)})
    page = out / "index.html"
    write_text(page, render(context, book, out))
    return Report(page, len(book.cells), {v: sum(c.verdict == v for c in claims) for v in VERDICTS})


RULE = (
    "A claim “holds” if all its parts are true with a probability of at least 0.95 and each gain is at least half the "
    "printed one, and “holds in direction” if a gain is smaller than that; it is “contradicted” if a part has a "
    "probability of at most 0.05, and “within noise” otherwise. The probability is the share of draws, over resampled "
    "images (the same for every run) and the spread over seeds. “Small” means at most twice what the paper prints. "
    "Runs that are missing, or have a single seed, make it “not enough runs”."
)  # fmt: skip


def load_ledger(path: Path = LEDGER) -> list[dict[str, str]]:
    """The protocol ledger; UserError where it is missing or malformed."""
    try:
        return extras.check_ledger(yaml.safe_load(path.read_text(encoding="utf-8")), str(path))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not valid YAML: {error}") from None


def draw(results: Results, paper: Figures, claims: list[ClaimResult], folder: Path) -> list[Drawn]:
    """All figures, Figure 1 first."""
    return [
        figures.figure_1(results, paper, folder),
        figures.figure_1_paper(results, paper, folder),
        figures.figure_ablations(results, claims, folder),
        figures.figure_capacity(results, folder),
        figures.figure_learning(results, folder),
        pictures.figure_4(results, folder),
        pictures.figure_5(results, folder),
    ]


def render(context: dict[str, Any], book: Book, out: Path) -> str:
    """The page as HTML, nothing in it from outside."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )  # fmt: skip
    environment.filters["sentence"] = lambda text: text[:1].upper() + text[1:]
    environment.filters["typo"] = lambda text: re.sub(r"(?<=\w)'", "’", str(text))
    environment.globals.update(
        key=lambda cell: book.addresses[cell.address].key,
        caption=caption,
        inline=lambda figure: Markup(
            style.themed(figure.svg, figure.title, figure.id)
        ),  # our own SVG, text drawn as paths
        link=lambda path: relative(path, out),
    )
    texts = {name: Markup((TEMPLATES / f"page.{suffix}").read_text(encoding="utf-8")) for name, suffix in (("css", "css"), ("script", "js"))}  # fmt: skip
    used = {cell.address for cell in book.cells if cell.value is not None}
    addresses = [address for name, address in book.addresses.items() if name in used]
    return environment.get_template("page.html").render(**context, **texts, addresses=addresses)


def relative(path: Path, out: Path) -> str:
    """The link from the page in ``out`` to a file named from the repository's root, or by its whole path."""
    return quote(os.path.relpath(path, out).replace(os.sep, "/"))


# ---- numbers that are neither a table's nor a figure's ----


def _computed(book: Book, out: Path) -> str:
    return file_address(book, "Counted from the cells of this report", out / "cells.csv")


def _counts(claims: list[ClaimResult], book: Book, out: Path) -> list[tuple[str, Cell]]:
    address = file_address(book, "Counted from the claims", out / "claims.csv")
    counts = [(verdict, sum(result.verdict == verdict for result in claims)) for verdict in VERDICTS]
    return [
        (
            verdict,
            book.add(
                "Summary", "claims", verdict, "count", count, str(count), status="derived", address=address
            ),
        )
        for verdict, count in counts
    ]


def _facts(results: Results, book: Book, out: Path) -> list[tuple[str, list[Cell]]]:
    """The summary's lines: words and the counts that stand before them."""
    experiment, address = results.experiment, _computed(book, out)

    def line(words: str, *counts: int) -> tuple[str, list[Cell]]:
        return words, [
            book.add("Summary", words, f"count {i}", "count", n, str(n), status="derived", address=address)
            for i, n in enumerate(counts, start=1)
        ]

    wanted = {(run.run, detector, seed) for run, seed, detector in experiment.evaluations()}
    trainings = experiment.trainings()
    lines = [
        line(
            "evaluations done (a run, a seed, a detector's boxes)",
            len(wanted & set(results.evaluations)),
            len(wanted),
        ),
        line("trainings done", len(set(trainings) & set(results.trainings)), len(trainings)),
        line(
            "seeds at this scale" if len(experiment.scale.seeds) > 1 else "seed at this scale",
            len(experiment.scale.seeds),
        ),
    ]
    if "verdict" in results.flops:
        printed = results.flops[results.flops.get("printed", results.flops.verdict).notna()]
        met = int(printed.verdict.astype(str).str.startswith("match").sum())
        lines.append(
            line(
                "printed FLOPs figures reproduced; the rest are explained in the FLOPs table",
                met,
                len(printed),
            )
        )
    return lines


def _warnings(results: Results) -> list[str]:
    stale = sorted({e.run for e in results.evaluations.values() if e.stale})
    words = []
    if stale:
        words.append(
            f"Measured with another configuration or other code than the present one: {', '.join(stale)}."
        )
    if results.foreign:
        words.append(
            f"Results of no run of this scale, left out of everything: {', '.join(results.foreign)}."
        )
    return words


def _cost_cells(book: Book, totals: dict[str, float], out: Path) -> dict[str, Cell | None]:
    address = file_address(book, "Summed over the trainings", out / "tables" / "cost.csv")

    def cell(column: str, value: float, text: str) -> Cell:
        return book.add("Cost", "total", column, "sum", value, text, status="derived", address=address)

    energy = totals["energy_kwh"]
    return {
        "hours": cell("device hours", totals["device_hours"], f"{totals['device_hours']:.2f}"),
        "trainings": cell("trainings", totals["trainings"], f"{totals['trainings']:.0f}"),
        "energy": cell("energy (kWh)", energy, f"{energy:.2f}") if energy else None,
    }


# ---- claims ----


def _claim_context(result: ClaimResult, draws: Draws, book: Book) -> dict[str, Any]:
    """A claim as the template wants it, its numbers registered with the evaluations that they come from."""
    claim, number = result.claim, f"claim {result.claim.number}"
    address = _claim_address(result, draws, book)
    probability = None
    if result.probability is not None:
        text = f"{result.probability:.2f}"
        probability = book.add("Claims", number, "all parts", "probability", result.probability, text, status="derived", address=address)  # fmt: skip
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
        for seed in draws.seeds(run, what) if what != FLOPS else ():
            folder = draws.results.evaluations[run, what, seed].folder
            entries.append(Entry(f"{run} on {what}, seed {seed}", "metrics.json", folder / "metrics.json"))
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
        words = "not run"
        ours = Slot(cells={"ours": book.add("Claims", number, part.words, "ours", None, words, status="not run", reason="a run that it needs is not there")})  # fmt: skip
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


def _write_claims(claims: list[ClaimResult], out: Path) -> None:
    """``claims.json`` and ``claims.csv``, a row each part."""
    records = [
        {
            "claim": r.claim.number, "words": r.claim.words, "verdict": r.verdict, "reason": r.reason,
            "probability": r.probability,
            "parts": [
                {"words": p.part.words, "unit": p.part.unit, "kind": p.part.kind, "ours": p.ours, "low": p.low,
                 "high": p.high, "paper": p.paper, "probability": p.probability,
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
        for part in record["parts"] or [{}]:  # type: ignore[union-attr]
            writer.writerow([*head, *(part.get(name) for name in names)])
    write_text(out / "claims.csv", buffer.getvalue())


__all__ = ["Report", "View", "make_report"]
