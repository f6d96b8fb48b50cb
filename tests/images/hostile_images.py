"""Small files that claim, or hold, very large images."""

from __future__ import annotations

import io
import struct
import zlib

from PIL import Image as Pillow


def chunk(kind: bytes, content: bytes) -> bytes:
    """Chunk of a PNG."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def one_bit_png(side: int) -> bytes:
    """Black PNG with one bit per pixel."""
    pack, row = zlib.compressobj(9), bytes((side + 7) // 8 + 1)
    rows = b"".join(pack.compress(row) for _ in range(side)) + pack.flush()
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def encoded(image: Pillow.Image, kind: str, **options: object) -> bytes:
    """Content of an image file."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def many_scans(scans: int, side: int = 2000) -> bytes:
    """Progressive JPEG whose last scan is repeated."""
    jpeg = encoded(Pillow.new("L", (side, side)), "JPEG", progressive=True)
    last = jpeg.rfind(b"\xff\xda")
    return jpeg[:last] + jpeg[last:-2] * scans + b"\xff\xd9"


def header_of_another(side: int) -> bytes:
    """JPEG of 8 x 8 pixels whose header claims `side` x `side`."""
    jpeg = encoded(Pillow.new("RGB", (8, 8)), "JPEG")
    at = jpeg.find(b"\xff\xc0")
    return jpeg[: at + 5] + struct.pack(">HH", side, side) + jpeg[at + 9 :]


def tag_bomb(tags: int, size: int) -> bytes:
    """TIFF with many tags, each of which claims the whole file."""
    entries = b"".join(struct.pack("<HHII", 300 + i, 1, size, 8) for i in range(tags))
    return b"II*\0" + struct.pack("<I", 8 + size) + bytes(size) + struct.pack("<H", tags) + entries + bytes(4)
