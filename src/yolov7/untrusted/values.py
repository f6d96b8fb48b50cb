"""Shared parts of the readers of untrusted artefacts: bounded files, JSON and numbers, and their errors.

Checks of values raise ValueError; `damaged` turns it into an error about the file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from yolov7.errors import CheckpointError, DamagedCheckpointError, UnsafeCheckpointError
from yolov7.files import is_file
from yolov7.tensor_files.reading import open_file
from yolov7.text import printable

MAX_JSON = 4 * 2**20
"""Largest description, bytes: 10,000 long class names fit."""
MAX_CLASSES = 10_000
MAX_SIDE = 16_384
"""Longest side of an image, pixels."""
MAX_BATCH = 4_096
_MAX_DEPTH = 50
_MAX_TEXT = 1_000


def parsed_json(content: str | bytes) -> Any:
    """Parse JSON to plain data."""
    try:
        return json.loads(content)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def mapping(value: object) -> dict[str, Any]:
    """Check that a value is a JSON object which is not nested deeply."""
    if not isinstance(value, dict):
        raise ValueError(f"{printable(value, 40)} is no object")
    level: list[Any] = [value]
    for _ in range(_MAX_DEPTH):
        level = [
            inner
            for one in level
            for inner in (one.values() if isinstance(one, dict) else one)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return value
    raise ValueError("nested too deeply")


def text(value: object) -> str:
    """Check that a value is a text of bounded length, and escape what would steer a terminal."""
    if not isinstance(value, str) or not 0 < len(value) <= _MAX_TEXT:
        raise ValueError(f"{printable(value, 40)} is no text of at most {_MAX_TEXT} characters")
    return printable(value)


def whole(value: object, most: int) -> int:
    """Check that a value is a whole number from 1 to ``most``."""
    if type(value) is not int or not 1 <= value <= most:
        raise ValueError(f"{printable(value, 40)} is no whole number from 1 to {most}")
    return value


def positive(value: object) -> float:
    """Check that a value is a finite number of pixels above 0."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 2 * MAX_SIDE:
        raise ValueError(f"{printable(value, 40)} is not a number of pixels")
    return float(value)


def several(value: object, most: int) -> list[Any]:
    """Check that a value is a list of 1 to ``most`` members."""
    if not isinstance(value, list | tuple) or not 1 <= len(value) <= most:
        raise ValueError(f"not a list of 1 to {most}")
    return list(value)


def begins_with(path: Path, *heads: bytes, offset: int = 0) -> bool:
    """Whether a file has one of these byte strings at an offset."""
    if not is_file(path):
        return False
    with open_file(path) as file:
        return file.read(offset + max(map(len, heads)))[offset:].startswith(heads)


def read_bounded(path: Path, limit: int = MAX_JSON) -> bytes:
    """Read a part of an artefact, see :func:`check_file`."""
    size = check_file(path, limit)
    with path.open("rb") as file:
        return file.read(size)  # not `limit`: read allocates as much as it is asked for


def check_file(path: Path, limit: int) -> int:
    """Size in bytes of a part of an artefact.

    Raises:
        CheckpointError: it is missing, larger than allowed, or a link, which could lead anywhere.
    """
    try:
        link, there = path.is_symlink(), path.is_file()
        size = path.stat().st_size if there else 0
    except OSError as error:
        raise CheckpointError(f"cannot be opened: {error.strerror}", file=path) from None
    if link or not there:
        raise CheckpointError(
            "a part of this artefact is missing", file=path, expected="a file, not a link to one"
        )
    if size > limit:
        raise CheckpointError(
            "a part of this artefact is absurdly large",
            file=path,
            expected=f"at most {limit} bytes",
            found=size,
        )
    return size


@contextmanager
def damaged(message: str, file: Path | None = None, *more: type[Exception]) -> Iterator[None]:
    """Turn a reader's exceptions over unexpected content into one error.

    Args:
        message: what is damaged.
        file: the file, unless a block around this one names it.
        more: exceptions besides those of plain data.

    Raises:
        DamagedCheckpointError: one of these exceptions was raised.
    """
    plain = ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError
    kinds: tuple[type[Exception], ...] = (*plain, *more)
    try:
        yield
    except kinds as error:
        raise DamagedCheckpointError(message, file=file, found=printable(error, 200)) from None


def refused(what: str, file: Path | None = None, hint: str = "") -> UnsafeCheckpointError:
    """The error about something that no artefact of this package has."""
    return UnsafeCheckpointError(
        f"this artefact has {what}, as none that `open-yolov7 export` writes; nothing of it was run{hint}",
        file=file,
    )
