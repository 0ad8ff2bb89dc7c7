"""The whole report of a scale: tables, figures, claims, cells and the page that shows them."""

import os
import re
from collections import Counter
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from pydantic import BaseModel, ConfigDict

from mspn.experiment.config import CONFIG
from mspn.experiment.experiment import ROOT, Experiment
from mspn.experiment.paper import FIGURES, Figures, load_figures
from mspn.experiment.provenance import commit_of
from mspn.files import project_file, write_json, write_text
from mspn.report import claims as claims_module
from mspn.report import costs, curves, extras, figures, learning, pictures, popover, style
from mspn.report.addresses import file_address
from mspn.report.cells import Book, Cell
from mspn.report.claims import ClaimResult, count_verdicts
from mspn.report.claims_view import claim_context, write_claims
from mspn.report.draws import Draws
from mspn.report.first_screen import elsewhere, is_silent, learnt, outcome, warnings
from mspn.report.formats import WRITERS, caption
from mspn.report.layout import load_layout
from mspn.report.planned import deviations
from mspn.report.points import main_ceiling
from mspn.report.reference import load_reference
from mspn.report.results import Results, collect
from mspn.report.rules import RULES
from mspn.report.settings import checked, read_settings
from mspn.report.style import Drawn
from mspn.report.tables import Tables
from mspn.report.tidy import write_tidy

LEDGER = CONFIG / "ledger.yaml"
TEMPLATES = Path(__file__).parent / "template"


@dataclass(frozen=True)
class Report:
    """What ``make_report`` wrote: the page and how many cells and files it has."""

    page: Path
    cells: int
    verdicts: dict[str, int]


def make_report(
    experiment: Experiment, out: Path, picture: str | None = None, photographs: bool = True
) -> Report:
    """Write the report of a scale to the folder ``out``, from the results there are. The same results, the
    same bytes. ``picture`` names the run of Figure 5; without it the best is taken. Without ``photographs``
    Figures 4 and 5 show what was found alone, if the persons are not drawn ones.
    """
    results, paper, book = collect(experiment), load_figures(), Book()
    draws = Draws(results)
    claims = claims_module.evaluate(results, paper, draws, main_ceiling(results))
    context = _context(results, paper, claims, draws, book, out)
    drawn = draw(results, paper, claims, draws, out / "figures", picture, photographs)
    write_tidy(results, paper, draws, out)
    for view in [*context["views"], *context["extra"], context["cost"]["view"]]:
        for suffix, write in WRITERS.items():
            write_text(out / "tables" / f"{view.id}.{suffix}", write(view))
    write_claims(claims, out)
    write_text(out / "cells.csv", book.frame().to_csv(index=False, lineterminator="\n"))
    shown = photographs and any(pictures.is_photographed(experiment, run.run) for run in experiment.trained)
    facts = {"scale": experiment.scale.name, "cells": len(book.cells), "photographs": shown}
    write_json(out / "report.json", {"format": 1, **facts})
    page = out / "index.html"
    write_text(page, render({**context, "first": drawn[0], "drawings": drawn[1:]}, book, out))
    return Report(page, len(book.cells), count_verdicts(claims))


def _context(
    results: Results, paper: Figures, claims: list[ClaimResult], draws: Draws, book: Book, out: Path
) -> dict[str, Any]:
    """What the template shows but for the figures; every number of it is registered in the book."""
    reference = load_reference(results.experiment)
    views = Tables(results, paper, load_layout(), book, reference).views()
    extra = [
        costs.flops_view(results, book),
        costs.ceilings_view(results, book),
        extras.evaluations_view(results, book),
        extras.pck_view(results, book),
        extras.protocols_view(results, book),
        extras.detectors_view(results, book),
    ]
    cost, totals = costs.cost_view(results, book)
    judged = [claim_context(result, draws, book) for result in claims]
    told = [{**found, "learnt": learnt(found)} for found in judged]
    return {
        "scale": results.experiment.scale,
        "views": views,
        "extra": [view for view in extra if view],
        "claims": told,
        "silent": [found for found in told if is_silent(found["learnt"])],
        "outcome": outcome(results, book),
        "elsewhere": elsewhere(results.experiment, reference),
        "counts": _counts(claims, book, out),
        "facts": _facts(results, book, out),
        "warnings": warnings(results),
        "rules": {
            "text": project_file(RULES).read_text(encoding="utf-8"),
            "path": RULES,
            "deviations": deviations(draws),
            **commit_of(project_file(RULES)),
        },
        "ledger": load_ledger(),
        "superseded": ", ".join(results.superseded),
        "cost": {"view": cost, **_cost_cells(book, totals, out)},
        "environment": extras.environment_rows(results),
        "paper_file": FIGURES,
    }


class LedgerEntry(BaseModel):
    """A row of the protocol ledger."""

    model_config = ConfigDict(extra="forbid", strict=True)
    topic: str
    paper: str
    released: str
    default: str
    source: str


def load_ledger(path: Path = LEDGER) -> list[LedgerEntry]:
    """The protocol ledger; UserError where it is missing or malformed."""
    return checked(list[LedgerEntry], read_settings(path), path)


