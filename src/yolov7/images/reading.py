"""Reading of image files: uint8 (H, W, 3) RGB, upright.

libjpeg-turbo decodes JPEG (`yolov7.images.jpeg`), Pillow the other formats. Headers are read first, so that
the size of an image is checked before memory is allocated: `yolov7.images.budget` limits the memory
for one image and for all images decoded at the same time.
"""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import PIL.Image
from PIL.ImageFile import ImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile

from yolov7.errors import SourceError
from yolov7.images import jpeg, png, tiff
from yolov7.images.budget import DECODING, MAX_FILE_BYTES, check_amount
from yolov7.images.exif import ORIENTATION, SIDEWAYS, orientation_of, upright, valid_orientation
from yolov7.images.kinds import ANIMATED, FOREIGN_SUFFIXES, find_reader, unsupported
from yolov7.images.pixels import rgb
from yolov7.types import Image

_STORED_BYTES = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2}
"""Bytes per pixel of a Pillow image, by its mode; 4 for all others."""
_EXTRA_BYTES = {"WEBP": 13, "AVIF": 9, "JPEG2000": 17}
"""Further bytes per pixel that a decoder takes, as measured, by Pillow's format name."""


def read_image(
    source: str | os.PathLike[str] | bytes, *, name: str | None = None, at_least: int | None = None
) -> Image:
    """Decode an image file, or the bytes of one. -> uint8 (H, W, 3) RGB, a new array.

    The EXIF orientation is applied. Only the first frame of an animation is read; alpha is dropped
    (colours as stored); grey becomes RGB; 16 bits are cut to the upper 8; floating point must be in 0..1 or
    0..255. Waits while other threads of this process use all the memory allowed for decoding.

    Args:
        source: path, or content of the file.
        name: name of the image in errors; the path by default.
        at_least: pixels needed along the long side: a JPEG is decoded at 1/2, 1/4 or 1/8 of its size if
            enough are left, several times as fast for 12-megapixel photos. Other formats are decoded at full
            size.

    Raises:
        SourceError: the file does not exist, is not an image, is truncated or damaged, or is too large: more
            than MAX_PIXELS, or more than MAX_DECODING_BYTES to decode.
    """
    with _opened(source, name) as file:
        reader = find_reader(file)
        if reader is PngImageFile:
            png.check_pixels(file)
        header = _read_header(file, reader)
        with DECODING.taken(header.needed):
            return _decode(file, header, at_least)


def image_size(path: str | os.PathLike[str]) -> tuple[int, int]:
    """(height, width) of the image that `read_image` returns, from the file's header alone.

    Raises:
        SourceError: the file does not exist, is not an image, has a damaged header, or is too large.
    """
    return size_and_frames(path)[0]


def size_and_frames(path: str | os.PathLike[str]) -> tuple[tuple[int, int], bool]:
    """`image_size`, and whether the file has further frames or pages, which `read_image` ignores."""
    with _opened(path) as file:
        reader = find_reader(file)
        foreign = FOREIGN_SUFFIXES.get(Path(path).suffix.lower())
        if foreign and reader is TiffImageFile:  # a raw photo, whose first image is a preview
            raise unsupported(foreign)
        header = _read_header(file, reader)
        if reader is TiffImageFile:
            return header.upright_size, tiff.count_pages(file) > 1
        try:
            animated = reader in ANIMATED and bool(getattr(header.image, "is_animated", False))
        except Exception:  # damage after the first frame, which read_image ignores
            animated = False
        return header.upright_size, animated


def decoding_bytes(source: str | os.PathLike[str] | bytes) -> int:
    """Bytes of memory that `read_image` takes, from the file's header alone; 0 if the header is invalid."""
    try:
        with _opened(source) as file:
            return _read_header(file, find_reader(file)).needed
    except SourceError:
        return 0


def count_frames(path: str | os.PathLike[str]) -> int:
    """Number of frames of an animation (GIF, WebP, APNG, AVIF) or pages of a TIFF; 1 for any other image.

    Raises:
        SourceError: see `image_size`.
    """
    with _opened(path) as file:
        reader = find_reader(file)
        if reader is TiffImageFile:
            return tiff.count_pages(file)
        return _frames(_read_header(file, reader)) if reader in ANIMATED else 1


def read_frames(path: str | os.PathLike[str]) -> Iterator[tuple[Image, float]]:
    """Read the frames of an animation one by one, each with its time in seconds since the first.

    Raises:
        SourceError: a frame is damaged; earlier frames were yielded.
    """
    with _opened(path) as file:
        reader = find_reader(file)
        if reader not in ANIMATED:
            yield read_image(path), 0.0
            return
        header = _read_header(file, reader)
        image = header.image
        assert isinstance(image, ImageFile)
        seconds = 0.0
        for number in range(_frames(header)):
            with DECODING.taken(2 * header.needed):  # the next frame is drawn onto this one
                image.seek(number)
                image.load()
                pixels = upright(rgb(image.copy()), header.orientation)
            yield pixels, seconds
            seconds += float(image.info.get("duration") or 100) / 1000


