"""Source of images for training samples; pixels are read as late and as rarely as possible."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Protocol

from yolov7.data.labels import LabelledImage
from yolov7.types import Image


class Source(Protocol):
    """Labelled images by number, such as a data set."""

    @property
    def images(self) -> Sequence[LabelledImage]:
        """Size and labels of each image, without its pixels."""

    def pixels(self, index: int) -> Image:
        """Read an image or raise a SourceError. -> uint8 (H, W, 3) RGB, which must not be modified."""


class Reader:
    """Source for one training sample, which reads each image at most once."""

    def __init__(self, source: Source) -> None:
        self.images = source.images
        self.pixels = cache(source.pixels)