def draw(
    results: Results,
    paper: Figures,
    claims: list[ClaimResult],
    draws: Draws,
    folder: Path,
    picture: str | None = None,
    photographs: bool = True,
) -> list[Drawn]:
    """All figures, Figure 1 first; Figure 5 is of the run named ``picture``, else of the best. Without
    ``photographs`` Figures 4 and 5 leave them out.
    """
    drawn = [
        figures.figure_1(results, paper, draws, folder),
        curves.figure_difference(results, paper, draws, folder),
        curves.figure_training(results, paper, folder),
        curves.figure_capacity(results, paper, folder),
        learning.figure_ablations(results, claims, folder),
        pictures.figure_4(results, folder, photographs),
        pictures.figure_5(results, folder, picture, photographs),
        learning.figure_learning(results, folder),
    ]
    for figure in drawn:
        if not figure.panels:
            style.save_reason(folder, figure)
    return drawn


def render(context: dict[str, Any], book: Book, out: Path) -> str:
    """The page as HTML, nothing in it from outside."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True
    )  # fmt: skip
    environment.filters["sentence"] = sentence
    environment.filters["typo"] = typographic
    panel = count(1)
    environment.globals.update(
        key=lambda cell: book.addresses[cell.address].key,
        caption=caption,
        inline=lambda figure, number: _inline(figure, number, next(panel)),
        link=lambda path: relative(path, out),
    )
    texts = {
        name: Markup((TEMPLATES / file).read_text(encoding="utf-8"))
        for name, file in (("css", "page.css"), ("script", "page.js"))
    }
    used = {cell.address for cell in book.cells if cell.value is not None}
    addresses = [address for name, address in book.addresses.items() if name in used]
    packed = Markup(popover.pack(addresses, lambda path: relative(path, out)))
    return environment.get_template("page.html").render(**context, **texts, addresses=packed)


def _inline(figure: Drawn, number: int, panel: int) -> Markup:
    """A panel of a figure, our own SVG; ``panel`` is its number on the page."""
    title = figure.title if len(figure.panels) == 1 else f"{figure.title}, panel {number}"
    return Markup(style.themed(figure.panels[number - 1], title, f"p{panel}"))


def sentence(text: str) -> str:
    """The text with its first word as a sentence begins; a run's name, such as ``mspn-2``, stays as it is."""
    return re.sub(r"^[a-z]+(?=[\s,.:;]|$)", lambda first: first[0].capitalize(), text)


def typographic(text: object) -> Markup:
    """The text escaped, with curly apostrophes, and what stands between backticks as code."""
    curly = re.sub(r"(?<=\w)'", "’", str(text))
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(curly))))


def relative(path: Path, out: Path) -> str:
    """The link from the page in ``out`` to a file named from the repository's root, or by its whole path.

    As if the report lay in the repository, also where MSPN_ROOT has it elsewhere.
    """
    target = path if path.is_relative_to(ROOT) else ROOT / path
    return quote(os.path.relpath(target, out).replace(os.sep, "/"))


# ---- numbers that are neither a table's nor a figure's ----


def _count(book: Book, row: str, column: str, count: int, address: str) -> Cell:
    return book.add("Summary", row, column, "count", count, str(count), status="derived", address=address)


def _counts(claims: list[ClaimResult], book: Book, out: Path) -> list[tuple[str, Cell]]:
    address = file_address(book, "Counted from the claims", out / "claims.csv")
    found = count_verdicts(claims)
    return [(verdict, _count(book, "claims", verdict, count, address)) for verdict, count in found.items()]


def _facts(results: Results, book: Book, out: Path) -> list[tuple[str, list[Cell]]]:
    """The summary's lines: words and the counts that stand before them."""
    experiment = results.experiment
    address = file_address(book, "Counted from the cells of this report", out / "cells.csv")

    def line(words: str, *counts: int) -> tuple[str, list[Cell]]:
        return words, [_count(book, words, f"count {i}", n, address) for i, n in enumerate(counts, start=1)]

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
    printed = [record for record in results.flops.values() if record.get("source") == "the paper"]
    if printed:
        verdicts = Counter(str(record["verdict"]) for record in printed)
        words = "of the paper's printed FLOPs figures reproduced to the digit"
        lines.append(line(words, verdicts["match"], len(printed)))
        count = verdicts["known discrepancy"]
        known = "known discrepancy" if count == 1 else "known discrepancies"
        lines.append(line(f"{known} of FLOPs, explained in the FLOPs table", count))
    return lines


def _cost_cells(book: Book, totals: dict[str, float], out: Path) -> dict[str, Cell]:
    address = file_address(book, "Summed over the trainings", out / "tables" / "cost.csv")

    def cell(column: str, value: float, text: str) -> Cell:
        return book.add("Cost", "total", column, "sum", value, text, status="derived", address=address)

    hours = totals["device_hours"]
    return {
        "hours": cell("device hours", hours, f"{hours:.{4 if hours < 0.1 else 2}f}"),
        "trainings": cell("trainings", totals["trainings"], f"{totals['trainings']:.0f}"),
    }
