"""Image files -> uint8 (H, W, 3) RGB, upright, without surprises.

libjpeg-turbo decodes JPEG (`yolov7.images.jpeg`), Pillow the rest. Headers are read first, so that an image's
size is known before memory is given to it: `yolov7.images.budget` bounds what one image takes, and what all
take together.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import PIL.Image
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.PpmImagePlugin import PpmImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from yolov7.errors import SourceError
from yolov7.images import jpeg, png, tiff
from yolov7.images.budget import DECODING, MAX_FILE_BYTES, MAX_PIXELS, check_amount
from yolov7.images.exif import ORIENTATION, SIDEWAYS, orientation_of, upright, valid_orientation
from yolov7.images.foreign import FOREIGN_SUFFIXES, SNIFFED, foreign_kind, not_read
from yolov7.types import Image

__all__ = [
    "IMAGE_SUFFIXES",
    "MAX_PIXELS",
    "count_frames",
    "image_size",
    "is_image",
    "read_frames",
    "read_image",
]

# fmt: off
IMAGE_SUFFIXES = frozenset((
    ".apng", ".avif", ".bmp", ".dib", ".gif", ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg",
    ".mpo", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp",
))
# fmt: on
"""Endings (lower case) by which a folder's images are known. What a file is, its first bytes say."""

# Pillow's Image.open chooses as well, but warns and stops at a number of pixels that is a global setting.
_READERS: dict[bytes, type[ImageFile]] = {
    b"\x89PNG\r\n\x1a\n": PngImageFile,
    **dict.fromkeys(tiff.MAGICS, TiffImageFile),
    b"GIF8": GifImageFile,
    b"BM": BmpImageFile,
    b"\xff\x4f\xff\x51": Jpeg2KImageFile,
    b"\0\0\0\x0cjP  \r\n\x87\n": Jpeg2KImageFile,
    **{b"P%d" % kind: PpmImageFile for kind in range(1, 7)},
}
_ANIMATED = (GifImageFile, PngImageFile, WebPImageFile)
_AVIF: type[ImageFile] | None = None
try:
    from PIL.AvifImagePlugin import AvifImageFile

    _AVIF = AvifImageFile
except ImportError:  # Pillow before 11.3
    pass

_STORED_BYTES = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2}
"""Bytes in which Pillow keeps a pixel, by its mode; 4 for all others."""
_EXTRA_BYTES: dict[str, int] = {"WEBP": 13, "AVIF": 9, "JPEG2000": 17}
"""Bytes a pixel that a decoder takes beside that, as measured, by Pillow's name of the format."""
_STRIP_PIXELS = 1 << 20
"""Pixels that are converted to RGB at a time."""


def read_image(
    source: str | os.PathLike[str] | bytes, *, name: str | None = None, at_least: int | None = None
) -> Image:
    """Decode an image file, or the bytes of one. -> uint8 (H, W, 3) RGB, a new array.

    EXIF orientation is applied; of an animation the first frame is taken; alpha is dropped (colours as
    stored); grey becomes RGB; 16 bits keep their upper 8; floating point must range over 0..1 or 0..255.
    Waits where other threads of this process decode in all the memory that is given to it.

    Args:
        source: path, or the file's content.
        name: what an error calls it; the path where not given.
        at_least: pixels that the long side of a JPEG needs: it is decoded at a half, a quarter or an eighth
            of its size, as small as that leaves it, which is several times as fast for photos of 12 million
            pixels. Other formats are decoded whole.

    Raises:
        SourceError: it does not exist, is no image, is truncated or damaged, or is too large: it has more
            than MAX_PIXELS, or its decoding takes more than MAX_DECODING_BYTES.
    """
    with _opened(source, name) as file:
        reader = _find_reader(file)
        if reader is not None:
            return _decode(file, reader)
        header = jpeg.read_header(file)
        turned = 3 * header.height * header.width * (header.orientation in SIDEWAYS)
        needed = header.decoding_bytes + turned
        check_amount(header.height, header.width, needed)
        with DECODING.taken(needed):
            file.seek(0)
            return upright(jpeg.decode(file.read(), header, at_least), header.orientation)


def image_size(path: str | os.PathLike[str]) -> tuple[int, int]:
    """(height, width) of what `read_image` will give, from the file's header alone.

    Raises:
        SourceError: it does not exist, is no image, its header is damaged, or it is too large.
    """
    return size_and_frames(path)[0]


def size_and_frames(path: str | os.PathLike[str]) -> tuple[tuple[int, int], bool]:
    """As `image_size`, and whether there are more frames or pages, of which `read_image` gives the first.

    Raises:
        SourceError: see `image_size`.
    """
    with _opened(path) as file:
        reader = _find_reader(file)
        if reader is TiffImageFile and Path(path).suffix.lower() in FOREIGN_SUFFIXES:  # in it is a preview
            raise not_read(FOREIGN_SUFFIXES[Path(path).suffix.lower()])
        measured = _measure(file)
        if reader is TiffImageFile:
            return measured.upright_size, tiff.count_pages(file) > 1
        return measured.upright_size, isinstance(measured, _Opened) and _is_animated(measured.image)


