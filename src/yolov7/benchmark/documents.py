"""A benchmark as text: cells of tables, a Markdown page, and a part of an existing page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from yolov7.benchmark.result import Benchmark, Line, Setting, Timing
from yolov7.errors import OutputError
from yolov7.files import write_file
from yolov7.text import plural

HEADINGS = (
    *("runtime", "network\nms", "p95", "x", "of floor"),
    *("one file\nms", "p95", "x", "stream\nimages/s", "x", "start\ns", "memory\nMB"),
)
LEGEND = """\
network: a call on prepared images, with the selection of rows (torch-default: without). one file: from a file
(a batch: its files) to the boxes, one after the other. stream: many files, read ahead, several images in
flight if the runtime can. p95: 95 % of the calls took no longer.
x: images per second relative to torch-default, the fused network alone in eager torch, float32, default
memory format; median over rounds in which every runtime has its turn. of floor: share of the speed of the
convolutions at the processor's peak in the same precision (INT8: in 16 bits).
start: from the start of a process to its first boxes; memory: the peak of that process."""


def heading(setting: Setting) -> str:
    """Title of a table."""
    at_once = f", streams of {setting.parallel} at a time" if setting.parallel > 1 else ""
    return f"At {setting.size} pixels, batch {setting.batch}{at_once}, {plural(setting.rounds, 'round')}"


def subject(result: Benchmark) -> str:
    """Network, photos, machine and libraries, in three lines."""
    libraries = ", ".join(f"{name} {version}" for name, version in result.libraries.items())
    return (
        f"{result.variant} ({result.weights}), {plural(result.classes, 'class', 'classes')}, "
        f"on {result.images}\n"
        f"{result.machine}, torch with {plural(result.threads, 'thread')}\n{libraries}"
    )


def rows(setting: Setting) -> list[tuple[str, ...]]:
    """Cells below HEADINGS of each runtime without an error."""
    return [_cells(line) for line in setting.lines if line.error is None]


def notes(setting: Setting) -> list[str]:
    """Remarks on the floor, the runtimes, their first starts, and those that failed."""
    said = []
    if setting.peaks:
        times = " and ".join(
            f"{1000 * setting.gflop / speed:.1f} ms at {speed:,.0f} GFLOP/s ({precision})"
            for precision, speed in setting.peaks.items()
        )
        said.append(
            f"Floor per image: {setting.gflop:.1f} GFLOP of convolutions, {times};\n"
            "the peaks are products of large matrices, measured between the rounds."
        )
    for line in setting.lines:
        first = line.fresh and line.fresh.first_start_s
        converted = f"; {first:.1f} s to the first boxes when it had to be converted first" if first else ""
        if line.error is not None:
            said.append(f"{line.runtime}: not measured: {line.error}")
        else:
            said.append(f"{line.runtime}: {line.runs_on}{converted}")
    return said


def to_markdown(result: Benchmark, picture: str | None = None) -> str:
    """Write a part of a page; `picture` is a link to that of the results."""
    parts = [f"```\n{subject(result)}\n```"]
    if result.interrupted:
        parts.append("Ended early: there is more to measure.")
    for setting in result.settings:
        headings = [text.replace("\n", ", ") for text in HEADINGS]
        table = [headings, ["---", *["--:"] * (len(headings) - 1)], *rows(setting)]
        parts.append(f"{heading(setting)}:")
        parts.append("\n".join(f"| {' | '.join(cells)} |" for cells in table))
        parts.append("\n".join(f"- {note}".replace("\n", "\n  ") for note in notes(setting)))
    if picture is not None:
        parts.append(f"![images per second, by runtime]({picture})")
    return "\n\n".join((*parts, LEGEND)) + "\n"


def rewrite(page: Path, result: Benchmark, picture: str | None = None) -> None:
    """Replace the part between the network's marks in a Markdown file, or append one; see `to_markdown`.

    The file is created if it is missing.

    Raises:
        OutputError: it cannot be read or written.
    """
    begin, end = (f"<!-- benchmark of {result.variant}: {which} -->" for which in ("begin", "end"))
    try:
        text = page.read_text(encoding="utf-8") if page.exists() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise OutputError(f"cannot be read: {error}", file=page) from error
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        before, after = text.rstrip() + "\n\n" if text else "", "\n"
    part = f"{begin}\n\n{to_markdown(result, picture)}\n{end}"
    write_file(page, f"{before}{part}{after}".encode())


def _cells(line: Line) -> tuple[str, ...]:
    reached = "" if line.reached is None else f"{100 * line.reached:.0f} %"
    fresh = line.fresh
    start = "" if fresh is None else f"{fresh.start_s:.1f}"
    memory = "" if fresh is None or fresh.memory_mb is None else f"{fresh.memory_mb:,.0f}"
    stream = ("", "")
    if line.stream is not None:
        stream = (digits(line.stream.images_per_second), f"{line.stream.ratio:.2f}")
    return (line.runtime, *_timed(line.network), reached, *_timed(line.single), *stream, start, memory)


def _timed(timing: Timing | None) -> Sequence[str]:
    if timing is None:
        return ("", "", "")
    latency = (timing.median_ms, timing.p95_ms)
    return (*("" if ms is None else digits(ms) for ms in latency), f"{timing.ratio:.2f}")


def digits(value: float) -> str:
    """Format a number with three digits, or all before the decimal point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
