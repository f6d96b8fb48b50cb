"""TIFF: what its first directory says, read before Pillow reads it, within the file's own length."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Mapping
from contextlib import suppress
from typing import BinaryIO

from PIL import _imaging

from yolov7.errors import SourceError

MAGICS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""The first bytes of a TIFF in either byte order, and of a BigTIFF."""

# Tags.
SUBFILE_TYPE, WIDTH, HEIGHT, BITS, BANDS, FORMAT, PHOTOMETRIC = 254, 256, 257, 258, 277, 339, 262
_ROWS_PER_STRIP, _DNG_VERSION = 278, 50706

_SIZES = {
    1: 1,
    2: 1,
    3: 2,
    4: 4,
    5: 8,
    6: 1,
    7: 1,
    8: 2,
    9: 4,
    10: 8,
    11: 4,
    12: 8,
    13: 4,
    16: 8,
    17: 8,
    18: 8,
}
_INTEGERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 16: "Q", 17: "q"}
_FORMATS = {1: "whole numbers", 2: "signed whole numbers", 3: "floating point", 5: "complex numbers"}
_MAX_DIRECTORIES = 10_000

# Pillow's libtiff would write to standard error what it thinks of a damaged file. Where it is compiled in, as
# on Windows, it keeps its habit.
with suppress(AttributeError, OSError):
    _LIBTIFF = ctypes.CDLL(_imaging.__file__)
    for _handler in (_LIBTIFF.TIFFSetWarningHandler, _LIBTIFF.TIFFSetErrorHandler):
        _handler.restype, _handler.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
        _handler(None)


def read_directory(file: BinaryIO) -> Mapping[int, int]:
    """The first whole number of each tag of the first page that is one.

    Raises:
        SourceError: it is damaged, its tags claim more than the file holds, or it is a camera's raw file.
    """
    tags, _ = _directory(file, None)
    if _DNG_VERSION in tags:
        raise SourceError("DNG (raw) files are not read; convert it to JPEG or PNG")
    return tags


def count_pages(file: BinaryIO) -> int:
    """Number of full pages, without thumbnails, overviews and masks.

    Raises:
        SourceError: as `read_directory`.
    """
    pages, seen = 0, set[int]()
    offset: int | None = None
    while offset != 0 and offset not in seen and len(seen) < _MAX_DIRECTORIES:
        if offset is not None:
            seen.add(offset)
        tags, offset = _directory(file, offset)
        pages += not tags.get(SUBFILE_TYPE, 0) & 0b101
    return pages


def describe(tags: Mapping[int, int]) -> str:
    """What the pixels are, for a person."""
    bands = tags.get(BANDS, 1)
    return (
        f"{bands} {'band' if bands == 1 else 'bands'} of {tags.get(BITS, 1)} bits, "
        f"{_FORMATS.get(tags.get(FORMAT, 1), 'of an unknown kind')}, photometric {tags.get(PHOTOMETRIC, '?')}"
    )


def _directory(file: BinaryIO, offset: int | None) -> tuple[dict[int, int], int]:
    """The tags of the directory at a place of the file, by default the first, and where the next one is."""
    length = file.seek(0, 2)
    file.seek(0)
    start = file.read(16)
    order = "<" if start[:2] == b"II" else ">"
    big = start[2:3] == b"+" or start[3:4] == b"+"
    try:
        if offset is None:
            (offset,) = struct.unpack_from(order + ("Q" if big else "I"), start, 8 if big else 4)
        file.seek(offset)
        (entries,) = struct.unpack(order + ("Q" if big else "H"), file.read(8 if big else 2))
        entry_size = 20 if big else 12
        if entries * entry_size > length:
            raise SourceError("damaged image: more TIFF tags than the file holds")
        table = file.read(entries * entry_size)
        tags = _tags(file, table, order, big, length)
        file.seek(offset + (8 if big else 2) + len(table))
        rest = file.read(8 if big else 4)
        (following,) = struct.unpack(order + ("Q" if big else "I"), rest) if len(rest) >= 4 else (0,)
    except struct.error:
        raise SourceError("truncated image: its TIFF tags are not all there") from None
    return tags, following


def _tags(file: BinaryIO, table: bytes, order: str, big: bool, length: int) -> dict[int, int]:
    tags: dict[int, int] = {}
    claimed = 0
    for at in range(0, len(table), 20 if big else 12):
        tag, kind, count = struct.unpack_from(order + ("HHQ" if big else "HHI"), table, at)
        size = _SIZES.get(kind, 1) * count
        claimed += size
        if claimed > length + len(table):  # Pillow would read each: a small file can claim terabytes
            raise SourceError("damaged image: TIFF tags that claim more than the file holds")
        if kind not in _INTEGERS or not count:
            continue
        value_at = at + (12 if big else 8)
        if size <= (8 if big else 4):
            (tags[tag],) = struct.unpack_from(order + _INTEGERS[kind], table, value_at)
        else:
            (place,) = struct.unpack_from(order + ("Q" if big else "I"), table, value_at)
            file.seek(min(place, length))
            size = struct.calcsize(_INTEGERS[kind])
            (tags[tag],) = struct.unpack(order + _INTEGERS[kind], file.read(size))
    return tags


def strip_bytes(tags: Mapping[int, int]) -> int:
    """Bytes of a strip once it is decompressed, which libtiff does as a whole."""
    rows = min(tags.get(_ROWS_PER_STRIP, 1), tags.get(HEIGHT, 1))
    return rows * tags.get(WIDTH, 1) * tags.get(BANDS, 1) * tags.get(BITS, 1) // 8