@contextmanager
def _opened(source: str | os.PathLike[str] | bytes, name: str | None = None) -> Iterator[BinaryIO]:
    """Open a file, or bytes as one. Any error in the block becomes a SourceError that names the file."""
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
    """Open a regular file of acceptable size."""
    try:
        status = Path(path).stat()
        if stat.S_ISDIR(status.st_mode):
            raise SourceError("this is a folder, not an image")
        if not stat.S_ISREG(status.st_mode):  # a pipe or a device may never end
            raise SourceError("this is not a regular file")
        if status.st_size > MAX_FILE_BYTES:
            raise SourceError(
                "file too large for an image",
                expected=f"at most {MAX_FILE_BYTES:,} bytes",
                found=f"{status.st_size:,} bytes",
            )
        return Path(path).open("rb")
    except FileNotFoundError as error:
        raise SourceError("no such file") from error
    except (OSError, ValueError) as error:
        raise SourceError(f"cannot be opened: {error}") from error


@dataclass(frozen=True)
class _Header:
    """Header of an image."""

    height: int  # both in pixels, as stored
    width: int
    orientation: int  # EXIF orientation, 1 to 8
    needed: int  # bytes of memory that decoding takes
    image: ImageFile | jpeg.JpegHeader  # Pillow's is not yet loaded

    @property
    def upright_size(self) -> tuple[int, int]:
        sideways = self.orientation in SIDEWAYS
        return (self.width, self.height) if sideways else (self.height, self.width)


def _read_header(file: BinaryIO, reader: type[ImageFile] | None) -> _Header:
    """Read the header of an image, and refuse images that are too large."""
    image: ImageFile | jpeg.JpegHeader
    strip = 0
    if reader is None:
        image = jpeg.read_header(file)
        height, width, orientation = image.height, image.width, image.orientation
        own = image.coefficient_bytes
    else:
        if reader is TiffImageFile:
            tags = tiff.read_directory(file)
            image = _open_tiff(file, tags)
            # Pillow's version decides whether .size is already upright.
            height, width = tags.get(tiff.HEIGHT, image.height), tags.get(tiff.WIDTH, image.width)
            orientation = valid_orientation(tags.get(ORIENTATION, 1))
            strip = tiff.strip_bytes(tags)
        elif reader is PngImageFile:
            orientation = orientation_of(png.exif_of(file))  # may follow the pixels
            image = _open_png(file)
            width, height = image.size
        else:
            file.seek(0)
            image = reader(file)
            width, height = image.size
            orientation = orientation_of(image.info.get("exif", b""))
        own = _STORED_BYTES.get(image.mode, 4) + _EXTRA_BYTES.get(image.format or "", 0)
    needed = height * width * (own + 3 * (1 + (orientation in SIDEWAYS))) + strip
    check_amount(height, width, needed)
    return _Header(height, width, orientation, needed, image)


def _open_png(file: BinaryIO) -> PngImageFile:
    file.seek(0)
    try:
        return PngImageFile(file)
    except (SyntaxError, ValueError):  # raised even for a damaged text chunk
        return PngImageFile(io.BytesIO(png.essential(file)))


def _open_tiff(file: BinaryIO, tags: Any) -> TiffImageFile:
    file.seek(0)
    try:
        return TiffImageFile(file)
    except (SyntaxError, KeyError) as error:  # pixels unknown to Pillow
        raise SourceError(
            "unsupported pixels in a TIFF",
            expected="1, 3 or 4 bands of 8 or 16 bits, or one of 1 to 32",
            found=tiff.describe(tags),
        ) from error


def _frames(header: _Header) -> int:
    return int(getattr(header.image, "n_frames", 1))


def _decode(file: BinaryIO, header: _Header, at_least: int | None) -> Image:
    """Decode the first frame. -> uint8 (H, W, 3), upright."""
    image = header.image
    if isinstance(image, jpeg.JpegHeader):
        file.seek(0)
        return upright(jpeg.decode(file.read(), image, at_least), header.orientation)
    if isinstance(image, TiffImageFile):
        # Avoids Pillow's own limit on pixels, a global setting.
        image.im = PIL.Image.new(image.mode, getattr(image, "_tile_size", image.size), None).im
    image.load()
    pixels = rgb(image)
    turned = isinstance(image, TiffImageFile)  # by Pillow
    return pixels if turned else upright(pixels, header.orientation)
