"""Lenient parsers for the values of a COCO json: numbers as text, boxes as mappings, polygons, masks.

Unambiguous values are read; everything else becomes None, never a guess.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np

from yolov7.errors import DataError
from yolov7.types import FloatArray

Box = tuple[float, float, float, float]

MAX_BYTES = 4 << 30
"""Maximum size of a json file: three times the largest published one (LVIS)."""
_WHOLE = re.compile(r"-?(0|[1-9]\d{0,17})")
_LONG_NUMBER = re.compile(r"\d{4301}")  # Python refuses to convert more than 4,300 digits to an int
_SIDES = (("x", "y", "width", "height"), ("x", "y", "w", "h"), ("left", "top", "width", "height"))


def parse(text: str, file: Path) -> Any:
    """Parse a json text.

    Raises:
        DataError: the text is not json, is nested too deeply, or has an integer of more than 4,300 digits.
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(f"not json: {error.msg}", file=file, line=error.lineno) from error
    except RecursionError as error:
        raise DataError("not COCO: nested too deeply", file=file) from error
    except ValueError as error:  # after JSONDecodeError, a subclass
        found = _LONG_NUMBER.search(text)
        line = text.count("\n", 0, found.start()) + 1 if found else None
        raise DataError(
            "integer with too many digits", file=file, line=line, expected="at most 4,300 digits"
        ) from error


_decode = json.JSONDecoder().raw_decode
_BLANK = re.compile(r"[\s,:]*")


def element_lines(text: str, key: str) -> list[int]:
    """Line on which each element of the list `key` begins; `text` must be a valid json object with it."""
    lines: list[int] = []
    for name, position in _members(text):
        if name != key:
            continue
        lines, line, counted = [], 1, 0
        position = _skip(text, position + 1)
        while text[position] != "]":
            line += text.count("\n", counted, position)
            counted = position
            lines.append(line)
            position = _skip(text, _decode(text, position)[1])
    return lines


def keys(text: str) -> list[str]:
    """Top-level keys of a valid json object, repeated ones included."""
    return [name for name, _ in _members(text)]


def _members(text: str) -> Iterator[tuple[str, int]]:
    """Yield each key of a json object and the position of its value."""
    position = _skip(text, text.index("{") + 1)
    while text[position] != "}":
        name, position = _decode(text, position)
        position = _skip(text, position)
        yield name, position
        position = _skip(text, _decode(text, position)[1])


def _skip(text: str, position: int) -> int:
    found = _BLANK.match(text, position)
    return found.end() if found else position


def short(value: object) -> str:
    """Representation of a value for a message, cut to 60 characters."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def is_whole(value: Any) -> TypeGuard[int]:
    """True for an int that is not a bool."""
    return isinstance(value, int) and not isinstance(value, bool)


def whole(value: Any) -> int | None:
    """Convert to an int, also from text or a float; None if the value is not an integer.

    >>> whole("12"), whole(3.0), whole("007"), whole(True)
    (12, 3, None, None)
    """
    if is_whole(value):
        return value
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, str) and _WHOLE.fullmatch(value.strip()):
        return int(value)
    return None


def identity(value: Any) -> int | str | None:
    """Normalise an image id: 1, 1.0 and "1" are the same. None for a value that is not an id."""
    number = whole(value)
    return value if number is None and isinstance(value, str) and value else number


def number(value: Any) -> float | None:
    """Convert to a float, also from text; infinities and NaN pass. None if the value is not a number."""
    if isinstance(value, float):
        return value
    if is_whole(value):
        return float(value) if abs(value) < 2**53 else None
    if isinstance(value, str) and len(value) < 40:
        try:
            return float(value)
        except ValueError:
            return None
    return None


def flag(value: Any) -> tuple[bool, bool]:
    """Read a flag such as iscrowd. -> (flag, True if it was written as 0, 1, true, false or none)."""
    if isinstance(value, str):
        value = {"": 0, "false": 0, "no": 0, "true": 1, "yes": 1}.get(value.strip().lower(), value)
    if value is None or isinstance(value, bool):
        return bool(value), True
    found = number(value)
    if found is None or math.isnan(found):
        return False, False
    return found != 0, found in (0, 1)


def bbox(value: Any) -> Box | None:
    """Read x, y, width, height from a list, a mapping with these names, or text with four numbers."""
    if isinstance(value, dict):
        sides = next((keys for keys in _SIDES if value.keys() >= set(keys)), None)
        value = None if sides is None else [value[key] for key in sides]
    elif isinstance(value, str) and len(value) < 200:
        value = re.split(r"[\s,;]+", value.strip(" \t\n[]()"))
    if not isinstance(value, list) or len(value) != 4:
        return None
    x, y, width, height = map(number, value)
    return None if x is None or y is None or width is None or height is None else (x, y, width, height)


def polygon(segmentation: Any) -> FloatArray | None:
    """Join COCO's list of polygons into one, (K, 2), whose parts are linked by lines of zero width.

    A single flat polygon and points as pairs are accepted too. None for a mask or an invalid polygon.
    """
    if not isinstance(segmentation, list) or not segmentation:
        return None
    if not isinstance(segmentation[0], list) or (len(segmentation[0]) == 2 and len(segmentation) > 2):
        segmentation = [segmentation]
    try:
        with np.errstate(over="ignore"):
            parts = [np.array(part, np.float32).reshape(-1, 2) for part in segmentation]
    except (TypeError, ValueError, OverflowError):
        return None
    if not all(len(part) >= 3 and np.isfinite(part).all() for part in parts):
        return None
    first, *others = parts
    # From the first point to each further part, around it, and back the same way.
    detours = [row for part in others for row in (first[:1], part, part[:1])]
    return np.concatenate((first, *detours, first[:1])) if others else first


def mask_box(segmentation: Any) -> Box | None:
    """Bounding box (x, y, width, height) of a run-length mask; None if it is invalid or empty."""
    if not isinstance(segmentation, dict):
        return None
    size, counts = segmentation.get("size"), segmentation.get("counts")
    if not isinstance(size, list) or len(size) != 2 or not all(map(is_whole, size)):
        return None
    runs = _runs(counts) if isinstance(counts, str) else counts
    if not isinstance(runs, list) or not runs or not all(is_whole(run) and run >= 0 for run in runs):
        return None
    height, width = size
    if not 0 < height * width < 2**40 or sum(runs) != height * width:
        return None
    ends = np.cumsum(np.array(runs, np.int64))
    starts, ends = ends[:-1:2], ends[1::2]  # runs of object pixels, in column-major order
    starts, ends = starts[ends > starts], ends[ends > starts] - 1
    if not len(starts):
        return None
    left, right = starts.min() // height, ends.max() // height
    whole_column = starts // height != ends // height
    top = np.where(whole_column, 0, starts % height).min()
    bottom = np.where(whole_column, height - 1, ends % height).max()
    return float(left), float(top), float(right - left + 1), float(bottom - top + 1)


def _runs(text: str) -> list[int] | None:
    """Decode COCO's compressed runs: 5 bits per character, low bits first; differences from the fourth on."""
    runs: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64 or shift > 60:
            return None
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        runs.append(value + runs[-2] if len(runs) > 2 else value)
        value = shift = 0
    return None if shift else runs
