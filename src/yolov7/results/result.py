"""Result of a predictor for one image."""

from __future__ import annotations

import html
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from yolov7.drawing import Style
from yolov7.errors import UsageError, Yolov7Error
from yolov7.files import write_file
from yolov7.results.output import encoded
from yolov7.sources.frames import Frame
from yolov7.text import printable
from yolov7.types import Detections, Image

if TYPE_CHECKING:
    import pandas

NOTEBOOK_SIDE = 1280
"""Long side in pixels of pictures in notebooks, so that pages with large photos stay small."""


@dataclass(frozen=True)
class Timings:
    """Milliseconds per image in each stage; the time of a batch is divided by its images.

    ``read`` (decoding) and ``prepare`` (letterbox) run in the background while the network works on earlier
    images.
    """

    read: float
    prepare: float
    network: float
    nms: float


@dataclass(frozen=True, repr=False, eq=False)
class Result:
    """Detections in one image.

    Attributes:
        detections: detections in pixels of the image.
        image: uint8 (H, W, 3) RGB.
        source: path or URL.
        index: number of the image in this run, from 0.
        timings: milliseconds by stage.
        frame: frame of the source, with details such as the position in a video.

    An unreadable image has a result too: with an `error`, without detections, and with an empty `image`
    (0, 0, 3).

    >>> from yolov7 import load
    >>> result = next(load("best.pt").predict("photos/0.jpg"))
    >>> result.plot().shape
    (96, 128, 3)
    >>> result.save("found.jpg")
    """

    detections: Detections
    image: Image
    source: str
    index: int
    timings: Timings
    frame: Frame

    @property
    def error(self) -> Yolov7Error | None:
        """Reason why the image is unreadable, or None."""
        return self.frame.error

    def plot(self, *, blur: bool = False) -> Image:
        """Draw boxes, names and scores on a copy of the image, uint8 (H, W, 3) RGB.

        Args:
            blur: whether to pixelate the inside of the boxes.

        Raises:
            SourceError: the image is unreadable.
        """
        if self.error is not None:
            raise self.error
        return self.detections.plot(self.image, Style(blur=blur))

    def save(self, path: str | os.PathLike[str], *, blur: bool = False) -> None:
        """Write the image with its boxes as a JPEG or PNG file, by the suffix of the path.

        Args:
            path: path of the file, which is replaced only when the new one is complete.
            blur: whether to pixelate the inside of the boxes.

        Raises:
            OutputError: the file cannot be written.
            UsageError: unsupported suffix.
        """
        suffix = Path(path).suffix.lower()
        if suffix not in (".jpg", ".jpeg", ".png"):
            raise UsageError("unknown picture format", expected=".jpg, .jpeg or .png", found=os.fspath(path))
        write_file(path, encoded(self.plot(blur=blur), suffix))

    def to_json(self) -> str:
        """Return a JSON object: source, index, width, height and a list of detections.

        Each detection has label, name, score and box (x1, y1, x2, y2 in pixels). An unreadable image has an
        error too, as text.
        """
        height, width = self.image.shape[:2]
        return json.dumps(
            {
                "source": self.source,
                "index": self.index,
                "width": width,
                "height": height,
                **({} if self.error is None else {"error": str(self.error)}),
                "detections": self.detections.to_records(),
            }
        )

    def to_pandas(self) -> pandas.DataFrame:
        """Return a table with one row per detection: see `Detections.to_pandas`.

        Raises:
            MissingDependencyError: pandas is not installed.
        """
        return self.detections.to_pandas()

    def __repr__(self) -> str:
        height, width = self.image.shape[:2]
        if self.error is not None:
            return f"<Result {printable(self.source, 80)}: {printable(self.error.message, 200)}>"
        return f"<Result {printable(self.source, 80)}, {width} x {height}: {self.detections.summary()}>"

    def _repr_png_(self) -> bytes | None:
        """Picture for notebooks, at most ``NOTEBOOK_SIDE`` pixels; None for an unreadable image."""
        if self.error is not None:
            return None
        picture = self.plot()
        scale = NOTEBOOK_SIDE / max(picture.shape[:2])
        if scale < 1:
            height, width = (max(1, round(scale * side)) for side in picture.shape[:2])
            picture = np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
        return encoded(picture, ".png")

    def _repr_html_(self) -> str:
        """Caption and table for notebooks, beside the picture."""
        rows = "".join(
            f"<tr><td>{html.escape(printable(one.name))}</td><td>{one.score:.2f}</td>"
            f"<td>{', '.join(f'{value:.0f}' for value in one.box)}</td></tr>"
            for one in self.detections
        )
        head = "<tr><th>name</th><th>score</th><th>x1, y1, x2, y2</th></tr>"
        return f"<p>{html.escape(repr(self)[1:-1])}</p><table>{head}{rows}</table>"


class Results(Iterator[Result]):
    """Iterator of results, as images are read."""

    def __init__(self, results: Iterator[Result]) -> None:
        self._results = results

    def __next__(self) -> Result:
        return next(self._results)

    def __getitem__(self, index: object) -> Result:
        raise UsageError(
            "results are an iterator, so that memory does not grow with their number",
            expected="for result in predictor.predict(...), or list(predictor.predict(...))[0]",
            found=f"[{index!r:.40}]",
        )
