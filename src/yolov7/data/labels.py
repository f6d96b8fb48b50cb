"""Common parts of all label readers: labelled images, defects, and the rules for valid labels.

Images are kept, invalid labels are dropped, and repairable ones are repaired; each case is reported with
file and line.
"""

from __future__ import annotations

import codecs
import math
from array import array
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from yolov7.errors import DataError, SourceError
from yolov7.images.reading import size_and_frames
from yolov7.types import FloatArray, IntArray

ROUNDING = 1.0
"""Pixels by which a box may exceed its image unreported: tools round, and some count from 1."""
MOST_REPORTED = 1_000
"""Maximum number of listed defects of one kind per image or file; the rest are counted."""
_GROUP = 16  # image headers per task of the thread pool
_NOT_FOR_FILES = {
    *("punycode", "idna", "unicode-escape", "raw-unicode-escape", "undefined"),
    *("base64", "bz2", "hex", "quopri", "rot13", "uu", "zlib"),
}
"""Codecs of Python that are not text file encodings; some take quadratic time."""


@dataclass(frozen=True)
class Defect:
    """Problem found in a data set.

    Attributes:
        file: label file or image concerned.
        line: line in the file, from 1; None if the problem has no line.
        message: the problem, and how it was handled.
        severity: "error" if a label or an image was lost; "warning" if nothing was (repaired, or empty, as
            a box without width or height).

    >>> print(Defect("a.txt", 3, "box has no width or no height: dropped", "warning"))
    a.txt:3: box has no width or no height: dropped
    """

    file: str
    line: int | None
    message: str
    severity: Literal["error", "warning"]

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{place}: {self.message}"


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


class LabelCollector:
    """Collector of the labels of one image: keeps valid ones and reports the others.

    Args:
        file: label file.
        size: (height, width) of the image.
        defects: list to append to.
        line_of: function from the `place` given to `add` to a line; called for defects only.
    """

    def __init__(
        self,
        file: Path,
        size: tuple[int, int],
        defects: list[Defect],
        line_of: Callable[[int], int] = int,
    ) -> None:
        self.file = file
        self.size = size
        self._defects = defects
        self._line_of = line_of
        self._boxes: list[tuple[float, float, float, float]] = []
        self._labels: list[int] = []
        self._crowds: list[bool] = []
        self._areas: list[float] = []
        self._polygons: list[FloatArray | None] = []
        self._seen: set[tuple[float, ...]] = set()
        self._reported: dict[Literal["error", "warning"], int] = {"error": 0, "warning": 0}

    def error(self, message: str, place: int) -> None:
        """Report a lost label."""
        self._report(message, place, "error")

    def warning(self, message: str, place: int) -> None:
        """Report a label that was kept, repaired, redundant or empty."""
        self._report(message, place, "warning")

    def _report(self, message: str, place: int, severity: Literal["error", "warning"]) -> None:
        self._reported[severity] += 1
        if self._reported[severity] <= MOST_REPORTED:
            self._defects.append(Defect(str(self.file), self._line_of(place), message, severity))

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
    ) -> None:
        """Keep a valid label; report any other.

        Args:
            label: class, contiguous from 0.
            box: ``xyxy`` pixels, unchecked.
            place: line in the file, or the argument for `line_of`.
            subject: name of the label in messages.
            polygon: (K, 2) pixels.
            crowd: whether the box surrounds a group.
            area: object area, square pixels; that of the box by default.
        """
        height, width = self.size
        x1, y1, x2, y2 = array(
            "f", box
        )  # rounded to float32, as stored, so that too thin boxes have no width

        def described(problem: str) -> str:
            return f"{subject} ({', '.join(f'{value:g}' for value in box)}) {problem}"

        if not all(map(math.isfinite, (x1, y1, x2, y2))):
            return self.error(described("is not finite: dropped"), place)
        if x2 < x1 or y2 < y1:
            return self.error(described("has a negative width or height: dropped"), place)
        if x2 == x1 or y2 == y1:
            return self.warning(described("has no width or no height: dropped"), place)
        if x1 >= width or y1 >= height or x2 <= 0 or y2 <= 0:
            return self.error(described(f"lies outside its image of {width} x {height}: dropped"), place)
        if min(x1, y1) < -ROUNDING or x2 > width + ROUNDING or y2 > height + ROUNDING:
            self.warning(described(f"reaches outside its image of {width} x {height}: clipped"), place)
            x1, y1, x2, y2 = max(x1, 0.0), max(y1, 0.0), min(x2, width), min(y2, height)
            if polygon is not None:
                polygon = np.clip(polygon, 0, np.array((width, height), np.float32))
        identity = (label, crowd, x1, y1, x2, y2)
        if identity in self._seen:
            return self.warning(described("repeats another of the same class: dropped"), place)
        self._seen.add(identity)
        self._boxes.append((x1, y1, x2, y2))
        self._labels.append(label)
        self._crowds.append(crowd)
        self._areas.append((x2 - x1) * (y2 - y1) if area is None else area)
        self._polygons.append(polygon)
        return None

    def labelled_image(self, path: Path, image_id: int | str) -> LabelledImage:
        """Build the image with the labels that were kept."""
        for severity, count in self._reported.items():
            if count > MOST_REPORTED:
                problem = f"{path.name}: {count - MOST_REPORTED:,} more {severity}s"
                self._defects.append(Defect(str(self.file), None, problem, severity))
        has_polygons = any(polygon is not None for polygon in self._polygons)
        return LabelledImage(
            path=path,
            image_id=image_id,
            size=self.size,
            boxes=np.array(self._boxes, np.float32).reshape(-1, 4),
            labels=np.array(self._labels, np.int64),
            crowds=np.array(self._crowds, np.bool_),
            areas=np.array(self._areas, np.float64),
            polygons=tuple(self._polygons) if has_polygons else (),
        )


