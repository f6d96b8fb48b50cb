"""Findings of the data set readers: defects with file and line, and counts of what was left out."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning"]
File = str | os.PathLike[str]

MOST_LISTED = 1_000
"""Maximum number of listed defects of one kind; the rest are counted."""


@dataclass(frozen=True)
class Defect:
    """Problem found in a data set.

    Attributes:
        file: label file or image concerned.
        line: line in the file, from 1; None if the problem has no line.
        message: the problem, and how it was handled.
        severity: "error" if a label or an image was lost; "warning" if nothing was: it was repaired, or is
            empty, such as a box without width or height.

    >>> print(Defect("a.txt", 3, "box has no width or no height: dropped", "warning"))
    a.txt:3: box has no width or no height: dropped
    """

    file: str
    line: int | None
    message: str
    severity: Severity

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{place}: {self.message}"


@dataclass(frozen=True)
class LeftOut:
    """Files, or parts of files, that were left out for one reason.

    Attributes:
        reason: phrase that can stand before a count: "hidden or made by the system".
        count: number left out.
        first: example.

    >>> print(LeftOut("hidden", 2, "a/.b.jpg"))
    hidden: 2 (such as a/.b.jpg)
    """

    reason: str
    count: int
    first: str

    def __str__(self) -> str:
        return f"{self.reason}: {self.count:,} (such as {self.first})"


class Findings:
    """Record of defects and omissions, shared by all readers of one data set; begins with known `defects`.

    >>> findings = Findings()
    >>> findings.warning("a.txt", "not utf-8: read as latin-1")
    >>> findings.lose("images that cannot be read", "a.jpg", "the file is empty: left out")
    >>> [str(defect) for defect in findings.defects]
    ['a.txt: not utf-8: read as latin-1', 'a.jpg: the file is empty: left out']
    >>> [str(group) for group in findings.left_out]
    ['images that cannot be read: 1 (such as a.jpg)']
    """

    def __init__(self, defects: Iterable[Defect] = ()) -> None:
        self._defects = list(defects)
        self._left_out: dict[str, tuple[int, str]] = {}  # number and example of each reason
        self._counts: dict[tuple[Severity, str], tuple[int, str]] = {}  # number and first file of each kind

    @property
    def defects(self) -> tuple[Defect, ...]:
        """Listed defects, then one defect per kind that counts those beyond `MOST_LISTED`."""
        more = [
            Defect(file, None, f"{count - MOST_LISTED:,} more {kind}", severity)
            for (severity, kind), (count, file) in self._counts.items()
            if count > MOST_LISTED
        ]
        return (*self._defects, *more)

    @property
    def left_out(self) -> tuple[LeftOut, ...]:
        """Counts of what was left out, by reason."""
        return tuple(LeftOut(reason, *counted) for reason, counted in self._left_out.items())

    def error(self, file: File, message: str, line: int | None = None, kind: str | None = None) -> None:
        """Report that a label or an image was lost.

        `kind` is a plural noun under which frequent problems are counted; without it all are listed.
        """
        self._report("error", file, message, line, kind)

    def warning(self, file: File, message: str, line: int | None = None, kind: str | None = None) -> None:
        """Report a problem that lost nothing; arguments as for `error`."""
        self._report("warning", file, message, line, kind)

    def leave_out(self, reason: str, example: object, count: int = 1) -> None:
        """Count something left out that is no defect."""
        number, first = self._left_out.get(reason) or (0, str(example))
        self._left_out[reason] = number + count, first

    def lose(
        self, reason: str, file: File, message: str, line: int | None = None, example: object = None
    ) -> None:
        """Report an error, and count the loss under `reason`; `example` is the file by default."""
        self.leave_out(reason, file if example is None else example)
        self.error(file, message, line, reason)

    def include(self, defects: Iterable[Defect]) -> None:
        """Add defects that were found separately."""
        self._defects += defects

    def count(self, severity: Severity, kind: str, file: File) -> bool:
        """Count a defect. -> True if it is one of the first `MOST_LISTED` of its kind, which are listed."""
        number, first = self._counts.get((severity, kind)) or (0, os.fspath(file))
        self._counts[severity, kind] = number + 1, first
        return number < MOST_LISTED

    def _report(
        self, severity: Severity, file: File, message: str, line: int | None, kind: str | None
    ) -> None:
        if kind is None or self.count(severity, kind, file):
            self._defects.append(Defect(os.fspath(file), line, message, severity))
