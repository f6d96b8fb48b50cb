"""How the command line speaks to people: results on standard output, the rest on standard error."""

from __future__ import annotations

import logging
import math
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.progress import Progress
    from rich.table import Table

    from yolov7.benchmark.result import Benchmark
    from yolov7.data.inspection import DataReport
    from yolov7.evaluation.run import Evaluation
    from yolov7.export.exporting import Exported
    from yolov7.reproduce.result import Number, Reproduction
    from yolov7.types import Detections

_LOG = logging.getLogger(__name__)

FILE_WIDTH = 160
"""Columns where the output is no terminal: nothing is cut."""


def is_quiet() -> bool:
    """Whether results and errors alone are wanted."""
    return not _LOG.isEnabledFor(logging.WARNING)


def say(text: str) -> None:
    """Tell a person what happens."""
    if not is_quiet():
        print(text, file=sys.stderr)


def progress_bar() -> Progress:
    """A progress bar; none where nobody looks."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal or is_quiet(),
    )


def counted(detections: Detections) -> str:
    """Two cats and a dog -> "2 cat, 1 dog", the most frequent first."""
    counts = Counter(detections.class_names).most_common()
    return ", ".join(f"{count} {name}" for name, count in counts) or "nothing"


def models_table(rows: Sequence[Mapping[str, Any]]) -> None:
    """Networks with what was counted and what the paper says; blank where it says nothing."""
    table = _table(
        *("variant", "size", "training", "deployed", "conv GFLOPs"),
        *("M params", "paper", "GFLOPs", "paper", "counted"),
    )
    for row in rows:
        cells = ("" if value is None else value for value in row.values())
        table.add_row(*(f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in cells))
    _show(table)
    print(
        "\ntraining, deployed: parameters before and after folding. conv GFLOPs: 2 x multiply-adds of the\n"
        "deployed convolutions. M params, GFLOPs: by the paper's own rule, for the graph in the last\n"
        "column: the paper's row of D6 counts its training graph, that of tiny-SiLU keeps batch norms apart."
    )


def reproduction_table(result: Reproduction) -> None:
    """A table of the paper, a column for each quantity and source; notes below."""
    columns = result.columns
    table = _table(
        result.name, "size", *(f"{_HEADINGS.get(name, name)}\n{source}" for name, source in columns)
    )
    places = {
        column: max(
            _decimals(number.value)
            for line in result.lines
            for number in line.numbers
            if (number.quantity, number.source) == column
        )
        for column in columns
    }
    for line in result.lines:
        numbers = {(number.quantity, number.source): number for number in line.numbers}
        cells = (_number(numbers.get(column), places[column]) for column in columns)
        table.add_row(line.label, str(line.size), *cells)
    print(f"{result.title}\n")
    _show(table)
    print()
    for line in result.lines:
        if line.note:
            print(f"{line.label}: {line.note}")
    for note in result.notes:
        print(note)


_HEADINGS = {"parameters_m": "M params", "gflops": "GFLOPs"}


def _decimals(value: float) -> int:
    return len(f"{value:.6g}".partition(".")[2])


def _number(number: Number | None, places: int) -> str:
    if number is None:
        return ""
    spread = "" if number.spread is None else f" ±{number.spread:.1f}"
    return f"{number.value:.{places}f}{spread}"


def checkpoint_facts(described: Mapping[str, Any]) -> None:
    """What a checkpoint is, a line a fact; notes last."""
    for key, value in described.items():
        if key == "notes" or value in ({}, []):
            continue
        print(f"{key.replace('_', ' ') + ':':<22}{_fact(key, value)}")
    for note in described["notes"]:
        print(f"note: {note}")


def metrics_table(outcome: Evaluation, *, per_class: bool) -> None:
    """The COCO metrics in percent, defects, and on demand a row for each class."""
    metrics = outcome.metrics
    table = _table("metric", "%")
    for name in ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100"):
        table.add_row(name, _percent(getattr(metrics, name)))
    _show(table)
    print(f"{metrics.images} images, {metrics.boxes} objects, {metrics.detections} detections")
    for defect in outcome.defects:
        print(defect)
    if per_class:
        classes = _table("class", "AP", "AP50", "objects")
        for one in metrics.per_class:
            if one.boxes:
                classes.add_row(one.name, _percent(one.AP), _percent(one.AP50), f"{one.boxes:,}")
        _show(classes)


def export_table(results: Sequence[Exported]) -> None:
    """What became of each format; below it what is wrong, and what is not known."""
    from yolov7.export.documents import verdict

    table = _table(
        "format", "MB", "detections", "lost", "gained", "box, px", "score", "AP", "of torch", "verdict"
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
        table.add_row(result.format, f"{result.subject.bytes / 1e6:.1f}", *numbers, verdict(said))
    if table.row_count:
        _show(table)
    for result in results:
        if result.path is not None:
            print(f"{result.format}: {result.path}")
        if isinstance(result.outcome, str):
            print(f"    not compared with torch: {result.outcome}")
        elif result.outcome is not None:
            for check in result.outcome.checks:
                if not check.ok:
                    least = "at least " if check.at_least else ""
                    print(f"    {check.what}: {check.measured:.3g}, allowed {least}{check.allowed:g}")
    for result in results:
        if result.error is not None:
            print(f"error: {result.format}: {result.error}", file=sys.stderr)


def benchmark_table(result: Benchmark) -> None:
    """A table for each size and batch, with what is to be known of it; what the columns mean last."""
    from yolov7.benchmark import documents

    print(documents.subject(result))
    for setting in result.settings:
        table = _table(*documents.HEADINGS)
        for cells in documents.rows(setting):
            table.add_row(*cells)
        print(f"\n{documents.heading(setting)}\n")
        _show(table)
        print()
        for note in documents.notes(setting):
            print(note)
    print(f"\n{documents.LEGEND}")
    if result.interrupted:
        print("\nEnded early: there is more to measure.")


def data_report(report: DataReport) -> None:
    """What is in a data set, and what is wrong with it."""
    print(f"{report.path}: {report.kind}, {len(report.names)} classes")
    splits = _table(
        "split", "images", "unlabelled", "empty", "boxes", "crowds", "outlines", "small", "medium", "large"
    )
    for split in report.splits:
        sizes = split.box_sizes
        counts = (split.images, split.unlabelled, split.empty, split.boxes, split.crowds, split.outlines)
        by_size = (sizes.small, sizes.medium, sizes.large) if sizes else (0, 0, 0)
        splits.add_row(split.name, *(f"{count:,}" for count in (*counts, *by_size)))
    _show(splits)
    classes = _table("class", *(f"{split.name} boxes" for split in report.splits))
    for label, name in enumerate(report.names):
        classes.add_row(name, *(f"{split.classes[label].boxes:,}" for split in report.splits))
    _show(classes)
    anchors = _table("boxes that anchors reach, %", *(split.name for split in report.splits if split.anchors))
    for rows in zip(*(split.anchors for split in report.splits if split.anchors), strict=True):
        anchors.add_row(f"{rows[0].variant} at {rows[0].size}", *(_percent(row.recall) for row in rows))
    if anchors.row_count:
        _show(anchors)
    for split in report.splits:
        if split.left_out:
            print(split.summary)
    twice = (("the same image twice", report.duplicates), ("leak between splits", report.leaks))
    for title, groups in twice:
        for group in groups:
            print(f"{title}: " + ", ".join(f"{path} ({split})" for split, path in group.places))
    for defect in report.defects:
        print(f"{defect.severity}: {defect}")
    errors = sum(defect.severity == "error" for defect in report.defects)
    print(
        f"{errors} errors, {len(report.defects) - errors} warnings, {len(report.duplicates)} duplicates, "
        f"{len(report.leaks)} leaks"
    )


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


def _table(*headings: str) -> Table:
    """The first column is text, the others are numbers; ``counted`` and ``verdict`` are text too."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for i, heading in enumerate(headings):
        left = i == 0 or heading in ("counted", "verdict")
        table.add_column(heading, justify="left" if left else "right", no_wrap=True)
    return table


def _show(table: Table) -> None:
    from rich.console import Console

    console = Console()
    if not console.is_terminal:
        console.width = FILE_WIDTH
    console.print(table)


def _percent(fraction: float) -> str:
    return "-" if math.isnan(fraction) else f"{100 * fraction:.1f}"
