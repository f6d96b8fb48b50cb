"""Sources: whatever users name or pass in, as frames, one at a time."""

from __future__ import annotations

import glob
import logging
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from yolov7.data.findings import Findings
from yolov7.data.lists import entries_of, find_listed, is_list, read_list
from yolov7.data.text_files import decode_text
from yolov7.errors import DataError, SourceError, UsageError, Yolov7Error
from yolov7.files import exists, is_folder
from yolov7.images.kinds import FOREIGN_SUFFIXES, IMAGE_SUFFIXES
from yolov7.prefetch import Weight, prefetch
from yolov7.sources.arrays import is_picture, to_images, to_rgb
from yolov7.sources.frames import Frame
from yolov7.sources.paths import files_in_folder, files_of_glob, missing, suffix_of, unreadable_suffix
from yolov7.sources.pictures import Still, broken, delivered, picture_by_content, still_file
from yolov7.sources.remote import (
    MAX_DOWNLOAD,
    check_scheme,
    fetch_image,
    scheme_of,
    url_name,
    url_path,
    without_password,
)
from yolov7.sources.video import PLAYLIST_SUFFIXES, VIDEO_SUFFIXES, Video, VideoOptions, Webcam

_LOG = logging.getLogger(__name__)

Ready = TypeVar("Ready")


@dataclass(frozen=True, slots=True)
class _Later:
    """Parts that are unknown until they are reached: items of a generator, or a URL without a suffix."""

    parts: Callable[[], Iterable[_Part]]


_Part = Still | Video | Webcam | _Later


class Source:
    """Iterable frames of files, videos, arrays, cameras...

    Images are read when they are reached. An image that cannot be read is a frame with an error.

    Attributes:
        live: whether it is a camera or a live stream, which never ends by itself.
    """

    def __init__(self, parts: Sequence[_Part], every: int = 1) -> None:
        self._parts = parts
        self._every = every
        live = [part.source for part in parts if isinstance(part, Video | Webcam) and part.live]
        self.live = bool(live)
        if live and len(parts) > 1:
            raise UsageError(
                "a camera or a live stream never ends: it must be the only source", found=", ".join(live[:3])
            )

    @property
    def total(self) -> int | None:
        """Number of frames, for a progress bar; None if unknown.

        An animation counts as one image. A video's number of frames comes from its header, which is read
        here, and may be inexact.
        """
        total = 0
        for part in self._parts:
            count = 1 if isinstance(part, Still) else None if isinstance(part, _Later) else part.count()
            if count is None:
                return None
            total += count
        return total

    def reduced(self, at_least: int) -> Source:
        """Return the same source with JPEG files decoded at 1/2, 1/4 or 1/8 of their size.

        Their long sides keep `at_least` pixels or more: see :func:`yolov7.images.reading.read_image`.
        Detections are still in pixels of the full image: ``Frame.size``.
        """
        return Source(
            [part.reduced(at_least) if isinstance(part, Still) else part for part in self._parts], self._every
        )

    def __iter__(self) -> Iterator[Frame]:
        for item in self._items():
            yield _frame(item)

    def read_ahead(
        self, prepare: Callable[[Frame], Ready], *, depth: int = 4, workers: int = 1
    ) -> Iterator[Ready]:
        """Read and prepare frames in the background; yield the results in order.

        Args:
            prepare: function of one frame, such as letterboxing.
            depth: maximum number of frames ahead; always one for a live source.
            workers: number of threads; several help if images are large or come from a network.
        """
        return prefetch(
            self._items(),
            1 if self.live else depth,
            prepare=lambda item: prepare(_frame(item)),
            workers=workers,
            weigh=_weight,
        )

    def _items(self) -> Iterator[tuple[int, Still | Frame]]:
        # A generator, which can be closed early, and so closes a video.
        yield from enumerate(item for part in self._parts for item in _items(part, self._every))


