"""Output of the command line: results on standard output, messages and errors on standard error.

Everything is printed by :func:`show`, :func:`say` or :func:`complain`, which escape control characters: names
and paths come from files. Nothing is markup.
"""

from __future__ import annotations

import logging
import math
import os
import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from yolov7.text import plural, printable

if TYPE_CHECKING:
    from rich.progress import Progress

    from yolov7.artefacts.exporting import Exported
    from yolov7.benchmark.result import Benchmark
    from yolov7.evaluation.run import Evaluation
    from yolov7.inspection import DataReport
    from yolov7.reproduce.result import Number, Reproduction

_LOG = logging.getLogger(__name__)

_GAP = 2
"""Spaces between the columns of a table."""
_SHOWN, _CONFUSIONS = 0.25, 5
"""Confidence threshold for confusions, and maximum number of confused pairs that are printed."""


def is_quiet() -> bool:
    """Whether only results and errors are printed (--quiet)."""
    return not _LOG.isEnabledFor(logging.WARNING)


def show(text: object = "") -> None:
    """Print a result on standard output."""
    print(printable(text, keep="\n\t"))


def say(text: object) -> None:
    """Print a message on standard error, unless quiet."""
    if not is_quiet():
        print(printable(text, keep="\n\t"), file=sys.stderr)


def complain(text: object) -> None:
    """Print an error on standard error."""
    print(printable(text, keep="\n\t"), file=sys.stderr)


def progress_bar() -> Progress:
    """Progress bar on a terminal; hidden elsewhere, and if quiet."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal or is_quiet(),
    )


def models_table(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print counts of networks beside the paper's numbers, if it has any."""
    table = _Table(
        *("network", "size", "parameters,\ntraining", "parameters,\ndeployed", "convolutions,\nGFLOPs"),
        *(
            "M params,\nour count",
            "M params,\nthe paper",
            "GFLOPs,\nour count",
            "GFLOPs,\nthe paper",
            "graph",
        ),
        texts=("graph",),
    )
    for row in rows:
        counts = (f"{row[name]:,}" for name in ("parameters_training", "parameters_deployed"))
        ours = ("parameters_m", "paper_parameters_m", "gflops", "paper_gflops")
        numbers = ("" if row[name] is None else f"{row[name]:.1f}" for name in ours)
        table.add(row["variant"], row["size"], *counts, f"{row['conv_gflops']:.2f}", *numbers, row["counted"])
    table.show()
    show()
    _note(
        "parameters: before and after batch norms, RepConv and implicit vectors are folded. convolutions: "
        "2 x multiply-adds of the deployed network's convolutions, at its size.\n"
        "our count: by the paper's own rule, of the graph in the last column. The paper's row of D6 counts "
        "its training graph; that of tiny-SiLU keeps batch norms apart."
    )


def reproduction_table(result: Reproduction) -> None:
    """Print a table of the paper with a column per quantity and source, and notes."""
    columns = result.columns
    headings = (f"{_HEADINGS.get(name, name)}\n{source}" for name, source in columns)
    table = _Table(result.name, "size", *headings, keys=2)
    places = dict.fromkeys(columns, 0)
    for line in result.lines:
        for number in line.numbers:
            column = (number.quantity, number.source)
            places[column] = max(places[column], _decimals(number.value))
    for line in result.lines:
        numbers = {(number.quantity, number.source): number for number in line.numbers}
        cells = (_number(numbers.get(column), places[column]) for column in columns)
        table.add(line.label, line.size, *cells)
    show(f"{result.title}\n")
    table.show()
    show()
    for line in result.lines:
        if line.note:
            _note(f"{line.label}: {line.note}")
    for note in result.notes:
        _note(note)


_HEADINGS = {"parameters_m": "M params", "gflops": "GFLOPs"}


def _decimals(value: float) -> int:
    return len(f"{value:.6g}".partition(".")[2])


def _number(number: Number | None, places: int) -> str:
    if number is None:
        return ""
    spread = "" if number.spread is None else f" ±{number.spread:.1f}"
    return f"{number.value:.{places}f}{spread}"


def checkpoint_facts(described: Mapping[str, Any]) -> None:
    """Print facts of a checkpoint or artefact, one per line, and notes."""
    for key, value in described.items():
        if key == "notes" or value in ({}, []):
            continue
        show(f"{key.replace('_', ' ') + ':':<22}{_fact(key, value)}")
    for note in described["notes"]:
        show(f"note: {note}")


