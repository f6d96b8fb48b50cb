"""One tree for everything that can go wrong on a user's side.

    Yolov7Error
    ├── UsageError                  an argument that cannot be: an unknown class name, a size of 0
    │   └── MissingDependencyError  an optional library is not installed; the message has the pip command
    ├── ArchitectureError           networks: unknown variant, widths that do not fit, an odd input size
    ├── CheckpointError             a weight file
    │   ├── UnsafeCheckpointError   it asks to run code or to import what no checkpoint needs; nothing ran
    │   ├── DamagedCheckpointError  truncated, bit-flipped, absurd sizes, not a checkpoint at all
    │   └── MismatchedCheckpointError  its tensors are not those of the network; lists both sets
    ├── DataError                   a data set: file and line of each defect
    ├── TrainingError               a run that cannot go on, such as a loss of NaN; what was good is kept
    ├── SourceError                 an image, a video or a stream that cannot be read
    ├── OutputError                 a result that cannot be written
    └── DownloadError               a file that cannot be fetched, or is not what it should be

Each says what was expected and what was found, so that a person can act on the message alone.
"""

from __future__ import annotations

import os

from yolov7.text import printable


class Yolov7Error(Exception):
    """Base of every error that this package raises on purpose.

    Args:
        message: what is wrong, in one sentence.
        file: the file that it is about.
        line: line in that file, counted from 1.
        expected: what would have been right.
        found: what was there instead.

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
        """The message, with whatever would steer a terminal escaped."""
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
    """An argument that cannot be."""


class MissingDependencyError(UsageError):
    """An optional library is not installed."""

    def __init__(self, library: str, *, purpose: str, extra: str | None = None) -> None:
        install = f"open-yolov7[{extra}]" if extra else library
        super().__init__(f"{purpose} needs {library}, which is not installed; run: pip install '{install}'")


class ArchitectureError(Yolov7Error):
    """A network that cannot be built, or an input that it cannot take."""


class CheckpointError(Yolov7Error):
    """A weight file that cannot be used."""


class UnsafeCheckpointError(CheckpointError):
    """The file asks to run code or to import what no checkpoint needs. Nothing of it was run."""


class DamagedCheckpointError(CheckpointError):
    """The file is truncated, altered, absurd in its sizes, or no checkpoint at all."""


class MismatchedCheckpointError(CheckpointError):
    """The tensors of the file are not those of the network."""


class DataError(Yolov7Error):
    """A data set that cannot be read as it stands."""


class TrainingError(Yolov7Error):
    """A training run that cannot go on, or cannot be continued."""


class SourceError(Yolov7Error):
    """An image, a video or a stream that cannot be read."""


class OutputError(Yolov7Error):
    """A result that cannot be written."""


class DownloadError(Yolov7Error):
    """A file that cannot be fetched, or is not what it should be."""
