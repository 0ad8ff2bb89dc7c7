"""Tables 1 to 9 in the paper's layout, each number of the paper with ours beside it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from mspn.errors import UserError
from mspn.experiment.config import CONFIG
from mspn.experiment.paper import FLOPS, Figure, Figures
from mspn.report.addresses import evaluation_address, file_address, paper_address
from mspn.report.cells import Book, Entry, Status, signed
from mspn.report.own_tables import check_own, own_view
from mspn.report.results import Results
from mspn.report.views import Slot, View

TABLES = CONFIG / "tables.yaml"
FLOPS_DIGITS = 3  # ours is exact; the third digit shows how near the printed one it is


def load_layout(path: Path = TABLES) -> dict[str, Any]:
    """``tables.yaml``; UserError where it is missing or malformed."""
    try:
        layout = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not valid YAML: {error}") from None
    missing = {"protocol", "metrics", "hidden", "tables"} - set(layout or ())
    if missing:
        raise UserError(f"{path}: missing {', '.join(sorted(missing))}")
    for name, spec in layout["tables"].items():
        if "runs" in spec:
            check_own(name, spec, str(path))
    return dict(layout)


@dataclass(frozen=True)
class Measured:
    """Our side of a cell: values, or the status and reason of their absence."""

    status: Status
    reason: str = ""
    values: dict[str, float] = field(default_factory=dict)  # ours, low, high, difference
    address: str = ""
    digits: int = 1


class Tables:
    """Builds the nine views; registers every cell in the book."""

    def __init__(self, results: Results, figures: Figures, layout: dict[str, Any], book: Book) -> None:
        self.results, self.figures, self.layout, self.book = results, figures, layout, book
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
        """The paper's number as a slot."""
        cell = self.book.add(
            f"Table {figure.table}", figure.row, figure.column, "paper", figure.number, figure.value,
            unit=figure.unit, status="printed", reason="; ".join(figure.remarks),
            address=paper_address(self.book, figure),
        )  # fmt: skip
        mark = "†" if figure.column == "stages" and "†" in figure.row else ""
        return Slot(mark, {"paper": cell})

    def ours(self, figure: Figure) -> Slot:
        """Our number for a figure of the paper as a slot; without one, the reason."""
        measured = self.measure(figure)
        place = f"Table {figure.table}"
        if not measured.values:
            words = {"hidden": "hidden", "cited": "cited"}.get(measured.status, "not run")
            cell = self.book.add(
                place, figure.row, figure.column, "ours", None, words,
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

    def measure(self, figure: Figure) -> Measured:
        """Ours for a figure of the paper.

        FLOPs are always at the paper's full size, hence always subtracted. Accuracy is subtracted at the
        scale ``paper`` only, and never from a hidden test set's figure.
        """
        if figure.column == FLOPS and figure.run:
            return self._flops(figure)
        if "box AP" in figure.unit:
            return self._box_ap(figure)
        if not figure.run:
            return Measured("cited", "a system cited by the paper, not a run of this benchmark")
        return self._accuracy(figure)

    def _flops(self, figure: Figure) -> Measured:
        flops = self.results.flops
        if figure.run not in flops:
            return Measured(
                "not run", f"no FLOPs for {figure.run}: {self.results.flops_file} has no such row"
            )
        row = flops[figure.run]
        ours = float(row["gflops_paper_convention"])
        address = file_address(
            self.book,
            f"FLOPs of {figure.run} at the paper's input size",
            self.results.flops_file,
            Entry("run", figure.run),
            Entry("convention", "multiply-adds of convolutions, inference path, divided by 2^30"),
            Entry("verdict", f"{row.get('verdict', '')}: {row.get('reason', '')}".strip(": ")),
        )
        values = {"ours": ours, "difference": ours - figure.number}
        return Measured("measured", str(row.get("verdict", "")), values, address, FLOPS_DIGITS)

    def _box_ap(self, figure: Figure) -> Measured:
        name = ("coco", figure.detector)
        value = box_ap(self.results.boxes.get(name, {}))
        if value is None:
            return Measured("not run", f"no boxes of {figure.detector} at this scale")
        path = self.results.experiment.boxes_file(*name).with_suffix(".metrics.json")
        address = file_address(
            self.book, f"Box AP of {figure.detector}", path, Entry("detector", figure.detector)
        )
        values = {"ours": value}
        return Measured("measured", "", self._subtract(values, figure), address)

    def _accuracy(self, figure: Figure) -> Measured:
        experiment, protocol = self.results.experiment, self.layout["protocol"]
        metric = self.layout["metrics"][figure.column]
        if figure.run not in experiment.grid:
            return Measured("not run", f"{figure.run} is not among the runs of scale {self.scale}")
        compared = figure.column in self.layout["detectors"]  # there no detector may stand in for another
        detector = figure.detector if compared else experiment.boxes_for(figure.detector)
        if detector not in experiment.detectors(experiment.grid[figure.run]):
            return Measured("not run", f"scale {self.scale} does not evaluate on {detector}")
        estimate = self.results.estimate(figure.run, detector, metric, protocol)
        if estimate is None:
            folder = experiment.results / "runs" / figure.run
            return Measured("not run", f"no {metric} under {folder} on {detector}")
        address = evaluation_address(self.book, self.results, figure.run, detector, estimate.seeds, protocol)
        values = {"ours": estimate.value}
        if estimate.low < estimate.high:  # [0.0, 0.0] of a network that finds nothing is no interval
            values |= {"low": estimate.low, "high": estimate.high}
        reason = self.layout["hidden"].get(figure.split, "")
        return Measured("measured", reason, self._subtract(values, figure), address)

    def _subtract(self, values: dict[str, float], figure: Figure) -> dict[str, float]:
        if self.scale != "paper" or figure.split in self.layout["hidden"]:
            return values
        return {**values, "difference": values["ours"] - figure.number}

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
        split = [any(f and self._measurable(f) for f in column) for column in zip(*references, strict=True)]
        header = list(self._grid_header(number, spec, split, references))
        rows = []
        for texts, figures in zip(body, references, strict=True):
            row: list[Slot] = []
            for text, figure, both in zip(texts, figures, split, strict=True):
                row.append(self.printed(figure) if figure else Slot(text))
                if both:
                    row.append(self.ours(figure) if figure and self._measurable(figure) else Slot())
            rows.append(tuple(row))
        labels = []
        groups = [name for name, width in spec.get("groups", []) for _ in range(width)] or [""] * len(split)
        for head, group, both in zip(spec["head"], groups, split, strict=True):
            figure = self._reference(number, str(head))
            name = " ".join(filter(None, [group, figure.value if figure else str(head)]))
            labels += [f"{name}, paper", f"{name}, ours"] if both else [name]
        notes = tuple(filter(None, [spec.get("note", ""), self._note(number)]))
        return View(f"table-{number}", spec["title"], notes, tuple(header), tuple(rows), tuple(labels))

    def _grid_header(
        self, number: int, spec: dict[str, Any], split: list[bool], references: list[list[Figure | None]]
    ) -> Iterator[tuple[tuple[Slot, int], ...]]:
        widths = [2 if both else 1 for both in split]
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
        for both, column in zip(split, zip(*references, strict=True), strict=True):
            only_flops = all(f is None or f.column == FLOPS for f in column)
            name = "ours, full size" if only_flops else self._ours_label()
            subs += [(Slot("paper"), 1), (Slot(name), 1)] if both else [(Slot(""), 1)]
        yield tuple(subs)

    def _ours_label(self) -> str:
        return "ours" if self.scale == "paper" else f"{self.scale} scale"

    def _note(self, number: int) -> str:
        words = []
        if self.scale != "paper":
            words.append(
                f"{self.scale.capitalize()} scale: not comparable with the paper, hence not subtracted."
            )
            if any(t == number and c == FLOPS for t, _, c in self.figures):
                words.append("FLOPs are always those at full size.")
        if self.results.metrics.seed.nunique() == 1:
            words.append("A single seed: about these weights, intervals are of the images alone.")
        return " ".join(words)

    def _long(self, number: int, spec: dict[str, Any]) -> View:
        """A long table: the paper's columns, then ours in a block of their own, then each row's state."""
        names: list[str] = spec["columns"]
        rows = list(dict.fromkeys(row for table, row, _ in self.figures if table == number))
        texts = [
            "Method",
            *(["Backbone"] if "backbones" in spec else []),
            *(["Input size"] if spec.get("size") else []),
        ]
        split = self._figure(number, rows[0], names[0]).split
        body = []
        for row in rows:
            slots = [Slot(row)]
            if "backbones" in spec:
                slots.append(Slot(spec["backbones"].get(row, "")))
            if spec.get("size"):
                slots.append(self._size(number, row))
            figures = [self.figures.get((number, row, name)) for name in names]
            slots += [self.printed(f) if f else Slot("–") for f in figures]
            state = Slot("")
            for figure in figures:
                slots.append(self.ours(figure) if figure else Slot("–"))
            first = self.measure(self._figure(number, row, names[0]))
            state = Slot(first.reason or "measured")
            body.append((*slots, state))
        ours = f"{self._ours_label()}, local validation set (not {split})"
        header = (
            (
                (Slot(""), len(texts)),
                (Slot(f"paper, {split}"), len(names)),
                (Slot(ours), len(names)),
                (Slot(""), 1),
            ),
            tuple((Slot(text), 1) for text in (*texts, *names, *names, "Ours")),
        )
        labels = (*texts, *(f"{n}, paper" for n in names), *(f"{n}, ours" for n in names), "ours, state")
        notes = tuple(filter(None, [spec.get("note", ""), self._note(number)]))
        return View(f"table-{number}", spec["title"], notes, header, tuple(body), labels)

    def _size(self, number: int, row: str) -> Slot:
        height = self.figures.get((number, row, "input height"))
        width = self.figures.get((number, row, "input width"))
        if height is None or width is None:
            return Slot("")
        return Slot(
            "×", {"height": self.printed(height).cells["paper"], "width": self.printed(width).cells["paper"]}
        )


def box_ap(content: dict[str, Any]) -> float | None:
    """The measured box AP, in percent, of a detector's metrics file; None where it is not defined (MPII)."""
    value = content.get("box_ap")
    return None if value is None else float(value)