def open_source(
    source: Any,
    *,
    every: int = 1,
    newest: bool | None = None,
    timeout: float = 10.0,
    reconnects: int = 5,
    max_download: int = MAX_DOWNLOAD,
    frames: int | None = None,
    duration: float | None = None,
) -> Source:
    """Open a source of images. Its files are read while iterating.

    Args:
        source: one of

            - path of an image, of a video, or of a text file (.txt) with a path, folder or URL in each line,
              relative to the text file or else to the current folder; # begins a comment
            - folder: its images and videos in natural order (2 before 10), without hidden files and
              sub-folders; images of unsupported formats (HEIC, raw, PDF) are frames with an error
            - glob, such as "photos/*.jpg"; "photos/**" includes sub-folders
            - http(s) URL of an image, a video or a playlist (HLS, DASH); rtsp or rtmp URL
            - index of a webcam, as a number or as text of one or two digits: 0
            - "-": standard input, either one image or, if it is text, a path or URL in each line
            - numpy (H, W, 3) RGB, also grey, with alpha, or a batch (B, H, W, 3); uint8, uint16, or float in
              [0, 1]; tensor (3, H, W) or (B, 3, H, W); Pillow image
            - content of an image file, as bytes or as a file opened for reading bytes
            - list or tuple of these, except live ones; or another iterable of these, read one by one
            - a Source, which is returned unchanged
        every: use every n-th frame of a video or an animation.
        newest: skip frames that a slow consumer misses, instead of waiting; by default for live sources only.
        timeout: seconds without data after which a URL is given up.
        reconnects: number of consecutive attempts to reopen a lost stream.
        max_download: largest image to download, bytes.
        frames: maximum number of frames per video or stream.
        duration: maximum seconds per video or stream: of the video's time, or by the clock if live.

    Raises:
        UsageError: not a source, or an invalid option.
        SourceError: a path that does not exist, a folder without images, a glob without matches. A missing
            image in a list of several is a frame with an error instead.

    >>> import numpy as np
    >>> [frame.size for frame in open_source([np.zeros((480, 640, 3), np.uint8)])]
    [(480, 640)]
    """
    if max_download < 1:
        raise UsageError("invalid max_download", expected="1 or more", found=max_download)
    options = VideoOptions(every, newest, timeout, reconnects, frames, duration)
    if isinstance(source, Source):
        return source
    opener = _Opener(options, max_download)
    if isinstance(source, list | tuple):
        return Source(opener.several(source), every)
    if _is_many(source):
        return Source([_Later(partial(opener.one_by_one, source))], every)
    return Source(opener.one(source), every)


@dataclass(frozen=True)
class _Opener:
    """Opener of whatever users name or pass in, as parts of a source."""

    options: VideoOptions
    max_download: int

    def one(self, thing: Any, index: int = 0) -> list[_Part]:
        """Open anything but a list."""
        label = f"image{index}"
        if is_picture(thing):
            pictures = to_images(thing)
            if len(pictures) == 1:
                return [Still(label, label, partial(to_rgb, pictures[0]))]
            return [
                Still(f"{label}[{i}]", f"{label}-{i}", partial(to_rgb, picture))
                for i, picture in enumerate(pictures)
            ]
        if isinstance(thing, bytes | bytearray | memoryview):
            return [delivered(label, label, partial(bytes, thing))]
        if isinstance(thing, str | os.PathLike):
            try:
                return self._named(os.fspath(thing))
            except OSError as error:  # no permission, a name that is too long
                raise SourceError(f"cannot be looked up: {error.strerror}", file=thing) from error
        if hasattr(thing, "read"):
            return [delivered(label, label, partial(_read_open_file, thing))]
        if isinstance(thing, int) and not isinstance(thing, bool) and thing >= 0:
            return [Webcam(thing, self.options)]
        raise UsageError(
            "not a source of images",
            expected="path, URL, webcam number, array, tensor, Pillow image, bytes, or an iterable of these",
            found=repr(thing) if thing is None or isinstance(thing, int | float) else type(thing).__name__,
        )

    def several(self, things: Sequence[Any]) -> list[_Part]:
        """Open a list. A missing image among several things fails when it is reached."""
        if not things:
            raise UsageError("the list of sources is empty")
        parts: list[_Part] = []
        for index, thing in enumerate(things):
            try:
                parts += self.one(thing, index)
            except SourceError as error:
                path = os.fspath(thing) if isinstance(thing, str | os.PathLike) else ""
                if len(things) == 1 or suffix_of(path) not in IMAGE_SUFFIXES | FOREIGN_SUFFIXES.keys():
                    raise
                parts.append(broken(path, error))
        return parts

    def one_by_one(self, things: Iterable[Any]) -> Iterator[_Part]:
        """Open the items of an iterable as they are reached."""
        for index, thing in enumerate(things):
            try:
                yield from self.one(thing, index)
            except Yolov7Error as error:
                yield broken(f"image{index}", error)

    def _named(self, text: str) -> list[_Part]:
        if text == "-":
            return self._standard_input()
        if scheme_of(text) is not None:
            return [self._url(text)]
        if not text or "\0" in text:
            raise UsageError("invalid path", found=repr(text))
        path = Path(text).expanduser()
        if is_folder(path):
            return [self._found(file, file.name) for file in files_in_folder(path)]
        if exists(path):
            return self._list_file(path) if suffix_of(path) == ".txt" else [self._file(path, path.name)]
        if re.fullmatch("[0-9]{1,2}", text):
            return [Webcam(int(text), self.options)]
        if glob.has_magic(text):
            files, folder = files_of_glob(str(path))
            return [self._found(file, file.relative_to(folder).as_posix()) for file in files]
        raise missing(path)

    def _found(self, path: Path, name: str) -> _Part:
        """Open a file of a folder or a glob; an unreadable one fails when it is reached."""
        try:
            return self._file(path, name)
        except SourceError as error:
            return broken(str(path), error, name)

    def _file(self, path: Path, name: str) -> _Part:
        if suffix_of(path) in IMAGE_SUFFIXES:
            return still_file(path, name)
        video = Video(str(path), name, self.options)
        if suffix_of(path) in VIDEO_SUFFIXES:
            return video
        if (picture := picture_by_content(path, name)) is not None:
            return picture
        if video.opens():
            return video
        raise unreadable_suffix(path)

    def _entry(self, entry: str, folder: Path) -> list[_Part]:
        if scheme_of(entry) is not None:
            return [self._url(entry)]
        if (path := find_listed(entry, (folder, Path()))) is None:
            raise missing(folder / entry)
        if is_folder(path):
            return [self._found(file, file.name) for file in files_in_folder(path)]
        wanted = Path(entry.replace("\\", "/"))
        return [self._file(path, path.name if wanted.is_absolute() else wanted.as_posix())]

    def _url(self, url: str) -> _Part:
        check_scheme(url)
        ending = url_path(url).suffix.lower()
        if scheme_of(url) not in ("http", "https") or ending in VIDEO_SUFFIXES | PLAYLIST_SUFFIXES:
            return Video(url, url_name(url), self.options)
        if ending in IMAGE_SUFFIXES:
            return delivered(without_password(url), url_name(url), partial(self._fetch, url))
        return _Later(partial(self._ask, url))

    def _fetch(self, url: str) -> bytes:
        content = fetch_image(url, timeout=self.options.timeout, max_bytes=self.max_download)
        if content is None:
            raise SourceError(f"{without_password(url)}: a video, though its ending is that of an image")
        return content

    def _ask(self, url: str) -> list[_Part]:
        """Open the image or video at a URL whose suffix does not tell which it is."""
        shown, name = without_password(url), url_name(url)
        try:
            content = fetch_image(url, timeout=self.options.timeout, max_bytes=self.max_download)
        except SourceError as error:
            return [broken(shown, error)]
        if content is None:
            return [Video(url, name, self.options)]
        return [delivered(shown, name, lambda: content)]

    def _standard_input(self) -> list[_Part]:
        # Read at once: a background thread that waits for input would outlive the program.
        content = sys.stdin.buffer.read()
        if not content:
            raise SourceError("standard input is empty", expected="an image, or a path or URL in each line")
        if not is_list(content):
            return [delivered("-", "stdin", lambda: content, "standard input")]
        entries = entries_of(decode_text(content, Path("-"), Findings()))
        return self._listed(entries, "standard input", Path())

    def _list_file(self, path: Path) -> list[_Part]:
        findings = Findings()
        try:
            entries = read_list(path, findings)
        except DataError as error:
            raise SourceError(error.message, file=path, expected=error.expected) from error
        for defect in findings.defects:
            _LOG.warning("%s", defect)
        return self._listed(entries, str(path), path.parent)

    def _listed(self, entries: Iterable[tuple[int, str]], file: str, folder: Path) -> list[_Part]:
        parts: list[_Part] = []
        for number, entry in entries:
            try:
                parts += self._entry(entry, folder)
            except (Yolov7Error, OSError) as error:
                parts.append(broken(entry, _in_list(error, entry, file, number)))
        if not parts:
            raise SourceError("the list is empty", file=file, expected="a path or URL in each line")
        return parts