def _is_animated(image: ImageFile) -> bool:
    try:
        return _moves(type(image)) and bool(getattr(image, "is_animated", False))
    except Exception:  # what is behind the first frame is damaged, and not read
        return False


def decoding_bytes(source: str | os.PathLike[str] | bytes) -> int:
    """Memory that `read_image` will take, from the file's header alone; 0 where it will fail."""
    try:
        with _opened(source) as file:
            return _measure(file).needed
    except SourceError:
        return 0


def is_image(start: bytes) -> bool:
    """Whether a file that begins so (16 bytes or more) is an image that `read_image` knows."""
    try:
        _find_reader(io.BytesIO(start))
    except SourceError:
        return False
    return True


def count_frames(path: str | os.PathLike[str]) -> int:
    """Frames of an animation (GIF, WebP, APNG, AVIF) or pages of a TIFF; 1 for any other image.

    Raises:
        SourceError: it does not exist, is no image, or its header is damaged.
    """
    with _opened(path) as file:
        reader = _find_reader(file)
        if reader is None:
            return 1
        if reader is TiffImageFile:
            return tiff.count_pages(file)
        return int(getattr(_open(file, reader).image, "n_frames", 1)) if _moves(reader) else 1


def read_frames(path: str | os.PathLike[str]) -> Iterator[tuple[Image, float]]:
    """The frames of an animation, each as `read_image` would give it, and seconds from the first.

    Raises:
        SourceError: a frame is damaged; those before it were given.
    """
    with _opened(path) as file:
        reader = _find_reader(file)
        if reader is None or not _moves(reader):
            yield read_image(path), 0.0
            return
        opened = _open(file, reader)
        seconds = 0.0
        for number in range(int(getattr(opened.image, "n_frames", 1))):
            with DECODING.taken(2 * opened.needed):  # the frame before is kept to be drawn upon
                opened.image.seek(number)
                opened.image.load()
                pixels = upright(_rgb(opened.image.copy()), opened.orientation)
            yield pixels, seconds
            seconds += float(opened.image.info.get("duration") or 100) / 1000


def _moves(reader: type[ImageFile]) -> bool:
    return reader in _ANIMATED or reader is _AVIF


@contextmanager
def _opened(source: str | os.PathLike[str] | bytes, name: str | None = None) -> Iterator[BinaryIO]:
    """The file, or the bytes as one. Whatever goes wrong inside is a SourceError that names it."""
    shown = name if isinstance(source, bytes) else name or source
    try:
        with io.BytesIO(source) if isinstance(source, bytes) else _open_file(source) as file:
            yield file
    except SourceError as error:
        raise SourceError(error.message, file=shown, expected=error.expected, found=error.found) from error
    except MemoryError:
        raise SourceError("not enough memory to decode this image", file=shown) from None
    except Exception as error:  # Pillow's readers raise nearly anything on damaged data
        raise SourceError(f"unreadable or damaged image: {error}", file=shown) from error


def _open_file(path: str | os.PathLike[str]) -> BinaryIO:
    """The file, if it is one. Python opens it, for OpenCV cannot where a path is not ASCII on Windows."""
    try:
        if Path(path).is_dir():
            raise SourceError("this is a folder, not an image")
        if Path(path).exists() and not Path(path).is_file():  # a pipe or a device may never end
            raise SourceError("this is not a regular file")
        length = Path(path).stat().st_size
        if length > MAX_FILE_BYTES:
            raise SourceError(
                "file too large for an image",
                expected=f"at most {MAX_FILE_BYTES:,} bytes",
                found=f"{length:,} bytes",
            )
        return Path(path).open("rb")
    except FileNotFoundError as error:
        raise SourceError("no such file") from error
    except (OSError, ValueError) as error:
        raise SourceError(f"cannot be opened: {error}") from error


def _find_reader(file: BinaryIO) -> type[ImageFile] | None:
    """Pillow's class for what the file's first bytes say it is; None for JPEG, which is read here."""
    file.seek(0)
    start = file.read(SNIFFED)
    file.seek(0)
    if not start:
        raise SourceError("the file is empty")
    if start.startswith(jpeg.MAGIC):
        return None
    if start[4:8] == b"ftyp" and _AVIF is not None and _is_avif(start):
        return _AVIF
    kind = foreign_kind(start)
    if kind is not None:
        raise not_read(kind)
    for magic, reader in _READERS.items():
        if start.startswith(magic):
            return reader
    if start.startswith(b"RIFF") and start[8:12] == b"WEBP":
        return WebPImageFile
    if start[4:8] == b"ftyp":
        raise SourceError(
            "this is a video, or an image of a kind that is not read; convert it to JPEG or PNG"
        )
    raise SourceError("not an image of a known kind", found=f"a file that begins with {start[:16]!r}")


def _is_avif(start: bytes) -> bool:
    """Whether one of the brands in an ISO file's first box is that of AVIF."""
    brands = start[8 : min(len(start), int.from_bytes(start[:4], "big"))]
    return any(brands[at : at + 4] in (b"avif", b"avis") for at in range(0, len(brands), 4))


