"""Architectures as JSON, for the metadata of files in our own format."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from functools import partial
from typing import Any

from yolov7.errors import CheckpointError, DamagedCheckpointError, UsageError
from yolov7.files import safe_name
from yolov7.models.architecture import Architecture, Block, Stage
from yolov7.models.parts import PARTS, find_part, name_of
from yolov7.plugins import how_to_register
from yolov7.text import printable

LONGEST_NAME = 80
"""Longest name of a network, in characters; it becomes part of file names."""
_LONGEST_LIST = 64


def describe(architecture: Architecture) -> dict[str, Any]:
    """Describe an architecture in JSON types: parts by name, user-defined ones by import path.

    Raises: CheckpointError: a part has no import path, so that no file could refer to it.
    """

    def plain(value: Any) -> Any:
        if is_dataclass(value) and not isinstance(value, type):
            return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
        if isinstance(value, tuple):
            return [plain(item) for item in value]
        if callable(value):
            try:
                return name_of(value)
            except UsageError as error:
                raise CheckpointError(error.message, expected=error.expected, found=error.found) from None
        return value

    return plain(architecture)


def architecture_from(described: Mapping[str, Any]) -> Architecture:
    """Rebuild the architecture that :func:`describe` described; a field that is missing has its default.

    Fields that a later version adds must have a default too, and be written only where they differ from it:
    then this version can read whatever it can build.

    Raises:
        CheckpointError: a field unknown to this version, or a user-defined part that is not registered.
        DamagedCheckpointError: a part that does not exist, or a number out of bounds.
    """
    return _rebuilt(Architecture, described)


def _rebuilt(kind: type[Any], described: Mapping[str, Any]) -> Any:
    known = [field.name for field in fields(kind)]
    if unknown := [printable(name, 40) for name in described if name not in known]:
        raise CheckpointError(
            "written by a later version of this package: the network has fields unknown to this one",
            expected=", ".join(known),
            found=", ".join(unknown[:5]),
        )
    return kind(**{name: _READERS[name](value) for name, value in described.items()})


def whole(largest: int) -> Callable[[object], int]:
    """Reader of a whole number from 1 to ``largest``."""

    def read(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= largest:
            raise DamagedCheckpointError(
                "a number of the architecture is out of bounds",
                expected=f"1 to {largest}",
                found=printable(repr(value), 80),
            )
        return value

    return read


def _each(read: Callable[[Any], Any], count: int | None = None) -> Callable[[object], tuple[Any, ...]]:
    """Reader of a list of ``count`` values, or of any small number if it is None."""

    def read_all(values: object) -> tuple[Any, ...]:
        if not isinstance(values, list) or len(values) > _LONGEST_LIST or count not in (None, len(values)):
            raise DamagedCheckpointError(
                "a list of the architecture is invalid or too long", found=printable(repr(values), 80)
            )
        return tuple(map(read, values))

    return read_all


def _part(name: object) -> Any:
    part = find_part(name) if isinstance(name, str) else None
    if part is not None:
        return part
    if isinstance(name, str) and ":" in name and len(name) < 200:
        raise CheckpointError(
            "the network has a user-defined part, which is never imported at a file's request",
            expected=how_to_register(name),
            found=repr(name),
        )
    raise DamagedCheckpointError(
        "the architecture names a part that does not exist",
        expected=", ".join(PARTS),
        found=printable(repr(name), 80),
    )


_width = whole(65_536)
_block = partial(_rebuilt, Block)

# Field name -> reader. Limits are far above any real network; without them a hostile file could make us build
# forever.
_READERS: dict[str, Callable[[Any], Any]] = {
    "name": lambda name: safe_name(printable(name, LONGEST_NAME), "network"),
    "size": whole(4096),
    "stem": _each(_each(_width, 2)),
    "stages": _each(partial(_rebuilt, Stage)),
    "pool": _part,
    "neck": _each(_block),
    "neck_down": _part,
    "output": _part,
    "outputs": _each(_width),
    "anchors": _each(_each(_each(float, 2))),
    "auxiliary": _each(_width),
    "activation": _part,
    "reorg": lambda value: value is True,
    "cardinality": whole(16),
    "partial_auxiliary": lambda value: value is True,
    "head": _part,
    # Stage
    "down": _part,
    "down_width": _width,
    "block": _block,
    # Block
    "kind": _part,
    "branch": _width,
    "depth": whole(64),
    "width": _width,
}
