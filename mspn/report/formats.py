"""A table's view as CSV, Markdown and LaTeX. HTML is the page's template's work."""

import csv
import io
from collections.abc import Sequence
from html import escape

from tabulate import tabulate

from mspn.report.cells import Cell
from mspn.report.views import BLANK, Slot, View

_TEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{",
    "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "×": r"$\times$", "†": r"$\dagger$",
    "✓": r"\checkmark{}", "−": "$-$", "–": "--", "±": r"$\pm$", "“": "``", "”": "''", "’": "'",
    "…": r"\dots{}",
    **{power: rf"\textsuperscript{{{digit}}}" for digit, power in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")},
}  # fmt: skip


def slot_text(slot: Slot) -> str:
    """A slot in one line: ``71.4 [70.6, 72.1] (−0.1)``."""
    cells = slot.cells
    if "height" in cells:
        return f"{cells['height'].text}×{cells['width'].text}"
    if not cells:
        return slot.text
    main = cells.get("paper") or cells["ours"]
    text = main.text
    if "low" in cells:
        text += f" [{cells['low'].text}, {cells['high'].text}]"
    if "difference" in cells:
        text += f" ({cells['difference'].text})"
    return text + slot.text


def _flat_header(view: View) -> list[str]:
    """The header rows joined into one, spans repeated."""
    columns = [""] * len(view.labels)
    for row in view.header:
        position = 0
        for slot, span in row:
            for i in range(position, position + span):
                columns[i] = " ".join(filter(None, [columns[i], slot_text(slot)]))
            position += span
    return columns


def to_csv(view: View) -> str:
    """The layout with numbers for a program: full precision, an ASCII minus, nothing where there is none.

    A column of numbers has, as far as some row does, its interval, its difference to the paper's, the table's
    own mark and the state of what has no number in columns of their own behind it.
    """
    rows = [view.spread(row) for row in view.body]
    slots = [[row[i] for row in rows] for i in range(len(view.labels))]
    columns = [_csv_column(label, column) for label, column in zip(view.labels, slots, strict=True)]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    for line in zip(*(values for column in columns for values in column), strict=True):
        writer.writerow(line)
    return out.getvalue()


def _csv_column(label: str, slots: Sequence[Slot | None]) -> list[list[str]]:
    """The columns, each with its header, that a column of the layout becomes."""
    there = [slot or Slot() for slot in slots]
    if not any(slot.cells for slot in there):
        return [[label, *(slot.text for slot in there)]]
    kinds = {quantity for slot in there for quantity in slot.cells}
    if "height" in kinds:
        return [
            [f"{label}, {side}", *(_csv_number(slot.cells.get(side)) for slot in there)]
            for side in ("height", "width")
        ]
    main = [slot.cells.get("paper") or slot.cells.get("ours") for slot in there]
    columns = [[label, *map(_csv_number, main)]]
    for quantity in ("low", "high", "difference"):
        if quantity in kinds:
            columns.append([f"{label}, {quantity}", *(_csv_number(s.cells.get(quantity)) for s in there)])
    marks = ["" if slot.text in BLANK else slot.text for slot in there]
    if any(marks):
        columns.append([f"{label}, mark", *marks])
    states = [f"{c.status}: {c.reason}".removesuffix(": ") if c and c.value is None else "" for c in main]
    if any(states):
        columns.append([f"{label}, state", *states])
    return columns


def _csv_number(cell: Cell | None) -> str:
    """A printed figure to the printed digit, a measured one in full."""
    if cell is None or cell.value is None:
        return ""
    return cell.text if cell.status == "printed" else repr(cell.value)


def to_markdown(view: View) -> str:
    """A GitHub table with caption and notes."""
    rows = [[slot_text(slot) if slot else "" for slot in view.spread(row)] for row in view.body]
    table = tabulate(rows, headers=_flat_header(view), tablefmt="github", disable_numparse=True)
    notes = "".join(f"\n{note}\n" for note in view.notes)
    return f"**{caption(view)}**\n\n{table}\n{notes}"


def caption(view: View) -> str:
    """``Table 1. Single-stage networks ...``"""
    number = view.id.removeprefix("table-")
    return f"Table {number}. {view.title}" if number.isdigit() else view.title


def tex(text: str) -> str:
    """Text with LaTeX's special characters escaped."""
    return "".join(_TEX.get(character, character) for character in text)


def to_latex(view: View) -> str:
    """A booktabs table, its words left and its numbers right; LaTeX numbers it itself.

    Needs the packages booktabs, amssymb (for the tick) and graphicx (wide tables shrink).
    """
    words = view.text_columns | {0}
    form = "".join("l" if i in words else "r" for i in range(len(view.labels)))
    lines = [
        r"\begin{table}", r"\centering", rf"\caption{{{tex(f'{view.title}. ' + ' '.join(view.notes))}}}",
        rf"\label{{tab:{view.id}}}", r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{{form}}}", r"\toprule",
    ]  # fmt: skip
    lines += [" & ".join(_tex_slot(s, span, "c") for s, span in row) + r" \\" for row in view.header]
    lines.append(r"\midrule")
    lines += [" & ".join(_tex_slot(s, s.span, "l") for s in row) + r" \\" for row in view.body]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}}", r"\end{table}"]) + "\n"


def _tex_slot(slot: Slot, span: int, align: str) -> str:
    text = tex(slot_text(slot))
    return rf"\multicolumn{{{span}}}{{{align}}}{{{text}}}" if span > 1 else text


def to_html(view: View) -> str:
    """A document of this table alone, for pasting elsewhere; the page has the one with addresses."""
    head = "".join(
        "<tr>"
        + "".join(f'<th colspan="{span}">{escape(slot_text(slot))}</th>' for slot, span in row)
        + "</tr>\n"
        for row in view.header
    )
    body = "".join(
        "<tr>"
        + "".join(f'<td colspan="{slot.span}">{escape(slot_text(slot))}</td>' for slot in row)
        + "</tr>\n"
        for row in view.body
    )
    notes = "".join(f"<p>{escape(note)}</p>\n" for note in view.notes)
    title = escape(caption(view))
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title></head><body>\n'
        f"<table>\n<caption>{title}</caption>\n<thead>\n{head}</thead>\n<tbody>\n{body}</tbody>\n</table>\n{notes}"
        "</body></html>\n"
    )


WRITERS = {"csv": to_csv, "md": to_markdown, "tex": to_latex, "html": to_html}