def metrics_table(outcome: Evaluation, *, per_class: bool) -> None:
    """Print COCO metrics in percent, defects, a row per class on demand, and the most confused classes."""
    table = _Table("metric", "%")
    for name in ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100"):
        table.add(name, _percent(getattr(outcome, name)))
    table.show()
    numbers = (outcome.images, "image"), (outcome.boxes, "object"), (outcome.detections, "detection")
    show(", ".join(plural(*number) for number in numbers))
    for defect in outcome.defects:
        show(defect)
    if per_class:
        classes = _Table("class", "AP, %", "AP50, %", "objects")
        for one in outcome.per_class:
            if one.boxes:
                classes.add(one.name, _percent(one.AP), _percent(one.AP50), f"{one.boxes:,}")
        show()
        classes.show()
    confused = _Table(f"most often confused,\nconfidence above {_SHOWN:g}", "times", "% of\nthe class")
    for pair in outcome.confusion(_SHOWN).most_frequent(_CONFUSIONS):
        confused.add(f"{pair.truth} found as {pair.found}", f"{pair.count:,}", _percent(pair.share))
    if confused.rows:
        show()
        confused.show()


def export_table(results: Sequence[Exported]) -> None:
    """Print the comparison of each exported format with torch, and what is wrong or unknown."""
    from yolov7.artefacts.documents import verdict

    table = _Table(
        *("format", "MB", "detections", "lost", "gained", "box,\npixels", "score"),
        *("AP, %", "AP, %\ntorch", "verdict"),
        texts=("verdict",),
    )
    for result in results:
        if result.subject is None or result.outcome is None:
            continue
        said = result.outcome
        numbers = [""] * 7
        if not isinstance(said, str):
            numbers = [f"{number:,}" for number in (said.found[0], said.lost, said.gained)]
            numbers += [f"{said.box.largest:.2g}", f"{said.score.largest:.2g}"]
            numbers += ["", ""] if said.ap is None else [_percent(ap) for ap in reversed(said.ap)]
        table.add(result.format, f"{result.subject.bytes / 1e6:.1f}", *numbers, verdict(said))
    if table.rows:
        table.show()
    for result in results:
        if result.path is not None:
            show(f"{result.format}: {result.path}")
        if isinstance(result.outcome, str):
            show(f"    not compared with torch: {result.outcome}")
        elif result.outcome is not None:
            for check in result.outcome.checks:
                if not check.ok:
                    least = "at least " if check.at_least else ""
                    show(f"    {check.what}: {check.measured:.3g}, allowed {least}{check.allowed:g}")
    for result in results:
        if result.error is not None:
            complain(f"error: {result.format}: {result.error}")


def benchmark_table(result: Benchmark) -> None:
    """Print a table with notes per size and batch size, and a legend."""
    from yolov7.benchmark import documents

    show(documents.subject(result))
    for setting in result.settings:
        table = _Table(*documents.HEADINGS)
        for cells in documents.rows(setting):
            table.add(*cells)
        show(f"\n{documents.heading(setting)}\n")
        table.show()
        show()
        for note in documents.notes(setting):
            _note(note)
    show()
    _note(documents.LEGEND)
    if result.interrupted:
        show("\nEnded early: there is more to measure.")


