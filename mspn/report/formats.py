"""A table's view as CSV, Markdown and LaTeX. HTML is the page's template's work."""

import csv
import io
from html import escape

from tabulate import tabulate

from mspn.report.views import Slot, View

_TEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{",
    "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "×": r"$\times$", "†": r"$\dagger$",
    "✓": r"\checkmark{}", "−": "$-$", "–": "--", "±": r"$\pm$", "²": r"\textsuperscript{2}",
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
    """The layout as CSV; each of ours has its interval, difference and state in columns of their own."""
    kinds = [{q for row in view.body for q in row[i].cells} for i in range(len(view.labels))]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    header: list[str] = []
    extras = ("low", "high", "difference")
    for label, kind in zip(view.labels, kinds, strict=True):
        header.append(label)
        if "ours" in kind:
            header += [f"{label}, {name}" for name in extras] + [f"{label}, state"]
    writer.writerow(header)
    for row in view.body:
        line: list[str] = []
        for slot, kind in zip(row, kinds, strict=True):
            if "ours" not in kind:
                line.append(slot_text(slot))
                continue
            ours = slot.cells.get("ours")
            line.append(ours.text if ours and ours.value is not None else "")
            line += [slot.cells[name].text if name in slot.cells else "" for name in extras]
            line.append(": ".join(filter(None, [ours.status, ours.reason])) if ours else slot.text)
        writer.writerow(line)
    return out.getvalue()


def to_markdown(view: View) -> str:
    """A GitHub table with caption and notes."""
    rows = [[slot_text(slot) for slot in row] for row in view.body]
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
    """A booktabs table; needs the packages booktabs, amssymb (for the tick) and graphicx (wide tables
    shrink).
    """
    columns = len(view.labels)
    lines = [
        r"\begin{table}", r"\centering", rf"\caption{{{tex(caption(view))}. {tex(' '.join(view.notes))}}}",
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{{'l' * columns}}}", r"\toprule",
    ]  # fmt: skip
    for row in view.header:
        parts = [
            rf"\multicolumn{{{span}}}{{c}}{{{tex(slot_text(slot))}}}" if span > 1 else tex(slot_text(slot))
            for slot, span in row
        ]
        lines.append(" & ".join(parts) + r" \\")
    lines.append(r"\midrule")
    lines += [" & ".join(tex(slot_text(slot)) for slot in row) + r" \\" for row in view.body]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}}", r"\end{table}"]) + "\n"


def to_html(view: View) -> str:
    """A document of this table alone, for pasting elsewhere; the page has the one with addresses."""
    head = "".join(
        "<tr>"
        + "".join(f'<th colspan="{span}">{escape(slot_text(slot))}</th>' for slot, span in row)
        + "</tr>\n"
        for row in view.header
    )
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(slot_text(slot))}</td>" for slot in row) + "</tr>\n"
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
