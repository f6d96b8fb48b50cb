"""Image files -> uint8 (H, W, 3) RGB, upright, without surprises.

OpenCV decodes JPEG (1.5 to 2.5 times as fast as Pillow, the same pixels). Pillow decodes the rest: what
OpenCV makes of GIF, AVIF and EXIF differs between its versions, and its libpng writes to stderr. Headers are
read first, so that an image's size is known before memory is given to it.
"""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import numpy as np
import numpy.typing as npt
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.PpmImagePlugin import PpmImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from yolov7.errors import SourceError
from yolov7.types import Image

MAX_PIXELS = 300_000_000
"""Images with more are refused unread: a small file can claim to be huge. A phone's 200 megapixels pass."""

# fmt: off
IMAGE_SUFFIXES = frozenset((
    ".avif", ".bmp", ".dib", ".gif", ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg",
    ".mpo", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp",
))
# fmt: on
"""Endings (lower case) by which a folder's images are known. What a file is, its first bytes say."""

_JPEG = b"\xff\xd8\xff"
# Pillow's Image.open chooses as well, but warns and stops at a number of pixels that is a global setting.
_READERS: dict[bytes, type[ImageFile]] = {
    b"\x89PNG\r\n\x1a\n": PngImageFile,
    b"II*\0": TiffImageFile,
    b"MM\0*": TiffImageFile,
    b"GIF8": GifImageFile,
    b"BM": BmpImageFile,
    b"\xff\x4f\xff\x51": Jpeg2KImageFile,
    b"\0\0\0\x0cjP  \r\n\x87\n": Jpeg2KImageFile,
    **{b"P%d" % kind: PpmImageFile for kind in range(1, 7)},
}
_READERS_BY_BRAND: dict[bytes, type[ImageFile]] = {b"WEBP": WebPImageFile}  # bytes 8 to 12 of the file
try:
    from PIL.AvifImagePlugin import AvifImageFile

    _READERS_BY_BRAND |= {b"avif": AvifImageFile, b"avis": AvifImageFile}
except ImportError:  # Pillow before 11.3: an AVIF is then an image of an unknown kind
    pass

# JPEG markers, the byte behind 0xFF.
_APP1, _START_OF_SCAN, _END_OF_IMAGE = 0xE1, 0xDA, 0xD9
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_MARKERS_WITHOUT_LENGTH = frozenset((0x00, 0x01, *range(0xD0, 0xD9)))

_ORIENTATION = 0x0112
_SIDEWAYS = (5, 6, 7, 8)  # orientations that exchange width and height


def read_image(
    source: str | os.PathLike[str] | bytes, *, name: str | None = None, at_least: int | None = None
) -> Image:
    """Decode an image file, or the bytes of one. -> uint8 (H, W, 3) RGB, a new array.

    EXIF orientation is applied; of an animation the first frame is taken; alpha is dropped (colours as
    stored); grey becomes RGB; 16 bits keep their upper 8; floating point must range over 0..1 or 0..255.

    Args:
        source: path, or the file's content.
        name: what an error calls it; the path where not given.
        at_least: pixels that the long side of a JPEG needs: it is decoded at a half, a quarter or an eighth
            of its size, as small as that leaves it, which is several times as fast for photos of 12 million
            pixels. Other formats are decoded whole.

    Raises:
        SourceError: it does not exist, is no image, is truncated or damaged, or has more than MAX_PIXELS.
    """
    if isinstance(source, bytes):
        with _naming(name):
            return _decode(io.BytesIO(source), at_least)
    with _open_file(source) as file, _naming(name or source):
        _find_reader(file)  # before the whole of what may be a film is read
        return _decode(io.BytesIO(file.read()), at_least)


def image_size(path: str | os.PathLike[str]) -> tuple[int, int]:
    """(height, width) of what `read_image` will give, from the file's header alone.

    Raises:
        SourceError: it does not exist, is no image, or its header is damaged.
    """
    with _open_file(path) as file, _naming(path):
        return _upright_size(file)