def _is_many(thing: Any) -> bool:
    """Test for an iterable of sources that is not itself an image, text or file."""
    if isinstance(thing, str | bytes | bytearray | memoryview | os.PathLike | Mapping) or is_picture(thing):
        return False
    return isinstance(thing, Iterable) and not hasattr(thing, "read")


def _items(part: _Part, every: int) -> Iterator[Still | Frame]:
    """Images to read, and frames that are read already."""
    if isinstance(part, Still):
        yield from part.items(every)
    elif isinstance(part, _Later):
        for inner in part.parts():
            yield from _items(inner, every)
    else:
        begin = time.perf_counter()
        for frame in part.frames():
            yield replace(frame, read_ms=1000 * (time.perf_counter() - begin))
            begin = time.perf_counter()


def _frame(numbered: tuple[int, Still | Frame]) -> Frame:
    index, item = numbered
    return replace(item.load() if isinstance(item, Still) else item, index=index)


def _weight(numbered: tuple[int, Still | Frame]) -> Weight:
    _, item = numbered
    if isinstance(item, Still):
        return item.weigh
    return 0 if item.image is None else item.image.nbytes


def _in_list(error: Yolov7Error | OSError, entry: str, file: str, line: int) -> SourceError:
    if isinstance(error, OSError):
        return SourceError(f"{entry[:100]}: cannot be looked up: {error.strerror}", file=file, line=line)
    message = f"{error.file}: {error.message}" if error.file else error.message
    return SourceError(message, file=file, line=line, expected=error.expected, found=error.found)


def _read_open_file(file: Any) -> bytes:
    content = file.read()
    if not isinstance(content, bytes):
        raise UsageError("a file of images must be open for reading bytes", found=type(content).__name__)
    return content
