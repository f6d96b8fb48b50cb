"""TIFF directories, checked before Pillow reads them; never read beyond the end of the file."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Mapping
from contextlib import suppress
from typing import BinaryIO

from PIL import _imaging

from yolov7.errors import SourceError

MAGICS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""First bytes of a TIFF and of a BigTIFF, in either byte order."""

# Tags.
SUBFILE_TYPE, WIDTH, HEIGHT, BITS, BANDS, FORMAT, PHOTOMETRIC = 254, 256, 257, 258, 277, 339, 262
_ROWS_PER_STRIP, _DNG_VERSION = 278, 50706

_SIZES = {
    kind: size
    for size, kinds in {1: (1, 2, 6, 7), 2: (3, 8), 4: (4, 9, 11, 13), 8: (5, 10, 12, 16, 17, 18)}.items()
    for kind in kinds
}
"""Bytes of a value, by its type."""
INTEGERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 16: "Q", 17: "q"}
"""Codes of `struct` for the integer types."""
_FORMATS = {1: "whole numbers", 2: "signed whole numbers", 3: "floating point", 5: "complex numbers"}
_MAX_DIRECTORIES = 10_000

# Keep Pillow's libtiff from writing to standard error; impossible if linked statically, as on Windows.
with suppress(AttributeError, OSError):
    _LIBTIFF = ctypes.CDLL(_imaging.__file__)
    for _handler in (_LIBTIFF.TIFFSetWarningHandler, _LIBTIFF.TIFFSetErrorHandler):
        _handler.restype, _handler.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
        _handler(None)


def read_directory(file: BinaryIO) -> Mapping[int, int]:
    """Read the first value of each integer tag of the first page.

    Raises:
        SourceError: the directory is damaged or larger than the file, or the file is a DNG.
    """
    tags, _ = _directory(file, None)
    if _DNG_VERSION in tags:
        raise SourceError("DNG (raw) files are not supported; convert them to JPEG or PNG")
    return tags


def count_pages(file: BinaryIO) -> int:
    """Number of full pages, without thumbnails, overviews and masks.

    Raises:
        SourceError: a directory is damaged or larger than the file.
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
    """Describe the pixels for an error message."""
    bands = tags.get(BANDS, 1)
    return (
        f"{bands} {'band' if bands == 1 else 'bands'} of {tags.get(BITS, 1)} bits, "
        f"{_FORMATS.get(tags.get(FORMAT, 1), 'of an unknown kind')}, photometric {tags.get(PHOTOMETRIC, '?')}"
    )


def _directory(file: BinaryIO, offset: int | None) -> tuple[dict[int, int], int]:
    """Read the tags of the directory at an offset (None: the first), and the offset of the next one."""
    length = file.seek(0, 2)
    file.seek(0)
    start = file.read(16)
    order = "<" if start[:2] == b"II" else ">"
    word, counter = (order + "Q", order + "Q") if b"+" in start[2:4] else (order + "I", order + "H")
    width = struct.calcsize(word)
    try:
        if offset is None:
            (offset,) = struct.unpack_from(word, start, width)
        file.seek(offset)
        (count,) = struct.unpack(counter, file.read(struct.calcsize(counter)))
        size = count * (4 + 2 * width)
        if size > length:
            raise SourceError("damaged image: more TIFF tags than the file holds")
        table = file.read(size)
        tags = _tags(file, table, word, length)
        file.seek(offset + struct.calcsize(counter) + len(table))
        rest = file.read(width)
        (following,) = struct.unpack(word, rest) if len(rest) == width else (0,)
    except struct.error:
        raise SourceError("truncated image: TIFF tags are missing") from None
    return tags, following


def _tags(file: BinaryIO, table: bytes, word: str, length: int) -> dict[int, int]:
    """Read a table of entries: tag, type, number of values, and the values themselves or their offset."""
    tags: dict[int, int] = {}
    claimed = 0
    order, width = word[0], struct.calcsize(word)
    for tag, kind, count, field in struct.iter_unpack(f"{order}HH{word[1]}{width}s", table):
        size = _SIZES.get(kind, 1) * count
        claimed += size
        if claimed > length + len(table):  # Pillow would read them all: a small file can claim terabytes
            raise SourceError("damaged image: TIFF tags that claim more than the file holds")
        if kind not in INTEGERS or not count:
            continue
        if size > width:
            file.seek(min(*struct.unpack(word, field), length))
            field = file.read(_SIZES[kind])
        (tags[tag],) = struct.unpack_from(order + INTEGERS[kind], field)
    return tags


def strip_bytes(tags: Mapping[int, int]) -> int:
    """Bytes of a decompressed strip; libtiff decompresses it as a whole."""
    rows = min(tags.get(_ROWS_PER_STRIP, 1), tags.get(HEIGHT, 1))
    return rows * tags.get(WIDTH, 1) * tags.get(BANDS, 1) * tags.get(BITS, 1) // 8
