"""Findings in a COCO json, located by the lines on which list elements begin."""

from __future__ import annotations

from pathlib import Path

from yolov7.data.findings import Defect, Findings, Severity
from yolov7.formats.coco_values import element_lines


class Ledger:
    """Record of the defects of one json file, of content `text`, in `findings`."""

    def __init__(self, file: Path, text: str, findings: Findings) -> None:
        self.file = file
        self.findings = findings
        self._text = text
        self._lines: dict[str, list[int]] = {}
        self._remarks = Findings()

    def lose(self, key: str, index: int, kind: str, message: str) -> None:
        """Report that element `index` of the list `key` is lost."""
        self.findings.leave_out(kind, message.partition(": ")[0])
        self._report("error", key, index, kind, message)

    def warn(self, key: str, index: int, kind: str, message: str) -> None:
        """Report that element `index` of the list `key` was kept or repaired."""
        self._report("warning", key, index, kind, message)

    def _report(self, severity: Severity, key: str, index: int, kind: str, message: str) -> None:
        if self.findings.count(severity, kind, self.file):
            self.findings.include([Defect(str(self.file), self.line_of(key, index), message, severity)])

    def remark(self, kind: str, example: str) -> None:
        """Count a readable value in a non-standard form; `close` reports each kind once."""
        self._remarks.leave_out(kind, example)

    def close(self) -> None:
        """Report the remarks."""
        for group in self._remarks.left_out:
            self.findings.warning(self.file, str(group))

    def line_of(self, key: str, index: int) -> int:
        """Line on which element `index` of the list `key` begins, from 1."""
        if key not in self._lines:
            self._lines[key] = self._find_lines(key)
        lines = self._lines[key]
        return lines[index] if index < len(lines) else 1

    def _find_lines(self, key: str) -> list[int]:
        """Lines of all elements of the list `key`; empty where all are on line 1, or cannot be found."""
        if "\n" not in self._text:
            return []
        try:
            return element_lines(self._text, key)
        except RecursionError:  # nested almost too deep for the parser
            return []
