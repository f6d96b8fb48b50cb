"""Pictures as parts of a source: a single one, and files that hold several."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
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
class Load:
    """What gives a frame, and bytes of memory that this takes, or what finds out."""

    load: Callable[[], Frame]
    weight: int | Callable[[], int] = 0


@dataclass(frozen=True, slots=True)
class Still:
    """One picture, to be read when it is its turn.

    Attributes:
        source, name: as a frame has them.
        read: gives its pixels.
        full_size: gives its size in the file, where it is decoded smaller.
        file: path, where it is a file.
        weigh: gives bytes of memory that reading it takes.
    """

    source: str
    name: str
    read: Callable[[], Image]
    full_size: Callable[[], tuple[int, int]] | None = None
    file: str | None = None
    weigh: Callable[[], int] = int

    def reduced(self, at_least: int) -> Still:
        """The same, decoded at reduced size where it is a file."""
        if self.file is None:
            return self
        read = partial(read_image, self.file, at_least=at_least)
        return replace(self, read=read, full_size=partial(image_size, self.file))

    def load(self) -> Frame:
        """Its frame, or one with an error."""
        begin = time.perf_counter()
        try:
            image = self.read()
            full_size = None if self.full_size is None else self.full_size()
        except Yolov7Error as error:
            return Frame(None, self.source, self.name, 0, error=error)
        took = 1000 * (time.perf_counter() - begin)
        return Frame(image, self.source, self.name, 0, read_ms=took, full_size=full_size)

    def loads(self, every: int) -> Iterator[Load]:
        """What gives its frames: those of an animation are a film's; pages behind the first are not read."""
        suffix = "" if self.file is None else Path(self.file).suffix.lower()
        held = 1
        if self.file is not None and suffix in _ANIMATED | _PAGED:
            try:
                held = count_frames(self.file)
            except SourceError:
                held = 1  # which reading it will explain
        if held > 1 and suffix in _ANIMATED:
            for frame in self._animation(every):
                yield Load(partial(replace, frame), 0 if frame.image is None else frame.image.nbytes)
            return
        yield Load(self.load, self.weigh)
        if held > 1:
            error = SourceError(
                f"{held - 1} more pages in this file are not read", file=self.file, expected="one page"
            )
            yield Load(broken(self.source, error, self.name).load)

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
    """A picture that fails when it is its turn."""

    def fail() -> NoReturn:
        raise error

    return Still(source, Path(source).name if name is None else name, fail)


def still_file(path: Path, name: str) -> Still:
    """The picture in a file."""
    read, weigh = partial(read_image, str(path)), partial(decoding_bytes, str(path))
    return Still(str(path), name, read, file=str(path), weigh=weigh)


class Delivery:
    """The content of an image file that is brought when it is asked for, and let go once it is decoded.

    Args:
        bring: gives it.
        name: what an error calls it.
    """

    def __init__(self, bring: Callable[[], bytes], name: str) -> None:
        self._bring, self._name = bring, name
        self._brought: bytes | Yolov7Error | None = None

    def weigh(self) -> int:
        """Bytes of memory that decoding it takes; 0 where reading it will fail."""
        try:
            self._brought = self._bring()
        except Yolov7Error as error:
            self._brought = error
            return 0
        return decoding_bytes(self._brought)

    def read(self) -> Image:
        """Its pixels."""
        brought, self._brought = self._brought, None
        if isinstance(brought, Yolov7Error):
            raise brought
        return read_image(self._bring() if brought is None else brought, name=self._name)


def delivered(source: str, name: str, bring: Callable[[], bytes], shown: str | None = None) -> Still:
    """The picture in the content of a file."""
    delivery = Delivery(bring, shown or source)
    return Still(source, name, delivery.read, weigh=delivery.weigh)


def picture_by_content(path: Path, name: str) -> Still | None:
    """The picture in a file of another ending than images have; None where it is none.

    Raises:
        SourceError: it is a picture of a kind that is not read.
    """
    try:
        with path.open("rb") as file:
            start = file.read(SNIFFED)
    except OSError as error:
        raise SourceError(f"cannot be opened: {error.strerror}", file=path) from error
    foreign = path.suffix.lower() in FOREIGN_SUFFIXES
    if is_image(start) and not (foreign and start.startswith(MAGICS)):  # many raw files are TIFFs of a kind
        return still_file(path, name)
    if kind := foreign_kind(start, path):
        raise SourceError(unsupported(kind).message, file=path)
    return None
