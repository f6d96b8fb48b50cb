"""Base class of sinks, and the names and encodings of their files."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import ClassVar

import cv2

from yolov7.drawing import Style
from yolov7.errors import OutputError
from yolov7.files import explained, safe_name
from yolov7.sources.frames import Frame
from yolov7.types import Detections, Image

_LOG = logging.getLogger(__name__)
_LOSSLESS_SUFFIXES = frozenset({".png", ".bmp", ".dib", ".tif", ".tiff", ".pbm", ".pgm", ".pnm", ".ppm"})


class Names:
    """Unique relative paths for results of frames, also on file systems that ignore case."""

    def __init__(self) -> None:
        self._uses: dict[str, int] = {}
        # Source, index and number of the latest frame of a video, and the name of that video.
        self._last: tuple[str | None, int, int] = (None, 0, 0)
        self._video = ""

    def path(self, frame: Frame, suffix: str) -> str:
        """Path of a result: a.txt for photos/a.jpg, then a-2.txt; clip/000012.txt for a frame of clip.mp4."""
        if frame.video is None:
            return self._free(self._stem(frame), suffix)
        return f"{self.video(frame)}/{frame.video.number:06d}{suffix}"

    def video(self, frame: Frame) -> str:
        """Name for all frames of a video, without suffix."""
        assert frame.video is not None
        source, index, number = self._last
        self._last = frame.source, frame.index, frame.video.number
        again = frame.index != index and frame.video.number <= number  # the same video may be read twice
        if frame.source != source or again:
            self._video = self._free(self._stem(frame), "")
        return self._video

    def _free(self, stem: str, suffix: str) -> str:
        path = f"{stem}{suffix}"
        first = path.casefold()
        while path.casefold() in self._uses:
            self._uses[first] += 1
            path = f"{stem}-{self._uses[first]}{suffix}"
        self._uses[path.casefold()] = 1
        return path

    @staticmethod
    def _stem(frame: Frame) -> str:
        folder, _, name = frame.name.rpartition("/")
        parts = [safe_name(part, "_") for part in folder.split("/") if part not in ("", ".", "..")]
        return "/".join((*parts, safe_name(Path(name).stem, "image")))


def picture_suffix(frame: Frame) -> str:
    """Suffix for pictures of a frame: its own .jpg, .jpeg or .png; else .png if lossless, or .jpg."""
    suffix = Path(frame.name).suffix
    if suffix.lower() in (".jpg", ".jpeg", ".png"):
        return suffix
    return ".png" if suffix.lower() in _LOSSLESS_SUFFIXES else ".jpg"


def encoded(image: Image, suffix: str) -> bytes:
    """Encode an image, uint8 (H, W, 3) RGB, as its suffix says: PNG, or JPEG of quality 92.

    Raises:
        OutputError: image too large for the format.
    """
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    jpeg = suffix.lower() in (".jpg", ".jpeg")
    try:
        done, content = cv2.imencode(suffix, bgr, [cv2.IMWRITE_JPEG_QUALITY, 92] if jpeg else [])
    except cv2.error as error:
        raise OutputError(f"the picture cannot be encoded as {suffix}: {error.err}") from error
    if not done:
        raise OutputError(f"the picture cannot be encoded as {suffix}", found=f"shape {image.shape}")
    return content.tobytes()


@dataclass(frozen=True)
class SinkOptions:
    """Appearance and selection of pictures."""

    style: Style = field(default_factory=Style)
    """Lines and labels of pictures and videos; blur for crops too."""
    only_found: bool = False
    """Whether to write no picture of images without detections."""


class Sink(AbstractContextManager["Sink"]):
    """Writer of frames with their detections, in order, to the existing directory of a run.

    A context manager: closed at the end of the block, abandoned after an exception such as Ctrl-C.
    `names` are the class names by label.

    Raises:
        OutputError: the directory has such results already, or cannot be written.
    """

    result: ClassVar[str]
    """File or folder in the run's directory."""

    def __init__(self, directory: Path, names: Sequence[str], options: SinkOptions) -> None:
        self.path = directory / self.result
        self.names = tuple(names)
        self.options = options
        self._file_names = Names()
        with explained(self.path):
            if self.path.is_file() or (self.path.is_dir() and any(self.path.iterdir())):
                raise OutputError("there are results already, which are not overwritten", file=self.path)

    @abstractmethod
    def write(self, frame: Frame, detections: Detections) -> None:
        """Write one frame; an unreadable one has an error and no detections.

        Raises:
            OutputError: the result cannot be written.
        """

    def close(self) -> None:  # most have nothing left to complete
        """Complete open files.

        Raises:
            OutputError: a file cannot be written.
        """

    def abandon(self) -> list[Path]:
        """Close open files, as readable as possible, under their partial names. Returns their paths."""
        return []

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            for path in self.abandon():
                _LOG.warning("aborted; partial result: %s", path)
