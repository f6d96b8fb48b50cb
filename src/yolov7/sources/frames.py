"""What a source gives: one picture at a time, and where it came from."""

from __future__ import annotations

from dataclasses import dataclass

from yolov7.errors import Yolov7Error
from yolov7.types import Image


@dataclass(frozen=True)
class VideoPosition:
    """Where in a video or a stream a frame is.

    Attributes:
        number: number of the frame, from 0; frames that were left out count.
        time: seconds since the first frame, as the video says, so that a variable frame rate is kept; by the
            clock for live sources.
        fps: average frames per second; None where not known.
        live: whether it is a camera or a stream, which does not wait.
    """

    number: int
    time: float
    fps: float | None
    live: bool


@dataclass(frozen=True)
class Frame:
    """One picture of a source, or what kept it from being read.

    Attributes:
        image: uint8 (H, W, 3) RGB; None where there is an error.
        source: what it came from, for people: a path, "image0", a URL without its password, "webcam:0".
        name: relative path for its results: below the folder that was named, or as a list has it; else the
            file's name alone.
            All frames of a video have the video's.
        index: number of the frame in the whole run, from 0.
        video: its place in the video; None for a picture.
        error: why there is no image.
        read_ms: milliseconds that reading and decoding took.
        full_size: (height, width) in the source, where the image was decoded at reduced size.
    """

    image: Image | None
    source: str
    name: str
    index: int
    video: VideoPosition | None = None
    error: Yolov7Error | None = None
    read_ms: float = 0.0
    full_size: tuple[int, int] | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in the source, whose pixels detections are in."""
        if self.full_size is not None:
            return self.full_size
        assert self.image is not None
        height, width = self.image.shape[:2]
        return height, width
