"""PNG chunks, read without decoding."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import BinaryIO

from yolov7.errors import SourceError


def _chunks(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Yield kind and length of each chunk of a PNG, with the file at the chunk's content.

    A length never exceeds the rest of the file: read() allocates as much as it is asked for.
    """
    size, position = file.seek(0, 2), 8
    while True:
        file.seek(position)
        head = file.read(8)
        if len(head) < 8:
            return
        length = int.from_bytes(head[:4], "big")
        yield head[4:], min(length, size - position - 8)
        position += length + 12


def check_pixels(file: BinaryIO) -> None:
    """Check the checksums of the chunks that pixels depend on, which Pillow ignores.

    Raises:
        SourceError: a checksum is wrong.
    """
    for kind, length in _chunks(file):
        if kind == b"IEND":
            return
        if kind not in (b"IHDR", b"PLTE", b"IDAT"):
            continue
        checksum, left = zlib.crc32(kind), length
        while left and (part := file.read(min(left, 1 << 20))):
            checksum, left = zlib.crc32(part, checksum), left - len(part)
        stored = file.read(4)
        if len(stored) == 4 and int.from_bytes(stored, "big") != checksum:
            raise SourceError(f"damaged image: wrong checksum of its {kind.decode()} data")


def essential(file: BinaryIO) -> bytes:
    """Copy of a PNG with only the chunks that pixels and orientation depend on."""
    parts = [b"\x89PNG\r\n\x1a\n"]
    for kind, length in _chunks(file):
        if kind in (b"IHDR", b"PLTE", b"IDAT", b"IEND", b"eXIf"):
            content = file.read(length)
            checksum = zlib.crc32(content, zlib.crc32(kind))
            parts += [len(content).to_bytes(4, "big"), kind, content, checksum.to_bytes(4, "big")]
    return b"".join(parts)


def exif_of(file: BinaryIO) -> bytes:
    """EXIF of a PNG, before or after its pixels; b"" if there is none."""
    return next((file.read(length) for kind, length in _chunks(file) if kind == b"eXIf"), b"")
