"""Photos to measure on, as files: the user's own, or crops of scikit-image's."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from yolov7.errors import UsageError
from yolov7.files import write_file
from yolov7.photos import photos
from yolov7.results.output import encoded
from yolov7.sources.opening import open_source
from yolov7.text import plural
from yolov7.types import Image

WIDTH = 640
"""Width of the crops in pixels, as in COCO."""


class Photos(NamedTuple):
    """Image files and their pixels, uint8 (H, W, 3) RGB."""

    paths: list[str]
    images: list[Image]

    @property
    def described(self) -> str:
        """Number and size in words."""
        sizes = {(image.shape[1], image.shape[0]) for image in self.images}
        of = "{} x {} pixels".format(*sizes.pop()) if len(sizes) == 1 else f"{len(sizes)} sizes"
        return f"{plural(len(self.paths), 'photo')} of {of}"


def read_photos(source: Any, count: int) -> Photos:
    """Read the first images of a source.

    Raises:
        SourceError: an image cannot be read.
        UsageError: an image is not a file.
    """
    paths, images = [], []
    for frame in islice(open_source(source), count):
        if frame.error is not None:
            raise frame.error
        if frame.video is not None or not Path(frame.source).is_file():
            raise UsageError(
                "the benchmark reads image files again and again",
                expected="a folder, a glob or paths",
                found=frame.source,
            )
        assert frame.image is not None
        paths.append(frame.source)
        images.append(frame.image)
    return Photos(paths, images)


def cut_photos(folder: Path, count: int, width: int = WIDTH) -> Photos:
    """Write crops of scikit-image's photos, scaled to (3/4 `width`, `width`), as JPEGs.

    Raises:
        MissingDependencyError: scikit-image is not installed.
    """
    sources = list(photos(purpose="a benchmark without --images").values())
    random = np.random.default_rng(0)
    for i in range(count):
        source = sources[i % len(sources)]
        share = random.uniform(0.6, 1.0)
        rows = min(round(source.shape[0] * share), round(source.shape[1] * share * 3 / 4))
        columns = rows * 4 // 3
        top = random.integers(0, source.shape[0] - rows + 1)
        left = random.integers(0, source.shape[1] - columns + 1)
        part = cv2.resize(source[top : top + rows, left : left + columns], (width, width * 3 // 4))
        write_file(folder / f"{i:03}.jpg", encoded(np.asarray(part, np.uint8), ".jpg"))
    return read_photos(folder, count)
