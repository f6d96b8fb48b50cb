"""Rows of a table with the improvement of one network over another."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from yolov7.reproduce.result import Line, Number, Reproduction
from yolov7.reproduce.tables import Numbers

RELATIVE = ("parameters_m", "gflops", "fps")

NOTE = (
    "improvement: AP in points; the rest in percent of the compared network, new / old - 1. The paper prints "
    "1 - old / new there, by which a network of half the size is 100 % smaller."
)
"""Note below a table with improvement rows."""


@dataclass(frozen=True)
class Improvement:
    """An ``improvement`` row of the paper.

    Attributes:
        row: index of the improved row, which it follows.
        over: index of the row it is compared with, or the printed numbers of a network not built here.
        label: name of that network.
        printed: the paper's percentages, if any: parameters_m, gflops.
    """

    row: int
    over: int | Numbers
    label: str = ""
    printed: Numbers = field(default_factory=dict)


TABLE_IMPROVEMENTS: dict[str, tuple[Improvement, ...]] = {
    "table1": (
        Improvement(2, 1, printed={"parameters_m": -43, "gflops": -15}),
        Improvement(4, 3, printed={"parameters_m": -36, "gflops": -19}),
        Improvement(
            5,
            {"parameters_m": 6.1, "gflops": 6.9}
            | {"AP": 24.9, "AP50": 42.1, "AP75": 25.7, "APs": 8.7, "APm": 28.4, "APl": 39.2},
            "YOLOv4-tiny",
            {"parameters_m": 2, "gflops": -19},
        ),
        Improvement(
            6,
            {"parameters_m": 8.7, "gflops": 5.2}
            | {"AP": 30.8, "AP50": 47.3, "AP75": 32.2, "APs": 10.9, "APm": 31.9, "APl": 51.5},
            "YOLOv4-tiny-3l",
            {"parameters_m": -39, "gflops": -49},
        ),
        Improvement(8, 7, printed={"parameters_m": -19, "gflops": -33}),
        Improvement(11, 9, printed={"parameters_m": 0, "gflops": -11}),
    ),
    "table3": (Improvement(3, 0),),
    "table6": (Improvement(3, 0),),
    "table7": (Improvement(2, 0),),
    "table8": (Improvement(2, 0),),
    "table10": (Improvement(3, 0),),
}


def with_improvements(table: Reproduction) -> Reproduction:
    """Insert the paper's improvement rows, and a note on them, into a table.

    Numbers of the same source are compared. A network that is not built here has only the paper's numbers;
    computed ones are compared with those.
    """
    improvements = {one.row: one for one in TABLE_IMPROVEMENTS.get(table.name, ())}
    shown: list[Line] = []
    for index, line in enumerate(table.lines):
        one = improvements.get(index)
        if one is None:
            shown.append(line)
            continue
        if isinstance(one.over, int):
            base = table.lines[one.over]
        else:
            numbers = tuple(Number(name, "paper", value) for name, value in one.over.items())
            base = Line(one.label, "", line.size, numbers, "printed numbers only: it is not built here")
            shown.append(base)
        shown += [line, Line(f"improvement over {base.label}", "", line.size, _numbers(line, base, one))]
    explained = (NOTE,) if len(shown) > len(table.lines) else ()
    return replace(table, lines=tuple(shown), notes=(*table.notes, *explained))


def _numbers(line: Line, base: Line, improvement: Improvement) -> tuple[Number, ...]:
    compared = {(n.quantity, n.source): n.value for n in base.numbers}
    numbers = [Number(name, "paper", value) for name, value in improvement.printed.items()]
    for new in line.numbers:
        relative = new.quantity in RELATIVE
        if relative and new.source == "paper":  # printed, where the paper has it
            continue
        old = compared.get((new.quantity, new.source))
        if old is None and new.source == "computed":
            old = compared[new.quantity, "paper"]
        if old is None or (relative and not old):  # a small network at few pixels rounds to 0.00 GFLOPs
            continue
        value = round(100 * (new.value / old - 1), 1) if relative else round(new.value - old, 2)
        numbers.append(Number(new.quantity, new.source, value))
    return tuple(numbers)
