"""Hierarchy of the errors that users see.

    Yolov7Error
    ├── UsageError                  an invalid argument: an unknown class name, a size of 0
    │   └── MissingDependencyError  an optional library is not installed; the message has the pip command
    ├── ArchitectureError           networks: unknown variant, widths that do not fit, an odd input size
    ├── CheckpointError             a weight file
    │   ├── UnsafeCheckpointError   it would run code or import modules that no checkpoint needs; nothing ran
    │   ├── DamagedCheckpointError  truncated, bit-flipped, absurd sizes, not a checkpoint
    │   └── MismatchedCheckpointError  its tensors are not those of the network; both sets are listed
    ├── DataError                   a data set: file and line of each defect
    ├── TrainingError               a run that cannot go on, such as a loss of NaN; good weights are kept
    ├── SourceError                 an image, a video or a stream that cannot be read
    ├── OutputError                 a result that cannot be written
    └── DownloadError               a file that cannot be fetched, or has another checksum

Each says what was expected and what was found, so that the message alone is enough to act on.
"""

from __future__ import annotations

import os

from yolov7.text import printable


class Yolov7Error(Exception):
    """Base class of the errors that users see.

    Args:
        message: problem, in one sentence.
        file: file with the problem.
        line: line in that file, from 1.
        expected: valid values.
        found: actual value.

    >>> print(Yolov7Error("no such class", file="data.yaml", line=3, expected="car, person", found="cat"))
    data.yaml:3: no such class
      expected: car, person
      found:    cat
    """

    def __init__(
        self,
        message: str,
        *,
        file: str | os.PathLike[str] | None = None,
        line: int | None = None,
        expected: object = None,
        found: object = None,
    ) -> None:
        self.message = message
        self.file = None if file is None else os.fspath(file)
        self.line = line
        self.expected = expected
        self.found = found
        super().__init__(str(self))

    def __str__(self) -> str:
        """Message with place, expected and found; control characters are escaped."""
        place = ""
        if self.file is not None:
            place = f"{self.file}: " if self.line is None else f"{self.file}:{self.line}: "
        text = place + self.message
        if self.expected is not None:
            text += f"\n  expected: {self.expected}"
        if self.found is not None:
            text += f"\n  found:    {self.found}"
        return printable(text, keep="\n")

    def brief(self) -> str:
        """Message, then what was found and expected in brackets; without the place.

        >>> Yolov7Error("no such class", file="data.yaml", expected="car, person", found="cat").brief()
        'no such class (cat, expected: car, person)'
        """
        details = [] if self.found is None else [str(self.found)]
        details += [] if self.expected is None else [f"expected: {self.expected}"]
        return f"{self.message} ({', '.join(details)})" if details else self.message


class UsageError(Yolov7Error):
    """Invalid argument."""


class MissingDependencyError(UsageError):
    """Optional library that is not installed."""

    def __init__(self, library: str, *, purpose: str, extra: str | None = None) -> None:
        install = f"open-yolov7[{extra}]" if extra else library
        super().__init__(f"{purpose} needs {library}, which is not installed; run: pip install '{install}'")


class ArchitectureError(Yolov7Error):
    """Network that cannot be built, or an input of the wrong size for it."""


class CheckpointError(Yolov7Error):
    """Weight file that cannot be used."""


class UnsafeCheckpointError(CheckpointError):
    """Weight file that would run code or import modules that no checkpoint needs. Nothing was run."""


class DamagedCheckpointError(CheckpointError):
    """Weight file that is truncated, altered, of absurd sizes, or not a checkpoint."""


class MismatchedCheckpointError(CheckpointError):
    """Weight file whose tensors are not those of the network."""


class DataError(Yolov7Error):
    """Data set that cannot be read."""


class TrainingError(Yolov7Error):
    """Training run that cannot go on, or cannot be resumed."""


class SourceError(Yolov7Error):
    """Image, video or stream that cannot be read."""


class OutputError(Yolov7Error):
    """Result that cannot be written."""


class DownloadError(Yolov7Error):
    """File that cannot be fetched, or has another checksum than expected."""
