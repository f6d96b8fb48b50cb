"""Record of the defects of a COCO json, with lines: listed up to a limit, counted beyond it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Literal

from yolov7.data.labels import MOST_REPORTED, Defect
from yolov7.data.summary import Tally
from yolov7.formats.coco_values import element_lines

Severity = Literal["error", "warning"]


class Ledger:
    """Record of the defects of one json file.

    Args:
        file: the json file.
        text: its content.
        defects: list to append to.
    """

    def __init__(self, file: Path, text: str, defects: list[Defect]) -> None:
        self.file = file
        self.defects = defects
        self.left_out = Tally()
        self._remarks = Tally()
        self._reported: Counter[tuple[Severity, str]] = Counter()
        self._first: dict[str, str] = {}
        self._text = text
        self._lines: dict[str, list[int]] = {}

    def lose(self, key: str, index: int, kind: str, message: str) -> None:
        """Report a list element that is lost; `close` adds it to `left_out`."""
        self._report("error", key, index, kind, message)

    def warn(self, key: str, index: int, kind: str, message: str) -> None:
        """Report a list element that was kept or repaired."""
        self._report("warning", key, index, kind, message)

    def remark(self, kind: str, example: str) -> None:
        """Count a value that was readable but not in the standard form; reported once, by `close`."""
        self._remarks.add(kind, example)

    def note(self, severity: Severity, message: str, line: int | None = None) -> None:
        """Report a defect of the file as a whole."""
        self.defects.append(Defect(str(self.file), line, message, severity))

    def close(self) -> None:
        """Fill `left_out`; report the number of defects beyond the limit, and the remarks."""
        for (severity, kind), count in self._reported.items():
            if severity == "error":
                self.left_out.add(kind, self._first[kind], count)
            if count > MOST_REPORTED:
                self.note(severity, f"{count - MOST_REPORTED:,} more {kind}")
        for remark in self._remarks:
            self.note("warning", str(remark))

    def annotation_line(self, index: int) -> int:
        """Line on which an annotation begins, from 1."""
        return self.line_of("annotations", index)

    def line_of(self, key: str, index: int) -> int:
        """Line on which element `index` of the list `key` begins, from 1."""
        if key not in self._lines:
            if "\n" not in self._text:
                return 1
            try:
                self._lines[key] = element_lines(self._text, key)
            except RecursionError:  # nested almost too deep for the parser
                self._lines[key] = []
        lines = self._lines[key]
        return lines[index] if index < len(lines) else 1

    def _report(self, severity: Severity, key: str, index: int, kind: str, message: str) -> None:
        count = self._reported[severity, kind] + 1
        self._reported[severity, kind] = count
        if count <= MOST_REPORTED:
            self._first.setdefault(kind, message.split(": ")[0])
            self.note(severity, message, self.line_of(key, index))
