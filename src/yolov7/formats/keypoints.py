"""Detection of keypoint rows (a box followed by points) that would be misread as polygons in YOLO labels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

SURE = 10
"""Number of keypoint-like rows from which coincidence is ruled out."""
_MAX_VALUES = 4 + 3 * 133  # per row, after the class; whole-body skeletons have 133 points
_EDGE = 1e-3  # tolerance in fractions of the image: tools round
_SPREAD = 0.3  # minimum extent of the keypoints, as a fraction of the box
_VISIBILITIES = (0.0, 1.0, 2.0)


class KeypointSuspicion:
    """Detector of keypoints among the rows of a data set that are read as polygons.

    Both are a class and an even count of numbers. Rows could be keypoints if all have the same count and, in
    each, the first four numbers are a box inside the image and the others have visibilities (0, 1 or 2) in
    every third place, or lie in the box and span a good part of it, or form a self-intersecting polygon.
    Real polygons hardly ever do so in row after row.
    """

    def __init__(self) -> None:
        self.rows = 0
        self.alive = True  # while every row could be keypoints
        self._count: int | None = None

    def add(self, fractions: list[float]) -> None:
        """Check the numbers after a row's class."""
        self.rows += 1
        if self.alive:
            self._count = self._count or len(fractions)
            same = len(fractions) == self._count
            self.alive = same and len(fractions) <= _MAX_VALUES and may_be_keypoints(fractions)

    @property
    def shape(self) -> str:
        """Value of kpt_shape that would fit the rows."""
        count = (self._count or 4) - 4
        return " or ".join(f"[{count // width}, {width}]" for width in (2, 3) if count % width == 0)


def may_be_keypoints(fractions: list[float]) -> bool:
    """True if the numbers look like a box (centre, size) and keypoints rather than a polygon.

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
    marked = points[points.any(axis=1)]  # (0, 0) stands for an unlabelled point
    inside = (np.abs(marked - (x, y)) <= np.array((width, height)) / 2 + _EDGE).all()
    if inside and len(marked):
        spread = np.ptp(marked, axis=0)
        return len(marked) == 1 or bool((spread >= _SPREAD * np.array((width, height))).any())
    return _crosses_itself(np.array(fractions).reshape(-1, 2))


def has_visibilities(fractions: list[float]) -> bool:
    """True if every third number after the box is 0, 1 or 2, as in keypoints with visibilities."""
    rest = fractions[4:]
    return len(rest) >= 3 and len(rest) % 3 == 0 and all(value in _VISIBILITIES for value in rest[2::3])


def _crosses_itself(points: npt.NDArray[np.float64]) -> bool:
    """True if two non-adjacent sides of a polygon, points of shape (K, 2), cross or touch."""
    points = points[(points != np.roll(points, -1, axis=0)).any(axis=1)]  # drop a repeated closing point
    starts, ends = points, np.roll(points, -1, axis=0)
    (dx, dy), (px, py) = (ends - starts).T[:, :, None], (points[None] - starts[:, None]).transpose(2, 0, 1)
    sides = dx * py - dy * px  # (K, K): signed side of each line (rows) on which each point (columns) lies
    sides[np.abs(sides) < 1e-12] = 0
    parted = sides * np.roll(sides, -1, axis=1) <= 0
    low, high = np.minimum(starts, ends), np.maximum(starts, ends)
    near = ((low[:, None] <= high[None]) & (low[None] <= high[:, None])).all(axis=2)
    steps = np.subtract.outer(np.arange(len(points)), np.arange(len(points))) % max(len(points), 1)
    apart = (steps > 1) & (steps < len(points) - 1)
    return bool((parted & parted.T & near & apart).any())
