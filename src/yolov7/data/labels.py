"""Labelled images, and the rules for valid labels that all formats share.

Images are kept, invalid labels are dropped, and repairable ones are repaired; each case is reported with
file and line.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from yolov7.data.findings import Defect, Findings, Severity
from yolov7.errors import SourceError
from yolov7.images.reading import size_and_frames
from yolov7.types import FloatArray, IntArray

ROUNDING = 1.0
"""Pixels by which a box may exceed its image unreported: tools round, and some count pixels from 1."""
_GROUP = 16  # image headers per task of the thread pool


@dataclass(frozen=True, eq=False)
class LabelledImage:
    """Image file with its ground truth, without the pixels.

    Attributes:
        path: image file.
        image_id: id in the data set; an int if the data set uses numbers.
        size: (height, width), upright.
        boxes: float32 (N, 4) ``xyxy`` pixels, inside the image up to rounding.
        labels: int64 (N,), contiguous from 0.
        crowds: bool (N,), True for boxes around a group of objects.
        areas: float64 (N,), object areas, square pixels: as given by the data set, else those of the boxes.
        polygons: float32 (K, 2) pixels or None per box; empty if no box has a polygon.
    """

    path: Path
    image_id: int | str
    size: tuple[int, int]
    boxes: FloatArray
    labels: IntArray
    crowds: npt.NDArray[np.bool_]
    areas: npt.NDArray[np.float64]
    polygons: tuple[FloatArray | None, ...] = ()

    def __len__(self) -> int:
        return len(self.boxes)


@dataclass(eq=False)
class LabelCollector:
    """Collector of one image's labels: keeps valid ones and reports the others."""

    path: Path  # of the image
    image_id: int | str
    size: tuple[int, int]  # (height, width) of the image
    file: Path  # with the labels
    findings: Findings
    line_of: Callable[[int], int] = int  # turns a `place` into a line of the file; for listed defects only
    _rows: list[tuple[tuple[float, ...], int, bool, float, FloatArray | None]] = field(default_factory=list)
    _seen: set[tuple[float, ...]] = field(default_factory=set)

    def report(self, severity: Severity, place: int, message: str, *values: object) -> None:
        """Report a lost label ("error"), or one that was kept, repaired, redundant or empty ("warning").

        `message` is a format string for `values`, as most problems of a broken file are counted, not listed.
        """
        if self.findings.count(severity, f"{severity}s in {self.path!s}", self.file):
            line = self.line_of(place)
            self.findings.include([Defect(str(self.file), line, message.format(*values), severity)])

    def add(
        self,
        label: int,
        box: tuple[float, float, float, float],
        *,
        place: int,
        subject: str = "box",
        polygon: FloatArray | None = None,
        crowd: bool = False,
        area: float | None = None,
        in_pixels: bool = False,
    ) -> None:
        """Keep a valid label; report any other.

        Args:
            label: class, contiguous from 0.
            box: ``xyxy`` pixels, unchecked.
            place: line in the file, or the argument for `line_of`.
            subject: name of the label in messages.
            polygon: (K, 2) pixels.
            crowd: True if the box surrounds a group.
            area: object area, square pixels; default: the box's area.
            in_pixels: True if the label file has pixels; then boxes that are probably fractions are dropped.
        """
        height, width = self.size
        x1, y1, x2, y2 = array("f", box)  # as stored: a very thin box has no width in float32

        def report(severity: Severity, problem: str) -> None:
            self.report(severity, place, "{} ({:g}, {:g}, {:g}, {:g}) {}", subject, *box, problem)

        if not all(map(math.isfinite, (x1, y1, x2, y2))):
            return report("error", "is not finite: dropped")
        if x2 < x1 or y2 < y1:
            return report("error", "has a negative width or height: dropped")
        if x2 == x1 or y2 == y1:
            return report("warning", "has no width or no height: dropped")
        if in_pixels and max(self.size) > 1 and min(x1, y1) > -0.01 and max(x2, y2) < 1.01:
            problem = "lies in the first pixel: fractions of the image instead of pixels? dropped"
            return report("error", problem)
        if x1 >= width or y1 >= height or x2 <= 0 or y2 <= 0:
            return report("error", f"lies outside its image of {width} x {height}: dropped")
        if min(x1, y1) < -ROUNDING or x2 > width + ROUNDING or y2 > height + ROUNDING:
            report("warning", f"reaches outside its image of {width} x {height}: clipped")
            x1, y1, x2, y2 = max(x1, 0.0), max(y1, 0.0), min(x2, width), min(y2, height)
            if polygon is not None:
                polygon = np.clip(polygon, 0, np.array((width, height), np.float32))
        identity = (label, crowd, x1, y1, x2, y2)
        if identity in self._seen:
            return report("warning", "repeats another of the same class: dropped")
        self._seen.add(identity)
        area = (x2 - x1) * (y2 - y1) if area is None else area
        return self._rows.append(((x1, y1, x2, y2), label, crowd, area, polygon))

    def labelled_image(self) -> LabelledImage:
        """Build the image with the labels that were kept."""
        columns = zip(*self._rows, strict=True) if self._rows else ((),) * 5
        boxes, labels, crowds, areas, polygons = columns
        return LabelledImage(
            self.path,
            self.image_id,
            self.size,
            boxes=np.array(boxes, np.float32).reshape(-1, 4),
            labels=np.array(labels, np.int64),
            crowds=np.array(crowds, np.bool_),
            areas=np.array(areas, np.float64),
            polygons=polygons if any(polygon is not None for polygon in polygons) else (),
        )