def data_report(report: DataReport) -> None:
    """Print the content and the defects of a data set."""
    show(f"{report.path}: {report.kind}, {plural(len(report.names), 'class', 'classes')}\n")
    splits = _Table(
        "split", "images", "unlabelled", "empty", "boxes", "crowds", "polygons", "small", "medium", "large"
    )
    for split in report.splits:
        sizes = split.box_sizes
        counts = (split.images, split.unlabelled, split.empty, split.boxes, split.crowds, split.outlines)
        by_size = (sizes.small, sizes.medium, sizes.large) if sizes else (0, 0, 0)
        splits.add(split.name, *(f"{count:,}" for count in (*counts, *by_size)))
    splits.show()
    classes = _Table("class", *(f"{split.name} boxes" for split in report.splits))
    for label, name in enumerate(report.names):
        classes.add(name, *(f"{split.classes[label].boxes:,}" for split in report.splits))
    show()
    classes.show()
    anchors = _Table("boxes that anchors reach, %", *(split.name for split in report.splits if split.anchors))
    for rows in zip(*(split.anchors for split in report.splits if split.anchors), strict=True):
        anchors.add(f"{rows[0].variant} at {rows[0].size}", *(_percent(row.recall) for row in rows))
    if anchors.rows:
        show()
        anchors.show()
    show()
    for split in report.splits:
        if split.left_out:
            show(split.summary)
    twice = (("the same image twice", report.duplicates), ("leak between splits", report.leaks))
    for title, groups in twice:
        for group in groups:
            more = f" and {len(group.places) - 20:,} more" if len(group.places) > 20 else ""
            show(f"{title}: " + ", ".join(f"{path} ({split})" for split, path in group.places[:20]) + more)
    for defect in report.defects:
        show(f"{defect.severity}: {defect}")
    errors = sum(defect.severity == "error" for defect in report.defects)
    warnings = len(report.defects) - errors
    duplicates, leaks = len(report.duplicates), len(report.leaks)
    numbers = (errors, "error"), (warnings, "warning"), (duplicates, "duplicate"), (leaks, "leak")
    show(", ".join(plural(*number) for number in numbers))


def _fact(key: str, value: Any) -> str:
    if key == "anchors":
        return "; ".join(" ".join(f"{w:g},{h:g}" for w, h in level) for level in value)
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_fact('', inner)}" for name, inner in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if key == "parameters" else str(value)


class _Table:
    """A table with a column of text, then columns of right-aligned numbers.

    Columns that do not fit the terminal continue in a second table below: nothing is cut.

    Args:
        headings: headings of one or two lines.
        texts: headings of further text columns.
        keys: number of leading columns, which are repeated in the second table.
    """

    def __init__(self, *headings: str, texts: Sequence[str] = (), keys: int = 1) -> None:
        self.headings = tuple(printable(heading, keep="\n") for heading in headings)
        self.keys = list(range(keys))
        self.rows: list[tuple[str, ...]] = []
        self._left = {0, *(i for i, heading in enumerate(headings) if heading in texts)}

    def add(self, *cells: object) -> None:
        self.rows.append(tuple(printable(cell) for cell in cells))

    def show(self) -> None:
        from rich.cells import cell_len

        width = _width()
        columns = list(zip(self.headings, *self.rows, strict=True))
        wide = [max(cell_len(line) for cell in cells for line in cell.split("\n")) for cells in columns]
        wide[0] = min(wide[0], max(width // 2, width - sum(wide[1:]) - _GAP * (len(wide) - 1)))
        parts = [self.keys.copy()]
        for column in range(len(self.keys), len(wide)):
            needed = sum(wide[i] + _GAP for i in parts[-1]) + wide[column]
            if needed > width and len(parts[-1]) > len(self.keys):
                parts.append(self.keys.copy())
            parts[-1].append(column)
        for number, part in enumerate(parts):
            if number:
                show()
            self._show_part(part, wide[0])

    def _show_part(self, columns: Sequence[int], first: int) -> None:
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold")
        lines = max(self.headings[column].count("\n") for column in columns)
        for column in columns:
            table.add_column(
                Text("\n" * (lines - self.headings[column].count("\n")) + self.headings[column]),
                justify="left" if column in self._left else "right",
                overflow="fold",
                width=None if column else first,
            )
        for row in self.rows:
            table.add_row(*(Text(row[column]) for column in columns))
        Console(markup=False, highlight=False, emoji=False, width=_width()).print(table)


def _width() -> int:
    """Width of the terminal, or $COLUMNS; a file is wide enough for any line."""
    terminal = sys.stdout.isatty()
    unknown = 80 if terminal else _FILE_WIDTH
    if not terminal and not os.environ.get("COLUMNS"):
        return unknown  # shutil would ask the terminal of a process whose sys.stdout is redirected
    return shutil.get_terminal_size((unknown, 24)).columns or unknown


_FILE_WIDTH = 1000
"""Width of output that is not a terminal."""
_PROSE_WIDTH = 110
"""Largest width of notes."""


def _note(text: str) -> None:
    """Print sentences wrapped between words; line breaks are kept."""
    for line in text.split("\n"):
        show(textwrap.fill(line, min(_width(), _PROSE_WIDTH), break_on_hyphens=False, break_long_words=False))


def _percent(fraction: float) -> str:
    return "-" if math.isnan(fraction) else f"{100 * fraction:.1f}"
