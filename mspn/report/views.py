"""A table as it is laid out, before it is written in any format."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from mspn.report.cells import Book, Cell

BLANK = {"", "-", "–"}  # texts that say nothing


@dataclass(frozen=True)
class Slot:
    """What stands at one place of a table: text, or cells (the first is the main one, such as ours).

    ``cells`` are by quantity: paper; or ours, low, high, difference; or height and width. With cells,
    ``text`` is a mark that follows. ``span`` columns are taken, from here on.
    """

    text: str = ""
    cells: dict[str, Cell] = field(default_factory=dict)
    span: int = 1


@dataclass(frozen=True)
class View:
    """A table ready to be written: header rows of (slot, columns spanned), body rows of slots."""

    id: str
    title: str
    notes: tuple[str, ...]
    header: tuple[tuple[tuple[Slot, int], ...], ...]
    body: tuple[tuple[Slot, ...], ...]
    labels: tuple[str, ...]  # one flat name for each column, for CSV

    @property
    def text_columns(self) -> frozenset[int]:
        """The columns that hold words, not numbers."""
        words = [
            {i for i, s in enumerate(self.spread(row)) if s and not s.cells and s.text not in BLANK}
            for row in self.body
        ]
        return frozenset(set.union(set(), *words))

    def spread(self, row: tuple[Slot, ...]) -> list[Slot | None]:
        """A slot or None for each column: None where a slot before reaches over."""
        spread: list[Slot | None] = []
        for slot in row:
            spread += [slot, *[None] * (slot.span - 1)]
        assert len(spread) == len(self.labels), f"{self.id}: a row of {len(spread)} columns"
        return spread


def view(id: str, title: str, labels: Sequence[str], rows: Sequence[Sequence[Slot]], *notes: str) -> View:
    """A plain table: one header row of ``labels``."""
    header = (tuple((Slot(label), 1) for label in labels),)
    return View(id, title, notes, header, tuple(tuple(row) for row in rows), tuple(labels))


def number(cell: Cell) -> Slot:
    return Slot(cells={"ours": cell})


def measured(
    book: Book, place: tuple[str, str, str], value: float | None, digits: int, address: str, unit: str = ""
) -> Slot:
    """A slot of a number that was measured, which is registered at its (place, row, column); else a dash."""
    if value is None:
        return Slot("–")
    return number(book.add(*place, "ours", value, f"{value:.{digits}f}", unit=unit, address=address))
