"""Frames: images of a source with their origin."""

from __future__ import annotations

from dataclasses import dataclass

from yolov7.errors import Yolov7Error
from yolov7.types import Image


@dataclass(frozen=True)
class VideoPosition:
    """Position of a frame in a video, stream or animation.

    Attributes:
        number: number of the frame, from 0, skipped frames included.
        time: seconds since the first frame: timestamp of the video, or by the clock for live sources.
        fps: average frames per second; None if unknown.
        live: whether the source is a camera or a live stream, which does not wait for the consumer.
    """

    number: int
    time: float
    fps: float | None
    live: bool


@dataclass(frozen=True)
class Frame:
    """One image of a source, or the error that kept it from being read.

    Attributes:
        image: uint8 (H, W, 3) RGB; None if there is an error.
        source: origin, for display: a path, "image0", a URL without its password, "webcam:0".
        name: relative path for results: within the source folder, or as listed in the source list; otherwise
            the file name. All frames of a video share the video's name.
        index: number of the frame in the whole run, from 0.
        video: position in the video; None for an image.
        error: reason why there is no image.
        read_ms: milliseconds of reading and decoding.
        full_size: (height, width) in the source, if the image was decoded at reduced size.

    >>> import numpy as np
    >>> Frame(np.zeros((480, 640, 3), np.uint8), "image0", "image0", index=0).size
    (480, 640)
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
        """(height, width) of the source image, in whose pixels detections are given."""
        if self.full_size is not None:
            return self.full_size
        assert self.image is not None
        height, width = self.image.shape[:2]
        return height, width