@dataclass(frozen=True)
class _Measured:
    """An image as its header has it: size as stored, and memory that decoding takes."""

    height: int
    width: int
    orientation: int
    needed: int

    @property
    def upright_size(self) -> tuple[int, int]:
        sideways = self.orientation in SIDEWAYS
        return (self.width, self.height) if sideways else (self.height, self.width)


@dataclass(frozen=True)
class _Opened(_Measured):
    """One of Pillow's images, whose header was read."""

    image: ImageFile


def _measure(file: BinaryIO) -> _Measured:
    reader = _find_reader(file)
    if reader is None:
        header = jpeg.read_header(file)
        needed = header.decoding_bytes + 3 * header.height * header.width * (header.orientation in SIDEWAYS)
        check_amount(header.height, header.width, needed)
        return _Measured(header.height, header.width, header.orientation, needed)
    opened = _open(file, reader)
    if reader is PngImageFile and opened.orientation == 1:  # EXIF may be behind the pixels
        return replace(opened, orientation=orientation_of(png.exif_of(file)))
    return opened


def _open(file: BinaryIO, reader: type[ImageFile]) -> _Opened:
    """Read the header, and refuse what is too large."""
    file.seek(0)
    strip = 0
    if reader is TiffImageFile:
        tags = tiff.read_directory(file)
        file.seek(0)
        image: ImageFile = _open_tiff(file, tags)
        # Whether .size is upright already depends on Pillow's version.
        height, width = tags.get(tiff.HEIGHT, image.height), tags.get(tiff.WIDTH, image.width)
        orientation = valid_orientation(tags.get(ORIENTATION, 1))
        strip = tiff.strip_bytes(tags)
    else:
        image = _open_png(file) if reader is PngImageFile else reader(file)
        width, height = image.size
        orientation = orientation_of(image.info.get("exif", b""))
    stored = _STORED_BYTES.get(image.mode, 4)
    a_pixel = stored + _EXTRA_BYTES.get(image.format or "", 0) + 3 * (1 + (orientation in SIDEWAYS))
    needed = height * width * a_pixel + strip
    check_amount(height, width, needed)
    return _Opened(height, width, orientation, needed, image)


def _open_png(file: BinaryIO) -> PngImageFile:
    try:
        return PngImageFile(file)
    except (SyntaxError, ValueError):  # because of a text, or its checksum, too
        return PngImageFile(io.BytesIO(png.essential(file)))


def _open_tiff(file: BinaryIO, tags: Any) -> TiffImageFile:
    try:
        return TiffImageFile(file)
    except (SyntaxError, KeyError) as error:  # Pillow knows no such pixels
        raise SourceError(
            "the pixels of this TIFF are of a kind that is not read",
            expected="1, 3 or 4 bands of 8 or 16 bits, or one of 1 to 32",
            found=tiff.describe(tags),
        ) from error


def _decode(file: BinaryIO, reader: type[ImageFile]) -> Image:
    if reader is PngImageFile:
        png.check_pixels(file)
    opened = _open(file, reader)
    image = opened.image
    with DECODING.taken(opened.needed):
        if isinstance(image, TiffImageFile):
            # Else Pillow warns and stops at a number of pixels that is a global setting.
            image.im = PIL.Image.new(image.mode, getattr(image, "_tile_size", image.size), None).im
        image.load()
        pixels = _rgb(image)
        if isinstance(image, TiffImageFile):  # Pillow turned it while loading
            return pixels
        return upright(pixels, orientation_of(image.info.get("exif", b"")))


def _rgb(image: PIL.Image.Image) -> Image:
    """A loaded image's pixels, uint8 (H, W, 3); by strips, for the whole at once takes twice the memory."""
    image.info.pop("transparency", None)  # else Pillow warns that a palette loses it
    rows = max(1, _STRIP_PIXELS // image.width)
    tops = range(0, image.height, rows)

    def strip(top: int) -> PIL.Image.Image:
        return image.crop((0, top, image.width, min(top + rows, image.height)))

    pixels = np.empty((image.height, image.width, 3), np.uint8)
    if image.mode[0] in "IF":
        ranges = [(levels.min(), levels.max()) for levels in (np.asarray(strip(top)) for top in tops)]
        low, high = np.min(ranges), np.max(ranges)
        for top in tops:
            pixels[top : top + rows] = _to_uint8(np.asarray(strip(top)), low, high)[..., np.newaxis]
        return pixels
    if image.mode in ("LAB", "HSV"):
        raise SourceError(
            "colours of a kind that is not read", expected="grey, RGB, CMYK or YCbCr", found=image.mode
        )
    for top in tops:
        pixels[top : top + rows] = np.asarray(strip(top).convert("RGB"))
    return pixels


def _to_uint8(levels: npt.NDArray[Any], low: Any, high: Any) -> npt.NDArray[np.uint8]:
    """Grey levels of more than 8 bits -> uint8, not stretched; `low` and `high` are the whole image's."""
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
