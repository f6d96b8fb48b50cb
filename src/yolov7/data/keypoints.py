"""Keypoints in YOLO label files: boxes with points behind them, which must not be taken for polygons."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

SURE = 10
"""Rows that all look like keypoints from which on that is no chance."""
_MAX_VALUES = 4 + 3 * 133
"""Numbers of a row behind the class; skeletons of whole bodies have 133 points."""
_EDGE = 1e-3  # of a fraction: tools round
_SPREAD = 0.3  # of a box, that its keypoints span at least
_VISIBILITIES = (0.0, 1.0, 2.0)


def keypoint_columns(shape: tuple[int, int]) -> int:
    """Columns of a row with a class, a box and keypoints."""
    return 5 + shape[0] * shape[1]


class KeypointSuspicion:
    """Looks whether all rows that were read as polygons may be boxes with keypoints.

    Both are a class and an even count of numbers. They may be keypoints where all rows have the same count
    and, in each, the first four numbers are a box within the image, and the rest either has visibilities
    (0, 1 or 2) in every third place, or lies in the box and spans a good part of it, or would be a polygon
    that crosses itself. Polygons hardly do that in row after row.

    Attributes:
        rows: how many rows were looked at.
        alive: whether all of them may be keypoints.
    """

    def __init__(self) -> None:
        self.rows = 0
        self.alive = True
        self._count: int | None = None

    def look(self, fractions: list[float]) -> None:
        """Look at the numbers behind a row's class."""
        self.rows += 1
        if self.alive:
            self._count = self._count or len(fractions)
            same = len(fractions) == self._count
            self.alive = same and len(fractions) <= _MAX_VALUES and may_be_keypoints(fractions)

    @property
    def shape(self) -> str:
        """What kpt_shape would say."""
        count = (self._count or 4) - 4
        return " or ".join(f"[{count // width}, {width}]" for width in (2, 3) if count % width == 0)


def may_be_keypoints(fractions: list[float]) -> bool:
    """Whether numbers are a box (centre, size) and keypoints, rather than a polygon.

    >>> may_be_keypoints([0.5, 0.5, 0.4, 0.4, 0.35, 0.35, 0.65, 0.65])
    True
    >>> may_be_keypoints([0.1, 0.1, 0.9, 0.1, 0.9, 0.9, 0.1, 0.9])
    False
    """
    x, y, width, height = fractions[:4]
    within = all(
        size > 0 and size / 2 - _EDGE <= centre <= 1 - size / 2 + _EDGE
        for centre, size in ((x, width), (y, height))
    )
    if not within:
        return False
    rest = np.array(fractions[4:])
    if has_visibilities(fractions):
        return True
    if len(rest) % 2:
        return False
    points = rest.reshape(-1, 2)
    marked = points[points.any(axis=1)]  # (0, 0) stands for a point that nobody marked
    inside = (np.abs(marked - (x, y)) <= np.array((width, height)) / 2 + _EDGE).all()
    if inside and len(marked):
        spread = np.ptp(marked, axis=0)
        return len(marked) == 1 or bool((spread >= _SPREAD * np.array((width, height))).any())
    return _crosses_itself(np.array(fractions).reshape(-1, 2))


def has_visibilities(fractions: list[float]) -> bool:
    """Whether each third number behind a box is 0, 1 or 2, as in keypoints of three numbers."""
    rest = fractions[4:]
    return len(rest) >= 3 and len(rest) % 3 == 0 and all(value in _VISIBILITIES for value in rest[2::3])


def _crosses_itself(points: npt.NDArray[np.float64]) -> bool:
    """Whether two sides of a polygon cross or touch that are not neighbours."""
    points = points[(points != np.roll(points, -1, axis=0)).any(axis=1)]  # some close it by the first point
    starts, ends = points, np.roll(points, -1, axis=0)
    (dx, dy), (px, py) = (ends - starts).T[:, :, None], (points[None] - starts[:, None]).transpose(2, 0, 1)
    turns = dx * py - dy * px  # on which side of each line (first axis) each point (second axis) is
    turns[np.abs(turns) < 1e-12] = 0
    parted = turns * np.roll(turns, -1, axis=1) <= 0
    low, high = np.minimum(starts, ends), np.maximum(starts, ends)
    near = ((low[:, None] <= high[None]) & (low[None] <= high[:, None])).all(axis=2)
    steps = np.subtract.outer(np.arange(len(points)), np.arange(len(points))) % max(len(points), 1)
    apart = (steps > 1) & (steps < len(points) - 1)
    return bool((parted & parted.T & near & apart).any())
