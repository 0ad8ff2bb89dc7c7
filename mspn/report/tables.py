"""Tables 1 to 9 in the paper's layout, each number of the paper with ours beside it."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from mspn.errors import UserError
from mspn.experiment.grid import Run
from mspn.experiment.paper import FLOPS, Figure, Figures
from mspn.report.addresses import paper_address
from mspn.report.cells import Book, signed
from mspn.report.layout import TABLES
from mspn.report.measured import Measures
from mspn.report.own_tables import own_view
from mspn.report.points import ceiling
from mspn.report.reference import Reference
from mspn.report.results import Results
from mspn.report.views import Slot, View, view

SIDES = ("paper", "ours", "reference run")  # what one of the paper's columns becomes, in this order


class Tables:
    """Builds the nine views; registers every cell in the book."""

    def __init__(
        self,
        results: Results,
        figures: Figures,
        layout: dict[str, Any],
        book: Book,
        reference: Reference | None = None,
    ) -> None:
        self.results, self.figures, self.layout, self.book = results, figures, layout, book
        self.reference = reference
        self.measures = Measures(results, layout, book)
        self.scale = results.experiment.scale.name

    def views(self) -> list[View]:
        """Tables 1 to 9, and those of one's own, in the file's order."""
        protocol = self.layout["protocol"]
        return [
            own_view(self.results, self.book, protocol, number, spec)
            if "runs" in spec
            else self._long(number, spec)
            if "columns" in spec
            else self._grid(number, spec)
            for number, spec in self.layout["tables"].items()
        ]

    # ---- one figure ----

    def printed(self, figure: Figure) -> Slot:
        cell = self.book.add(
            f"Table {figure.table}", figure.row, figure.column, "paper", figure.number, figure.value,
            unit=figure.unit, status="printed", reason="; ".join(figure.remarks),
            address=paper_address(self.book, figure),
        )  # fmt: skip
        mark = "†" if figure.column == "stages" and "†" in figure.row else ""
        return Slot(mark, {"paper": cell})

    def ours(self, figure: Figure) -> Slot:
        """Our number for a figure of the paper as a slot; without one, the reason."""
        measured = self.measures.measure(figure)
        place = f"Table {figure.table}"
        if not measured.values:
            cell = self.book.add(
                place, figure.row, figure.column, "ours", None, measured.status,
                unit=figure.unit, status=measured.status, reason=measured.reason,
            )  # fmt: skip
            return Slot(cells={"ours": cell})
        cells = {}
        for quantity, value in measured.values.items():
            text = (
                signed(value, measured.digits) if quantity == "difference" else f"{value:.{measured.digits}f}"
            )
            cells[quantity] = self.book.add(
                place, figure.row, figure.column, quantity, value, text, unit=figure.unit,
                status="derived" if quantity == "difference" else "measured",
                reason=measured.reason, address=measured.address,
            )  # fmt: skip
        return Slot(cells=cells)

    def kept(self, figure: Figure) -> Slot:
        """The reference run's number for a figure of the paper; an empty slot where it has none."""
        found = self.reference.mean(figure, self.layout) if self.reference else None
        if self.reference is None or found is None:
            return Slot()
        value, key, seeds = found
        cell = self.book.add(
            f"Table {figure.table}", figure.row, figure.column, "reference", value, f"{value:.1f}",
            unit=figure.unit, reason=f"{self.reference.scale} scale, mean over {seeds} seeds",
            address=self.reference.address(self.book, key, self.layout["protocol"]),
        )  # fmt: skip
        return Slot(cells={"ours": cell})

    # ---- layouts ----

    def _figure(self, number: int, row: str, column: str) -> Figure:
        try:
            return self.figures[number, row, column]
        except KeyError:
            raise UserError(
                f"{TABLES}: table {number}: the paper has no figure {row!r}, {column!r}"
            ) from None

    def _measurable(self, figure: Figure) -> bool:
        metric = figure.column in self.layout["metrics"]
        return bool(figure.run or "box AP" in figure.unit) and (metric or figure.column == FLOPS)

    def _reference(self, number: int, text: str) -> Figure | None:
        """The figure that ``=ROW | COLUMN`` names; None for plain text."""
        if not text.startswith("="):
            return None
        row, _, column = text[1:].rpartition("|")
        return self._figure(number, row.strip(), column.strip())

    def _grid(self, number: int, spec: dict[str, Any]) -> View:
        """A small table: each column with a measurable figure is split in the paper's and ours."""
        body = [[str(item) for item in row] for row in spec["body"]]
        references = [[self._reference(number, item) for item in row] for row in body]
        split = [self._columns(column) for column in zip(*references, strict=True)]
        header = list(self._grid_header(number, spec, split, references))
        rows = []
        for texts, figures in zip(body, references, strict=True):
            row: list[Slot] = []
            for text, figure, width in zip(texts, figures, split, strict=True):
                row.append(self.printed(figure) if figure else Slot(text))
                measurable = figure if figure and self._measurable(figure) else None
                if width > 1:
                    row.append(self.ours(measurable) if measurable else Slot())
                if width > 2:
                    row.append(self.kept(measurable) if measurable else Slot())
            rows.append(tuple(row))
        labels = []
        groups = [name for name, width in spec.get("groups", []) for _ in range(width)] or [""] * len(split)
        for head, group, width in zip(spec["head"], groups, split, strict=True):
            figure = self._reference(number, str(head))
            name = " ".join(filter(None, [group, figure.value if figure else str(head)]))
            labels += [f"{name}, {side}" for side in SIDES[:width]] if width > 1 else [name]
        notes = tuple(filter(None, [spec.get("note", ""), self._note(number)]))
        return View(f"table-{number}", spec["title"], notes, tuple(header), tuple(rows), tuple(labels))

    def _columns(self, figures: Sequence[Figure | None]) -> int:
        """How many columns one of the paper's becomes: its own; ours; the reference run's, of accuracy."""
        measurable = [figure for figure in figures if figure and self._measurable(figure)]
        if not measurable:
            return 1
        kept = self.reference and any(self.reference.mean(figure, self.layout) for figure in measurable)
        return 3 if kept else 2

    def _grid_header(
        self, number: int, spec: dict[str, Any], widths: list[int], references: list[list[Figure | None]]
    ) -> Iterator[tuple[tuple[Slot, int], ...]]:
        if "groups" in spec:
            sizes = [size for _, size in spec["groups"] if size]
            names = [name for name, size in spec["groups"] if size]
            starts = [sum(sizes[:i]) for i in range(len(sizes))]
            spans = [sum(widths[s : s + n]) for s, n in zip(starts, sizes, strict=True)]
            yield tuple((Slot(name), span) for name, span in zip(names, spans, strict=True))
        heads = []
        for head, width in zip(spec["head"], widths, strict=True):
            figure = self._reference(number, str(head))
            heads.append((self.printed(figure) if figure else Slot(str(head)), width))
        yield tuple(heads)
        subs: list[tuple[Slot, int]] = []
        for width, column in zip(widths, zip(*references, strict=True), strict=True):
            only_flops = all(f is None or f.column == FLOPS for f in column)
            name = "ours, full size" if only_flops else self._ours_label()
            titles = ("paper", name, self._kept_label())[:width] if width > 1 else ("",)
            subs += [(Slot(title), 1) for title in titles]
        yield tuple(subs)

    def _ours_label(self) -> str:
        return "ours" if self.scale == "paper" else f"{self.scale} scale"

    def _kept_label(self) -> str:
        return f"reference run ({self.reference.scale})" if self.reference else ""

    def _note(self, number: int) -> str:
        """What the table's own numbers are, and what they are not."""
        words, experiment = [], self.results.experiment
        if self.scale != "paper":
            scale = self.scale.capitalize()
            words.append(f"{scale} scale: not comparable with the paper, hence not subtracted.")
            if any(t == number and c == FLOPS for t, _, c in self.figures):
                words.append("FLOPs are always those at full size.")
        runs = dict.fromkeys(f.run for f in self.figures.values() if f.table == number)
        tops = [self._ceiling(experiment.grid[run]) for run in runs if run in experiment.grid]
        words += filter(None, dict.fromkeys(tops))
        if self.results.metrics.seed.nunique() == 1:
            words.append("A single seed: about these weights, intervals are of the images alone.")
        return " ".join(words)

    def _ceiling(self, run: Run) -> str:
        value = ceiling(self.results, run)
        if value is None:
            return ""
        height, width = self.results.experiment.input_size(run)
        return f"Perfect heat maps would score {value:.1f} at {height}×{width}, on true boxes."

    def _long(self, number: int, spec: dict[str, Any]) -> View:
        """A long table: the paper's row of each method, and below it ours where there is a run of it."""
        names: list[str] = spec["columns"]
        methods = list(dict.fromkeys(row for table, row, _ in self.figures if table == number))
        shown = {"Backbone": "backbones" in spec, "Input size": bool(spec.get("size"))}
        about = [label for label, there in shown.items() if there]
        body: list[tuple[Slot, ...]] = []
        for method in methods:
            figures = [self.figures.get((number, method, name)) for name in names]
            own = [self.ours(figure) if figure else Slot("–") for figure in figures]
            first = next(figure for figure in figures if figure)
            source = Slot("paper" if first.run else "cited")
            details = [Slot(spec["backbones"].get(method, ""))] if shown["Backbone"] else []
            details += [self._size(number, method)] if shown["Input size"] else []
            printed = [self.printed(figure) if figure else Slot("–") for figure in figures]
            body.append((Slot(method), source, *details, *printed))
            if first.run:
                body.append((Slot(method), Slot(self._ours_label()), *self._ours_row(first.run, about, own)))
            kept = [self.kept(figure) if figure and figure.run else Slot() for figure in figures]
            if any(slot.cells for slot in kept):
                body.append((Slot(method), Slot(self._kept_label()), *(Slot("") for _ in about), *kept))
        split = first.split
        labels = ("Method", "From", *about, *names)
        notes = (
            spec.get("note", ""),
            f"Paper: {split}. {self.layout['hidden'][split]}.",
            self._note(number),
        )
        return view(f"table-{number}", spec["title"], labels, body, *filter(None, notes))

    def _ours_row(self, name: str, about: list[str], own: list[Slot]) -> list[Slot]:
        """Ours in a long table; where nothing was measured the reason once, over all columns."""
        details = [Slot("") for _ in about]
        if "Input size" in about and name in self.results.experiment.grid:
            height, width = self.results.experiment.input_size(self.results.experiment.grid[name])
            details[-1] = Slot(f"{height}×{width}")
        if all(cell.value is None for slot in own for cell in slot.cells.values()):
            return [*details, replace(next(slot for slot in own if slot.cells), span=len(own))]
        return [*details, *own]

    def _size(self, number: int, row: str) -> Slot:
        height = self.figures.get((number, row, "input height"))
        width = self.figures.get((number, row, "input width"))
        if height is None or width is None:
            return Slot("")
        return Slot(
            "×", {"height": self.printed(height).cells["paper"], "width": self.printed(width).cells["paper"]}
        )