def _open_file(path: str | os.PathLike[str]) -> BinaryIO:
    """The file, if it is one. Python opens it, for OpenCV cannot where a path is not ASCII on Windows."""
    try:
        if Path(path).is_dir():
            raise SourceError("this is a folder, not an image", file=path)
        if Path(path).exists() and not Path(path).is_file():  # a pipe or a device may never end
            raise SourceError("this is not a regular file", file=path)
        return Path(path).open("rb")
    except FileNotFoundError as error:
        raise SourceError("no such file", file=path) from error
    except (OSError, ValueError) as error:
        raise SourceError(f"cannot be opened: {error}", file=path) from error


@contextmanager
def _naming(name: str | os.PathLike[str] | None) -> Iterator[None]:
    """Whatever goes wrong inside is a SourceError that names the file."""
    try:
        yield
    except SourceError as error:
        raise SourceError(error.message, file=name, expected=error.expected, found=error.found) from error
    except Exception as error:  # Pillow's readers raise nearly anything on damaged data
        raise SourceError(f"unreadable or damaged image: {error}", file=name) from error


def _find_reader(file: BinaryIO) -> type[ImageFile] | None:
    """Pillow's class for what the file's first bytes say it is; None for JPEG, which is read here."""
    file.seek(0)
    start = file.read(16)
    file.seek(0)
    if not start:
        raise SourceError("the file is empty")
    if start.startswith(_JPEG):
        return None
    for magic, reader in _READERS.items():
        if start.startswith(magic):
            return reader
    brand = start[8:12]
    if brand in _READERS_BY_BRAND:
        return _READERS_BY_BRAND[brand]
    if start[4:8] == b"ftyp":
        raise SourceError("HEIF and video files are not read as images; convert it to JPEG or PNG")
    raise SourceError("not an image of a known kind", found=f"a file that begins with {start!r}")


def _check_size(height: int, width: int) -> None:
    if height * width > MAX_PIXELS:
        raise SourceError(
            "image too large to be decoded",
            expected=f"at most {MAX_PIXELS:,} pixels",
            found=f"{width} x {height} = {width * height:,} pixels",
        )


def _decode(file: io.BytesIO, at_least: int | None) -> Image:
    reader = _find_reader(file)
    if reader is None:
        return _decode_jpeg(file, at_least)
    image = reader(file)
    _check_size(image.height, image.width)
    image.load()
    if image.mode[0] in "IF":
        pixels = np.repeat(_to_uint8(np.asarray(image))[..., np.newaxis], 3, axis=2)
    else:
        image.info.pop("transparency", None)  # else Pillow warns that a palette loses it
        pixels = np.array(image.convert("RGB"))
    if isinstance(image, TiffImageFile):  # Pillow turned it while loading
        return pixels
    return _upright(pixels, _exif_orientation(image.info.get("exif", b"")))


def _decode_jpeg(file: io.BytesIO, at_least: int | None) -> Image:
    height, width, orientation = _read_jpeg_header(file)
    _check_size(height, width)
    data = file.getvalue()
    # OpenCV 4.10 fills what is missing with whatever was in memory.
    if data.find(b"\xff\xd9", file.tell()) < 0:
        raise SourceError("truncated image: the JPEG data has no end")
    # RGB at once: a conversion of its own would wake OpenCV's threads, which the network's then wait for.
    reduced = 0 if at_least is None else _reduction(max(height, width), at_least)
    flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION | reduced
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if pixels is None:
        raise SourceError("damaged image: OpenCV cannot decode the JPEG data")
    return _upright(np.asarray(pixels, np.uint8), orientation)


def _reduction(long_side: int, at_least: int) -> int:
    """OpenCV's flag for the smallest size that suffices; that for colour undoes "grayscale" in its name."""
    flags = {
        8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
        4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
        2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
    }
    return next((flag for factor, flag in flags.items() if long_side >= factor * at_least), 0)