def in_fractions(box: tuple[float, float, float, float], size: tuple[int, int]) -> bool:
    """True if a box in pixels is probably in fractions: it lies entirely in the image's first pixel.

    >>> in_fractions((0.2, 0.2, 0.6, 0.9), (480, 640))
    True

    Args:
        box: ``xyxy``.
        size: (height, width) of the image.
    """
    x1, y1, x2, y2 = box
    return max(size) > 1 and min(x1, y1) > -0.01 and x1 < x2 < 1.01 and y1 < y2 < 1.01


def polygon_box(polygon: FloatArray) -> tuple[float, float, float, float]:
    """Bounding box of a polygon. (K, 2) -> ``xyxy``.

    >>> polygon_box(np.array([[3, 1], [9, 4], [5, 8]], np.float32))
    (3.0, 1.0, 9.0, 8.0)
    """
    (x1, y1), (x2, y2) = polygon.min(axis=0).tolist(), polygon.max(axis=0).tolist()
    return x1, y1, x2, y2


def image_sizes(paths: Sequence[Path], defects: list[Defect]) -> list[tuple[int, int] | str]:
    """Read (height, width) from the header of each image, or the reason why it cannot be read.

    Args:
        paths: image files.
        defects: list to append to: a warning for each file with several frames or pages.
    """

    def measure(path: Path) -> tuple[tuple[int, int] | str, bool]:
        try:
            return size_and_frames(path)
        except SourceError as error:
            return error.message if error.found is None else f"{error.message} ({error.found})", False

    # Threads help because most of the time is spent waiting for the disk.
    with ThreadPoolExecutor(8, thread_name_prefix="headers") as pool:
        groups = [paths[at : at + _GROUP] for at in range(0, len(paths), _GROUP)]
        measured = [
            size for sizes in pool.map(lambda group: [*map(measure, group)], groups) for size in sizes
        ]
    several = [path for path, (_, more) in zip(paths, measured, strict=True) if more]
    message = "holds several images, as an animation or pages: the first is used"
    defects += [Defect(str(path), None, message, "warning") for path in several[:MOST_REPORTED]]
    if len(several) > MOST_REPORTED:
        message = f"and {len(several) - MOST_REPORTED:,} more files that hold several images"
        defects.append(Defect(str(several[0].parent), None, message, "warning"))
    return [size for size, _ in measured]


def image_ids(paths: Sequence[Path]) -> list[int | str]:
    """Ids for images without any: their stems as integers, else the stems, else the paths.

    >>> image_ids([Path("a/007.jpg"), Path("b/8.jpg")])
    [7, 8]
    """
    stems = [path.stem for path in paths]
    if all(stem.isascii() and stem.isdigit() for stem in stems):
        numbers = [int(stem) for stem in stems]
        if len(set(numbers)) == len(numbers):
            return list(numbers)
    return list(stems) if len(set(stems)) == len(stems) else [path.as_posix() for path in paths]


def read_text(path: Path, defects: list[Defect], *, most: int = 1 << 32) -> str:
    """Read a text file; encodings other than UTF-8 are accepted with a warning.

    Args:
        path: text file.
        defects: list to append to.
        most: maximum size, bytes.

    Raises:
        DataError: the file cannot be read, or is too large.
    """
    return decode_text(read_bytes(path, most), path, defects)


def read_bytes(path: Path, most: int) -> bytes:
    """Read a file.

    Raises:
        DataError: the file cannot be read, is not a regular file, or has more than `most` bytes.
    """
    try:
        if not path.is_file():
            raise DataError("cannot be read: not a regular file", file=path)
        if (size := path.stat().st_size) > most:
            raise DataError(
                "the file is too large", file=path, expected=f"at most {most:,} bytes", found=size
            )
        return path.read_bytes()
    except (OSError, ValueError) as error:
        raise DataError(f"cannot be read: {getattr(error, 'strerror', error)}", file=path) from error


def decode_text(data: bytes, path: Path, defects: list[Defect], encoding: str = "utf-8-sig") -> str:
    """Decode a file's bytes: by byte order mark, the declared `encoding`, UTF-8 or Latin-1, in this order."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = "utf-16"
    elif len(data) > 1 and not (any(data[1::2]) and any(data[::2])):
        encoding = "utf-16-be" if any(data[1::2]) else "utf-16-le"
        defects.append(Defect(str(path), None, f"no byte order mark: read as {encoding}", "warning"))
    for attempt in dict.fromkeys((encoding, "utf-8-sig")):
        try:
            if _is_for_text(attempt):
                text = data.decode(attempt)
                break
        except UnicodeError:
            continue
    else:
        attempt, text = "latin-1", data.decode("latin-1")  # never fails
    if attempt != encoding:
        problem = f"not {encoding.removesuffix('-sig')}: read as {attempt.removesuffix('-sig')}"
        defects.append(Defect(str(path), None, problem, "warning"))
    return text


def _is_for_text(encoding: str) -> bool:
    """True if Python knows the encoding and it is one of text files."""
    try:
        name = codecs.lookup(encoding).name
    except (LookupError, ValueError):
        return False
    return name.replace("_", "-") not in _NOT_FOR_FILES
