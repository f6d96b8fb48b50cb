"""Pictures and videos that ask for much."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

from PIL import Image as Pillow

from tests.bounds.case import MOST, Case, Ready, on_source
from tests.images.hostile_images import chunk, encoded, header_of_another, many_scans, one_bit_png, tag_bomb
from tests.sources.media import write_video


def _picture(name: str, content: Callable[[], bytes]) -> Callable[[], Case]:
    def make(folder: Path, _ready: Ready) -> Path:
        data = content()
        assert len(data) <= MOST, len(data)
        (folder / name).write_bytes(data)
        return folder / name

    return lambda: on_source(make)


def _png(width: int, height: int, data: bytes, *more: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = (chunk(b"IHDR", header), *more, chunk(b"IDAT", zlib.compress(data)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _animated(kind: str, side: int, frames: int) -> bytes:
    images = [Pillow.new("L", (side, side), i % 250) for i in range(2)]
    return encoded(images[0], kind, save_all=True, append_images=images[1:] * (frames // 2))


def _gif(side: int, frames: int) -> bytes:
    """Frames of a pixel each, on a large canvas."""
    gif = encoded(Pillow.new("P", (1, 1)), "GIF")
    at = gif.find(b",")
    frame = gif[at:-1]
    canvas = gif[:6] + struct.pack("<HH", side, side) + gif[10:at]
    return canvas + frame * frames + b";"


def _apng(side: int, frames: int) -> bytes:
    """A still picture that says it moves."""
    control = chunk(b"acTL", struct.pack(">II", frames, 0))
    frame = b"".join(
        chunk(b"fcTL", struct.pack(">IIIIIHHBB", i, 1, 1, 0, 0, 1, 10, 1, 0)) for i in range(frames)
    )
    return _png(side, side, bytes(10), control, frame)


def _tiff_pages(pages: int) -> bytes:
    """Directories without end, one after the other."""
    size = 2 + 12 + 4
    start = [8 + size * i for i in range(pages)]
    entry = struct.pack("<HHII", 256, 3, 1, 1)
    return (
        b"II*\0"
        + struct.pack("<I", 8)
        + b"".join(
            struct.pack("<H", 1) + entry + struct.pack("<I", start[(i + 1) % pages]) for i in range(pages)
        )
    )


def _jpeg(segment: bytes, times: int) -> bytes:
    jpeg = encoded(Pillow.new("RGB", (8, 8)), "JPEG")
    return jpeg[:2] + segment * times + jpeg[2:]


def _bmp(side: int) -> bytes:
    return encoded(Pillow.new("RGB", (8, 8)), "BMP").replace(
        struct.pack("<ii", 8, 8), struct.pack("<ii", side, side)
    )


def _video(old: bytes, new: Callable[[bytes], bytes]) -> Callable[[], Case]:
    """A video with a box of its header changed."""

    def make(folder: Path, _ready: Ready) -> Path:
        write_video(folder / "v.mp4", 5)
        content = (folder / "v.mp4").read_bytes()
        at = content.rfind(old)
        assert at > 0
        (folder / "v.mp4").write_bytes(content[:at] + new(content[at:]))
        return folder / "v.mp4"

    return lambda: on_source(make)


def _sized(width: int, height: int) -> Callable[[bytes], bytes]:
    """A track's sample description of another size."""
    return lambda rest: rest[:44] + struct.pack(">HH", width, height) + rest[48:]


def _counted(count: int) -> Callable[[bytes], bytes]:
    """A table that says it has so many entries."""
    return lambda rest: rest[:8] + struct.pack(">I", count) + rest[12:]


def _long_video(side: int, frames: int) -> Callable[[], Case]:
    """A video of few bytes and many frames."""

    def make(folder: Path, _ready: Ready) -> Path:
        write_video(folder / "v.mp4", frames, size=(side, side))
        return folder / "v.mp4"

    return lambda: on_source(make)


