"""Results of a reproduction: numbers with their source, line by line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Source = Literal["paper", "computed", "measured"]
"""Origin: printed in the paper; computed here, equal on any machine; or measured on this machine."""


@dataclass(frozen=True)
class Number:
    """A number of a line, and its origin; the quantity is the column, such as ``AP50``.

    The value may be the mean of several, which are in `each`.
    """

    quantity: str
    source: Source
    value: float
    each: tuple[float, ...] = ()

    @property
    def spread(self) -> float | None:
        """Half of the range of `each`; None for fewer than two."""
        return (max(self.each) - min(self.each)) / 2 if len(self.each) > 1 else None


@dataclass(frozen=True)
class Line:
    """A row of the table, and a remark on it.

    The label is as printed, the network is the name of the architecture, the size is the side of the input in
    pixels; numbers are in the order of their columns.
    """

    label: str
    network: str
    size: int
    numbers: tuple[Number, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Reproduction:
    """A table of the paper, with our numbers in it.

    The name is that on the command line, the title is as printed; notes are remarks on all rows and on the
    measurement.
    """

    name: str
    title: str
    lines: tuple[Line, ...]
    notes: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[tuple[str, Source], ...]:
        """(quantity, source) of every column, in order of appearance, grouped by quantity."""
        seen = dict.fromkeys((n.quantity, n.source) for line in self.lines for n in line.numbers)
        quantities = dict.fromkeys(quantity for quantity, _ in seen)
        return tuple(column for wanted in quantities for column in seen if column[0] == wanted)

    def to_dict(self) -> dict[str, Any]:
        """The table as JSON types: quantities of each line by source."""
        lines = []
        for line in self.lines:
            numbers: dict[str, dict[str, Any]] = {}
            for number in line.numbers:
                numbers.setdefault(number.quantity, {})[number.source] = number.value
                if number.each:
                    numbers[number.quantity][f"{number.source}_each"] = list(number.each)
            described = {"label": line.label, "network": line.network, "size": line.size, "numbers": numbers}
            lines.append(described | ({"note": line.note} if line.note else {}))
        return {"name": self.name, "title": self.title, "lines": lines, "notes": list(self.notes)}
