"""Every number that the report shows, with the address that it came from."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pandas as pd

# printed: the paper's. measured: ours. derived: computed from others on the page. The rest hold no number and
# say why.
Status = Literal["printed", "measured", "derived", "not run", "cited"]
CELL_COLUMNS = (
    "id",
    "place",
    "row",
    "column",
    "quantity",
    "value",
    "text",
    "unit",
    "status",
    "reason",
    "address",
)


@dataclass(frozen=True)
class Entry:
    """One line of an address; ``link`` is a file, relative to the repository's root."""

    label: str
    text: str
    link: Path | None = None


@dataclass(frozen=True)
class Address:
    """Where a number came from: run, checkpoint hash, config, commit, seed, protocol, log."""

    key: str
    title: str
    entries: tuple[Entry, ...]


@dataclass(frozen=True)
class Cell:
    """A number, or the reason that there is none. ``text`` is what the page shows, to the letter."""

    id: str
    place: str
    row: str
    column: str
    quantity: str
    value: float | None
    text: str
    unit: str
    status: Status
    reason: str
    address: str


@dataclass
class Book:
    """The cells of a report in the page's order, and their addresses by key."""

    cells: list[Cell] = field(default_factory=list)
    addresses: dict[str, Address] = field(default_factory=dict)

    def address(self, key: str, title: str, entries: Iterable[Entry]) -> str:
        """Register an address once; returns its identifier."""
        if key not in self.addresses:
            self.addresses[key] = Address(f"a{len(self.addresses)}", title, tuple(entries))
        return key

    def add(
        self,
        place: str,
        row: str,
        column: str,
        quantity: str,
        value: float | None,
        text: str,
        *,
        unit: str = "",
        status: Status = "measured",
        reason: str = "",
        address: str = "",
    ) -> Cell:
        """Register a cell. A number without an address is an error of the program."""
        assert address in self.addresses or value is None, f"{place}, {row}, {column}: no address"
        key = f"c{len(self.cells)}"
        cell = Cell(key, place, row, column, quantity, value, text, unit, status, reason, address)
        self.cells.append(cell)
        return cell

    def add_all(
        self, place: str, row: str, column: str, values: Mapping[str, float], address: str, unit: str = "%"
    ) -> dict[str, Cell]:
        """Cells of a measured figure by quantity: ours, and the ends of its interval."""
        return {
            quantity: self.add(place, row, column, quantity, v, f"{v:.1f}", unit=unit, address=address)
            for quantity, v in values.items()
        }

    def frame(self) -> pd.DataFrame:
        """The cells as a table, a row each; ``address`` spelled out as ``label: text`` parts."""
        rows = []
        for cell in self.cells:
            address = self.addresses.get(cell.address)
            words = "; ".join(f"{e.label}: {e.text}" for e in address.entries) if address else ""
            rows.append([getattr(cell, name) for name in CELL_COLUMNS[:-1]] + [words])
        return pd.DataFrame(rows, columns=list(CELL_COLUMNS))


def signed(value: float, digits: int) -> str:
    """``+0.3``, ``−0.1`` (with a real minus), ``0.0``."""
    text = f"{abs(value):.{digits}f}"
    if float(text) == 0:
        return text
    return ("+" if value > 0 else "−") + text