def polygon_box(polygon: FloatArray) -> tuple[float, float, float, float]:
    """Bounding box of a polygon. (K, 2) -> ``xyxy``.

    >>> polygon_box(np.array([[3, 1], [9, 4], [5, 8]], np.float32))
    (3.0, 1.0, 9.0, 8.0)
    """
    (x1, y1), (x2, y2) = polygon.min(axis=0).tolist(), polygon.max(axis=0).tolist()
    return x1, y1, x2, y2


def readable_images(
    paths: Sequence[Path], findings: Findings
) -> Iterator[tuple[Path, int | str, tuple[int, int]]]:
    """Yield path, id and (height, width) of each readable image; the others are reported."""
    for path, image_id, size in zip(paths, image_ids(paths), image_sizes(paths, findings), strict=True):
        if isinstance(size, str):
            findings.lose("images that cannot be read", path, f"{size}: left out")
        else:
            yield path, image_id, size


def image_sizes(paths: Sequence[Path], findings: Findings) -> list[tuple[int, int] | str]:
    """Read (height, width) from the header of each image, or the reason why it cannot be read.

    There is a warning for each file with several frames or pages.
    """

    def measure(path: Path) -> tuple[tuple[int, int] | str, bool]:
        try:
            return size_and_frames(path)
        except SourceError as error:
            return error.brief(), False

    # Threads help because most of the time is spent waiting for the disk.
    with ThreadPoolExecutor(8, thread_name_prefix="headers") as pool:
        groups = [paths[at : at + _GROUP] for at in range(0, len(paths), _GROUP)]
        measured = [
            size for sizes in pool.map(lambda group: [*map(measure, group)], groups) for size in sizes
        ]
    for path, (_, several) in zip(paths, measured, strict=True):
        if several:
            message = "holds several images, as an animation or pages: the first is used"
            findings.warning(path, message, kind="files that hold several images")
    return [size for size, _ in measured]


def image_ids(paths: Sequence[Path]) -> list[int | str]:
    """Ids for images without given ones: stems as integers, else stems, else paths, whichever are unique.

    >>> image_ids([Path("a/007.jpg"), Path("b/8.jpg")])
    [7, 8]
    """
    stems = [path.stem for path in paths]
    if all(stem.isascii() and stem.isdigit() for stem in stems):
        numbers = [int(stem) for stem in stems]
        if len(set(numbers)) == len(numbers):
            return list(numbers)
    return list(stems) if len(set(stems)) == len(stems) else [path.as_posix() for path in paths]
