"""What a reproduction says: numbers with their source, line by line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Source = Literal["paper", "computed", "measured"]
"""Printed in the paper; computed here, the same on any machine; or measured here, on this machine."""


@dataclass(frozen=True)
class Number:
    """One number of a line.

    Attributes:
        quantity: its column, such as ``AP50``.
        source: where it comes from.
        value: the number.
        each: where it is a mean, what it is the mean of.
    """

    quantity: str
    source: Source
    value: float
    each: tuple[float, ...] = ()

    @property
    def spread(self) -> float | None:
        """Half of the distance between the largest and the smallest; None where there are no two."""
        return (max(self.each) - min(self.each)) / 2 if len(self.each) > 1 else None


@dataclass(frozen=True)
class Line:
    """A row of the table.

    Attributes:
        label: as the paper prints it.
        network: name of the architecture.
        size: side of the input, pixels.
        numbers: in the order of their columns.
        note: what a reader should know.
    """

    label: str
    network: str
    size: int
    numbers: tuple[Number, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Reproduction:
    """A table of the paper, with our numbers in it.

    Attributes:
        name: what users type.
        title: the paper's.
        lines: its rows.
        notes: what holds for all of them, and how ours were measured.
    """

    name: str
    title: str
    lines: tuple[Line, ...]
    notes: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[tuple[str, Source], ...]:
        """(quantity, source) of every column, by first appearance, sources of a quantity together."""
        seen = dict.fromkeys((n.quantity, n.source) for line in self.lines for n in line.numbers)
        quantities = dict.fromkeys(quantity for quantity, _ in seen)
        return tuple(column for wanted in quantities for column in seen if column[0] == wanted)

    def to_dict(self) -> dict[str, Any]:
        """JSON types: each quantity of a line by its source."""
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
