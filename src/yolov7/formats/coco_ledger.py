"""Findings in a COCO json, located by the lines on which list elements begin."""

from __future__ import annotations

from pathlib import Path

from yolov7.data.findings import Findings
from yolov7.formats.coco_values import element_lines


class Ledger:
    """Record of the defects of one json file.

    Args:
        file: the json file.
        text: its content.
        findings: record to add to.
    """

    def __init__(self, file: Path, text: str, findings: Findings) -> None:
        self.file = file
        self.findings = findings
        self._text = text
        self._lines: dict[str, list[int]] = {}
        self._remarks: dict[str, tuple[int, str]] = {}

    def lose(self, key: str, index: int, kind: str, message: str) -> None:
        """Report that element `index` of the list `key` is lost."""
        example = message.split(": ")[0]
        self.findings.lose(kind, self.file, message, self.line_of(key, index), example)

    def warn(self, key: str, index: int, kind: str, message: str) -> None:
        """Report that element `index` of the list `key` was kept or repaired."""
        self.findings.warning(self.file, message, self.line_of(key, index), kind)

    def remark(self, kind: str, example: str) -> None:
        """Count a readable value in a non-standard form; `close` reports each kind once."""
        count, first = self._remarks.get(kind, (0, example))
        self._remarks[kind] = count + 1, first

    def close(self) -> None:
        """Report the remarks."""
        for kind, (count, first) in self._remarks.items():
            self.findings.warning(self.file, f"{kind}: {count:,} (such as {first})")

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