CASES: dict[str, Callable[[], Case]] = {
    "png: a bit a pixel, 17,300 a side": _picture("a.png", lambda: one_bit_png(17_300)),
    "png: a bit a pixel, 60,000 a side": _picture("a.png", lambda: one_bit_png(60_000)),
    "png: claims 2^31": _picture("a.png", lambda: _png(2**31 - 1, 2**31 - 1, bytes(100))),
    "png: claims 17,000": _picture("a.png", lambda: _png(17_000, 17_000, bytes(100))),
    "png: a line": _picture("a.png", lambda: _png(200_000_000, 1, bytes(100))),
    "png: a text bomb": _picture(
        "a.png",
        lambda: _png(8, 8, bytes(200), *[chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(900_000_000), 9))]),
    ),
    "png: a profile bomb": _picture(
        "a.png",
        lambda: _png(8, 8, bytes(200), chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(900_000_000), 9))),
    ),
    "png: chunks": _picture("a.png", lambda: _png(8, 8, bytes(200), chunk(b"tEXt", b"a\0b") * 600_000)),
    "apng: frames": _picture("a.png", lambda: _apng(3_000, 200_000)),
    "jpeg: scans": _picture("a.jpg", lambda: many_scans(20_000)),
    "jpeg: 90 scans of 9,000 a side": _picture("a.jpg", lambda: many_scans(90, 9_000)),
    "jpeg: header of 65,500": _picture("a.jpg", lambda: header_of_another(65_500)),
    "jpeg: header of 17,000": _picture("a.jpg", lambda: header_of_another(17_000)),
    "jpeg: comments": _picture("a.jpg", lambda: _jpeg(b"\xff\xfe\0\2", 2_000_000)),
    "jpeg: exif": _picture("a.jpg", lambda: _jpeg(b"\xff\xe1\0\x0eExif\0\0II*\0\0\0\0\0"[:16], 500_000)),
    "gif: frames of a pixel": _picture("a.gif", lambda: _gif(60_000, 100_000)),
    "gif: 3,000 a side, many frames": _picture("a.gif", lambda: _gif(3_000, 30)),
    "gif: one frame, 16,000 a side": _picture(
        "a.gif", lambda: encoded(Pillow.new("P", (16_000, 16_000)), "GIF")
    ),
    "webp: 16,383 a side": _picture(
        "a.webp", lambda: encoded(Pillow.new("RGB", (16_383, 16_383)), "WEBP", lossless=True, method=0)
    ),
    "webp: frames": _picture("a.webp", lambda: _animated("WEBP", 4_000, 60)),
    "tiff: tags": _picture("a.tif", lambda: tag_bomb(4_000, 9_000_000)),
    "tiff: pages in a ring": _picture("a.tif", lambda: _tiff_pages(500_000)),
    "tiff: 17,000 a side, group 4": _picture(
        "a.tif", lambda: encoded(Pillow.new("1", (17_000, 17_000)), "TIFF", compression="group4")
    ),
    "tiff: deflated, 17,000 a side": _picture(
        "a.tif", lambda: encoded(Pillow.new("L", (17_000, 17_000)), "TIFF", compression="tiff_adobe_deflate")
    ),
    "bmp: claims 2^30": _picture("a.bmp", lambda: _bmp(2**30)),
    "bmp: claims 17,000": _picture("a.bmp", lambda: _bmp(17_000)),
    "ppm: claims 10^9": _picture("a.ppm", lambda: b"P6 1000000000 1000000000 255\n"),
    "ppm: digits": _picture("a.pgm", lambda: b"P2 9000 9000 255\n" + b"1" * 9_000_000),
    "jpeg 2000: 17,000 a side": _picture(
        "a.jp2", lambda: encoded(Pillow.new("L", (12_000, 12_000)), "JPEG2000", irreversible=True)
    ),
    "video: claims 65,535 a side": _video(b"stsd", _sized(65_535, 65_535)),
    "video: claims 2^32 samples": _video(b"stsz", lambda rest: rest[:12] + b"\xff" * 4 + rest[16:]),
    "video: claims 2^32 chunks": _video(b"stco", _counted(2**32 - 1)),
    "video: claims 2^32 times": _video(b"stts", _counted(2**32 - 1)),
    "video: 4,000 a side": _long_video(4_000, 20),
}
