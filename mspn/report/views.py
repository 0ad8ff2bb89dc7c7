"""A table as it is laid out, before it is written in any format."""

from dataclasses import dataclass, field

from mspn.report.cells import Cell


@dataclass(frozen=True)
class Slot:
    """What stands at one place of a table: text, or cells (the first is the main one, such as ours).

    ``cells`` are by quantity: paper; or ours, low, high, difference; or height and width. With cells,
    ``text`` is a mark that follows.
    """

    text: str = ""
    cells: dict[str, Cell] = field(default_factory=dict)


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
        blank = {"", "-", "–"}
        words = [{i for i, s in enumerate(row) if not s.cells and s.text not in blank} for row in self.body]
        return frozenset(set.union(set(), *words))
