"""Still images as parts of a source: files, animations, and contents of image files."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NoReturn

from yolov7.errors import SourceError, Yolov7Error
from yolov7.images.kinds import FOREIGN_SUFFIXES, SNIFFED, foreign_kind, is_image, unsupported
from yolov7.images.reading import count_frames, decoding_bytes, image_size, read_frames, read_image
from yolov7.images.tiff import MAGICS
from yolov7.sources.frames import Frame, VideoPosition
from yolov7.types import Image

_ANIMATED = frozenset({".apng", ".avif", ".gif", ".png", ".webp"})
_PAGED = frozenset({".tif", ".tiff"})


@dataclass(frozen=True, slots=True)
class Still:
    """Image that is read when it is reached.

    Attributes:
        source, name: as in `Frame`.
        read: function that returns the pixels.
        full_size: function that returns the size in the file, if the image is decoded at reduced size.
        file: path of the file, if it is one.
        weigh: function that returns the memory that reading takes, bytes.
    """

    source: str
    name: str
    read: Callable[[], Image]
    full_size: Callable[[], tuple[int, int]] | None = None
    file: str | None = None
    weigh: Callable[[], int] = int

    def reduced(self, at_least: int) -> Still:
        """Return the same image, decoded at reduced size if it is a file."""
        if self.file is None:
            return self
        read = partial(read_image, self.file, at_least=at_least)
        return replace(self, read=read, full_size=partial(image_size, self.file))

    def load(self) -> Frame:
        """Read the frame; a failure gives a frame with an error."""
        begin = time.perf_counter()
        try:
            image = self.read()
            full_size = None if self.full_size is None else self.full_size()
        except Yolov7Error as error:
            return Frame(None, self.source, self.name, 0, error=error)
        took = 1000 * (time.perf_counter() - begin)
        return Frame(image, self.source, self.name, 0, read_ms=took, full_size=full_size)

    def items(self, every: int) -> Iterator[Still | Frame]:
        """Yield what it holds: frames of an animation, or the first page and an error about further pages."""
        suffix = "" if self.file is None else Path(self.file).suffix.lower()
        held = 1
        if self.file is not None and suffix in _ANIMATED | _PAGED:
            with suppress(SourceError):  # reading it will raise the same error
                held = count_frames(self.file)
        if held > 1 and suffix in _ANIMATED:
            yield from self._animation(every)
            return
        yield self
        if held > 1:
            error = SourceError(
                f"{held - 1} more pages in this file are not read", file=self.file, expected="one page"
            )
            yield broken(self.source, error, self.name)

    def _animation(self, every: int) -> Iterator[Frame]:
        assert self.file is not None
        frame = Frame(None, self.source, self.name, 0)
        try:
            for number, (pixels, seconds) in enumerate(read_frames(self.file)):
                if number % every == 0:
                    yield replace(frame, image=pixels, video=VideoPosition(number, seconds, None, live=False))
        except SourceError as error:
            yield replace(frame, error=error)


def broken(source: str, error: Yolov7Error, name: str | None = None) -> Still:
    """Image that raises the error when it is reached."""

    def fail() -> NoReturn:
        raise error

    return Still(source, Path(source).name if name is None else name, fail)


def still_file(path: Path, name: str) -> Still:
    """Image in a file."""
    read, weigh = partial(read_image, str(path)), partial(decoding_bytes, str(path))
    return Still(str(path), name, read, file=str(path), weigh=weigh)


class Delivery:
    """Content of an image file, fetched on demand and dropped once it is decoded; errors show its name."""

    def __init__(self, fetch: Callable[[], bytes], name: str) -> None:
        self._fetch, self._name = fetch, name
        self._fetched: bytes | Yolov7Error | None = None

    def weigh(self) -> int:
        """Memory that decoding takes, bytes; 0 if reading will fail."""
        try:
            self._fetched = self._fetch()
        except Yolov7Error as error:
            self._fetched = error
            return 0
        return decoding_bytes(self._fetched)

    def read(self) -> Image:
        """Decode the content, and fetch it unless `weigh` did."""
        content, self._fetched = self._fetched, None
        if isinstance(content, Yolov7Error):
            raise content
        return read_image(self._fetch() if content is None else content, name=self._name)


def delivered(source: str, name: str, fetch: Callable[[], bytes], shown: str | None = None) -> Still:
    """Image decoded from the file content that a function returns."""
    delivery = Delivery(fetch, shown or source)
    return Still(source, name, delivery.read, weigh=delivery.weigh)


def picture_by_content(path: Path, name: str) -> Still | None:
    """Image in a file without an image suffix; None if the content is no image.

    Raises:
        SourceError: an image of an unsupported format, or an unreadable file.
    """
    try:
        with path.open("rb") as file:
            start = file.read(SNIFFED)
    except OSError as error:
        raise SourceError(f"cannot be opened: {error.strerror}", file=path) from error
    by_suffix = FOREIGN_SUFFIXES.get(path.suffix.lower())
    if is_image(start) and not (by_suffix and start.startswith(MAGICS)):  # many raw formats are TIFFs
        return still_file(path, name)
    if kind := foreign_kind(start) or by_suffix:
        raise SourceError(unsupported(kind).message, file=path)
    return None
