"""Where results go.

Directories are never overwritten, names never clash, and a file has its name when it is complete.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
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
    """Relative paths for results of frames, no two the same even where upper and lower case are one."""

    def __init__(self) -> None:
        self._uses: dict[str, int] = {}
        self._last: Frame | None = None  # the last one of a video, and what that video is called
        self._video = ""

    def path(self, frame: Frame, suffix: str) -> str:
        """photos/a.jpg -> a.txt, then a-2.txt; a frame of clip.mp4 -> clip/000012.txt."""
        if frame.video is None:
            return self._free(self._stem(frame), suffix)
        return f"{self.video(frame)}/{frame.video.number:06d}{suffix}"

    def video(self, frame: Frame) -> str:
        """One name for all frames of a video, without ending."""
        assert frame.video is not None
        last, self._last = self._last, replace(frame, image=None)
        if last is None or last.video is None or frame.source != last.source:
            begins = True
        else:  # it may be the same video once more
            begins = frame.index != last.index and frame.video.number <= last.video.number
        if begins:
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
    """Ending for pictures made of a frame: its own if that is .jpg or .jpeg; .png for other lossless ones."""
    suffix = Path(frame.name).suffix
    if suffix.lower() in (".jpg", ".jpeg", ".png"):
        return suffix
    return ".png" if suffix.lower() in _LOSSLESS_SUFFIXES else ".jpg"


def encoded(image: Image, suffix: str) -> bytes:
    """The content of an image file: PNG, or JPEG of high quality.

    Raises:
        OutputError: too large for the format.
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
    """What pictures look like, and which there are.

    Attributes:
        style: lines and labels of pictures and videos, and whether these and crops are blurred.
        only_found: no pictures of images in which nothing was found.
    """

    style: Style = field(default_factory=Style)
    only_found: bool = False


class Sink(ABC):
    """Takes frames with their detections, in order.

    As a context manager it is closed at the end; after an exception (Ctrl-C too) it is abandoned.

    Args:
        directory: the run's directory, which exists.
        names: class names by label.
        options: for those that draw.

    Raises:
        OutputError: there are such results already, or it cannot be written.
    """

    result: ClassVar[str]
    """The file or folder in the run's directory."""

    def __init__(
        self,
        directory: Path,
        names: Sequence[str],
        options: SinkOptions = SinkOptions(),
    ) -> None:
        self.path = directory / self.result
        self.names = tuple(names)
        self.options = options
        with explained(self.path):
            if self.path.is_file() or (self.path.is_dir() and any(self.path.iterdir())):
                raise OutputError("there are results already, which are not overwritten", file=self.path)

    @abstractmethod
    def write(self, frame: Frame, detections: Detections) -> None:
        """Take one frame; of one with an error the detections are empty.

        Raises:
            OutputError: it cannot be written.
        """

    def close(self) -> None:  # noqa: B027 - most have nothing left to complete
        """Complete what is open.

        Raises:
            OutputError: it cannot be written.
        """

    def abandon(self) -> list[Path]:
        """Leave what is open as usable as it can be, under its partial name. Returns these files."""
        return []

    def __enter__(self) -> Sink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            for path in self.abandon():
                _LOG.warning("broken off; what there is up to then: %s", path)
