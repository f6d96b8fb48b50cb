"""Values of what somebody wrote into an artefact: JSON of bounded length and depth, numbers within bounds.

Each function raises ValueError where a value is none of that kind; callers say which file it is about.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from yolov7.errors import CheckpointError
from yolov7.text import printable

MAX_JSON = 4 * 2**20
"""Bytes of a description: 10,000 long class names fit."""
MAX_CLASSES = 10_000
MAX_SIDE = 16_384
"""Pixels of an image's side."""
MAX_BATCH = 4_096
_MAX_DEPTH = 50
_MAX_TEXT = 1_000


def parsed_json(content: str | bytes) -> Any:
    """JSON as plain data."""
    try:
        return json.loads(content)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def mapping(value: object) -> dict[str, Any]:
    """A JSON object that is not nested deeply."""
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
    """A text of bounded length, with whatever would steer a terminal escaped."""
    if not isinstance(value, str) or not 0 < len(value) <= _MAX_TEXT:
        raise ValueError(f"{printable(value, 40)} is no text of at most {_MAX_TEXT} characters")
    return printable(value)


def whole(value: object, most: int) -> int:
    """A whole number from 1 to ``most``."""
    if type(value) is not int or not 1 <= value <= most:
        raise ValueError(f"{printable(value, 40)} is no whole number from 1 to {most}")
    return value


def positive(value: object) -> float:
    """A finite number above 0, of pixels."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 2 * MAX_SIDE:
        raise ValueError(f"{printable(value, 40)} is not a number of pixels")
    return float(value)


def several(value: object, most: int) -> list[Any]:
    """A list with 1 to ``most`` members."""
    if not isinstance(value, list | tuple) or not 1 <= len(value) <= most:
        raise ValueError(f"not a list of 1 to {most}")
    return list(value)


def read_bounded(path: Path, limit: int = MAX_JSON) -> bytes:
    """A whole file that is a regular one, not a link, and not larger than it may be.

    Raises:
        CheckpointError: it is not.
    """
    size = check_file(path, limit)
    with path.open("rb") as file:
        return file.read(size)  # never `limit`: read sets aside as much as it is asked for


def check_file(path: Path, limit: int) -> int:
    """Size in bytes of a part of an artefact, which must be a file of its own: a link could lead anywhere.

    Raises:
        CheckpointError: it is missing, a link, or larger than it may be.
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
