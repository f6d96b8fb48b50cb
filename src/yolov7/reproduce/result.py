"""Results of a reproduction: numbers with their source, line by line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Source = Literal["paper", "computed", "measured"]
"""Origin: printed in the paper; computed here, equal on any machine; or measured on this machine."""


@dataclass(frozen=True)
class Number:
    """A number of a line."""

    quantity: str  # column, such as AP50
    source: Source
    value: float
    each: tuple[float, ...] = ()  # numbers that `value` is the mean of, if any

    @property
    def spread(self) -> float | None:
        """Half of the range of `each`; None for fewer than two."""
        return (max(self.each) - min(self.each)) / 2 if len(self.each) > 1 else None


@dataclass(frozen=True)
class Line:
    """A row of the table."""

    label: str  # as printed
    network: str  # name of the architecture
    size: int  # side of the input, pixels
    numbers: tuple[Number, ...] = ()  # in the order of their columns
    note: str = ""  # remark for the reader


@dataclass(frozen=True)
class Reproduction:
    """A table of the paper, with our numbers in it."""

    name: str  # on the command line
    title: str  # as printed
    lines: tuple[Line, ...]
    notes: tuple[str, ...] = ()  # remarks on all rows and on the measurement

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