def _read_jpeg_header(file: BinaryIO) -> tuple[int, int, int]:
    """(height, width, orientation) as stored; the file is left where the compressed pixels begin."""
    height = width = 0
    orientation = 1
    file.seek(2)
    while byte := file.read(1):
        if byte != b"\xff":
            continue  # libjpeg, too, looks for the next marker
        while byte == b"\xff":
            byte = file.read(1)
        marker = byte[0] if byte else _END_OF_IMAGE
        if marker in _MARKERS_WITHOUT_LENGTH:
            continue
        if marker == _END_OF_IMAGE:
            break
        if marker == _START_OF_SCAN:
            return height, width, orientation
        length = int.from_bytes(file.read(2), "big") - 2
        segment = file.read(length) if length > 0 else b""
        if marker in _START_OF_FRAME:
            height, width = struct.unpack_from(">HH", segment, 1)
        elif marker == _APP1 and segment.startswith(b"Exif"):
            orientation = _exif_orientation(segment)
    raise SourceError("truncated image: the JPEG header has no end")


def _to_uint8(levels: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Grey levels of more than 8 bits -> uint8, without stretching them."""
    low, high = levels.min(), levels.max()
    if levels.dtype.kind == "f":
        if low >= 0 and high <= 1:
            return np.round(levels * 255).astype(np.uint8)
        if low >= 0 and high <= 255:
            return np.round(levels).astype(np.uint8)
        raise SourceError(
            "floating-point pixels of unknown meaning", expected="0..1 or 0..255", found=f"{low}..{high}"
        )
    if low < 0 or high > 0xFFFF:
        raise SourceError("integer pixels of unknown meaning", expected="0..65535", found=f"{low}..{high}")
    return (levels >> 8).astype(np.uint8)


def _upright(pixels: Image, orientation: int) -> Image:
    """The image turned as EXIF says: where row 0 and column 0 of what is stored belong."""
    if orientation in _SIDEWAYS:
        pixels = np.asarray(cv2.transpose(pixels), np.uint8)
    # As stored, mirrored, upside down, flipped; then the same four after the transposition.
    flip = {2: 1, 3: -1, 4: 0, 6: 1, 7: -1, 8: 0}.get(orientation)
    return pixels if flip is None else np.asarray(cv2.flip(pixels, flip), np.uint8)


def _upright_size(file: BinaryIO) -> tuple[int, int]:
    reader = _find_reader(file)
    if reader is None:
        height, width, orientation = _read_jpeg_header(file)
    else:
        image = reader(file)
        width, height = image.size
        if isinstance(image, TiffImageFile):  # whether .size is upright already depends on Pillow's version
            width, height = image.tag_v2[256], image.tag_v2[257]
            orientation = image.tag_v2.get(_ORIENTATION, 1)
        else:
            exif = image.info.get("exif") or (
                _late_png_exif(file) if isinstance(image, PngImageFile) else b""
            )
            orientation = _exif_orientation(exif)
    _check_size(height, width)
    return (width, height) if orientation in _SIDEWAYS else (height, width)


def _late_png_exif(file: BinaryIO) -> bytes:
    """EXIF of a PNG that has it behind the pixels, found by going from chunk to chunk."""
    file.seek(8)
    while len(head := file.read(8)) == 8:
        length = int.from_bytes(head[:4], "big")
        if head[4:] == b"eXIf":
            return file.read(length)
        file.seek(length + 4, os.SEEK_CUR)
    return b""


def _exif_orientation(exif: bytes) -> int:
    """Orientation 1..8 in a block of EXIF; 1 where there is none or the block is damaged."""
    block = exif.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(block[:4])
    if order is None:
        return 1
    try:
        (directory,) = struct.unpack_from(order + "I", block, 4)
        (entries,) = struct.unpack_from(order + "H", block, directory)
        for entry in range(directory + 2, directory + 2 + 12 * entries, 12):
            tag, value = struct.unpack_from(order + "H6xH", block, entry)
            if tag == _ORIENTATION:
                return value if 1 <= value <= 8 else 1
    except struct.error:
        pass
    return 1
