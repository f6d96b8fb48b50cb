"""The random affine, and what it makes of boxes and outlines.

Coordinates are continuous: pixel i reaches from i to i + 1, in a canvas, an image and a label alike.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from yolov7.types import FloatArray

Array = npt.NDArray[np.float64]

_NOWHERE = np.zeros((0, 2))
_IN_FRONT = 1e-3  # a perspective's divisor below this lies behind the camera, or so close that it blurs


@dataclass(frozen=True, eq=False)
class View:
    """How the final image sees a canvas.

    Attributes:
        matrix: (3, 3), canvas -> image.
        scale: image pixels per canvas pixel, before shear and perspective.
        canvas: side of the canvas.
        size: side of the image.
    """

    matrix: Array
    scale: float
    canvas: int
    size: int

    @cached_property
    def upright(self) -> bool:
        """Whether rectangles stay rectangles: no rotation, shear or perspective."""
        m = self.matrix
        return bool(m[0, 1] == m[1, 0] == m[2, 0] == m[2, 1] == 0)

    @cached_property
    def window(self) -> Array:
        """The part of the canvas that is in the image: a convex polygon on the canvas, (K, 2)."""
        planes = np.array(((1, 0, 0), (0, 1, 0), (-1, 0, self.size), (0, -1, self.size))) @ self.matrix
        in_front = self.matrix[2] - (0, 0, _IN_FRONT)
        return clip_polygon(rectangle(0, 0, self.canvas, self.canvas), np.vstack((in_front, planes)))

    def visible(self, left: float, top: float, right: float, bottom: float) -> Array:
        """The part of a rectangle of the canvas that is in the image: a polygon on the canvas, or (0, 2)."""
        if not self.upright or not len(self.window):
            return clip_polygon(rectangle(left, top, right, bottom), self.planes)
        (x1, y1), (x2, y2) = self._extremes
        left, top, right, bottom = max(left, x1), max(top, y1), min(right, x2), min(bottom, y2)
        return rectangle(left, top, right, bottom) if left < right and top < bottom else _NOWHERE

    @cached_property
    def _extremes(self) -> list[list[float]]:
        return [self.window.min(axis=0).tolist(), self.window.max(axis=0).tolist()]

    @cached_property
    def planes(self) -> Array:
        """The half planes of the window, (K, 3); one that nothing fulfils where the window is empty."""
        return half_planes(self.window) if len(self.window) > 2 else np.array(((0.0, 0.0, -1.0),))

    def project(self, points: Array) -> Array:
        """Points of the canvas in the image. (..., 2) -> (..., 2)."""
        m = self.matrix
        flat = points @ m[:2, :2].T + m[:2, 2]
        if m[2, 0] == m[2, 1] == 0:
            return flat
        return np.asarray(flat / np.maximum(points @ m[2, :2] + m[2, 2], _IN_FRONT)[..., np.newaxis])


def random_view(
    canvas: int,
    size: int,
    rng: np.random.Generator,
    *,
    scale: float,
    translate: float,
    degrees: float = 0.0,
    shear: float = 0.0,
    perspective: float = 0.0,
) -> View:
    """Turn, scale, shear and move a canvas about its centre, into an image of `size`.

    Args:
        canvas: side of the canvas.
        size: side of the image.
        rng: eight numbers are drawn, whatever the ranges.
        scale: uniform in [1 - scale, 1.1 + scale].
        translate: the centre comes to lie within +- this share of `size` around the image's.
        degrees: rotation within +- this.
        shear: along either axis within +- this, in degrees.
        perspective: the divisor's slope within +- this, per pixel.
    """
    tilt_x, tilt_y, turn, zoom, shear_x, shear_y, move_x, move_y = rng.uniform(-1, 1, 8).tolist()
    factor = 1.05 + (0.05 + scale) * zoom
    angle = math.radians(degrees * turn)
    cos, sin = factor * math.cos(angle), factor * math.sin(angle)
    centred = np.array(((1, 0, -canvas / 2), (0, 1, -canvas / 2), (0, 0, 1)))
    tilted = np.array(((1, 0, 0), (0, 1, 0), (perspective * tilt_x, perspective * tilt_y, 1)))
    turned = np.array(((cos, sin, 0), (-sin, cos, 0), (0, 0, 1)))
    slope_x, slope_y = (math.tan(math.radians(shear * s)) for s in (shear_x, shear_y))
    sheared = np.array(((1, slope_x, 0), (slope_y, 1, 0), (0, 0, 1)))
    x, y = ((0.5 + translate * move) * size for move in (move_x, move_y))
    moved = np.array(((1, 0, x), (0, 1, y), (0, 0, 1)))
    return View(moved @ sheared @ turned @ tilted @ centred, factor, canvas, size)


def rectangle(left: float, top: float, right: float, bottom: float) -> Array:
    """Its four corners, (4, 2), in the order that :func:`half_planes` expects."""
    return np.array(((left, top), (right, top), (right, bottom), (left, bottom)), np.float64)


def half_planes(polygon: Array) -> Array:
    """(a, b, c) for each edge of a convex polygon (K, 2): a x + b y + c >= 0 inside. -> (up to K, 3)."""
    step = np.roll(polygon, -1, axis=0) - polygon
    long = np.abs(step).max(axis=1) > 1e-6  # of shorter ones, rounding alone gives the direction
    polygon, step = polygon[long], step[long]
    a, b = -step[:, 1], step[:, 0]
    return np.stack((a, b, -(a * polygon[:, 0] + b * polygon[:, 1])), axis=1)


def clip_polygon(polygon: Array, planes: Array) -> Array:
    """The part of a polygon (K, 2) inside all half planes (M, 3), same direction; (0, 2) for none.

    Where the polygon is not convex, its parts may be joined along an edge.

    Source: Sutherland and Hodgman, Reentrant polygon clipping, 1974.
    """
    corners = polygon.tolist()
    for a, b, c in planes.tolist():
        clipped = []
        for (x, y), (next_x, next_y) in zip(corners, corners[1:] + corners[:1], strict=True):
            here, there = a * x + b * y + c, a * next_x + b * next_y + c
            if here >= 0:
                clipped.append((x, y))
            if (here < 0) != (there < 0):
                t = here / (here - there)
                clipped.append((x + t * (next_x - x), y + t * (next_y - y)))
        corners = clipped
    return np.array(corners, np.float64).reshape(-1, 2)


def transformed_boxes(boxes: Array, view: View) -> FloatArray:
    """The box in the image around each transformed box. (N, 4) on the canvas -> float32 (N, 4)."""
    corners = view.project(boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2))
    around = np.concatenate((corners.min(axis=1), corners.max(axis=1)), axis=1)
    return around.clip(0, view.size).astype(np.float32)


def visible_boxes(points: Array, starts: npt.NDArray[np.int64], view: View) -> FloatArray:
    """The box in the image around what is visible of each outline; zeros where nothing is.

    Exact: every edge is cut off at the window's sides, and a corner of the window counts where it lies inside
    of the outline. (Points resampled along the outline tend to the same, but lose what fills the image.)

    Args:
        points: (P, 2) on the canvas, the outlines one behind the other.
        starts: (N,) where each begins; none is empty.
        view: what the image sees.

    Returns:
        float32 (N, 4) pixels of the image.

    Source: Cyrus and Beck, Generalized two- and three-dimensional clipping, 1978.
    """
    window = view.window
    if not len(starts) or len(window) < 3:
        return np.zeros((len(starts), 4), np.float32)
    following = np.arange(1, len(points) + 1)
    following[np.append(starts[1:], len(points)) - 1] = starts
    step = points[following] - points

    distance = points @ view.planes[:, :2].T + view.planes[:, 2]  # (P, K)
    next_distance = distance[following]
    inside, next_inside = distance >= 0, next_distance >= 0
    with np.errstate(divide="ignore", invalid="ignore"):
        crossing = distance / (distance - next_distance)
    enter = np.where(next_inside & ~inside, crossing, 0).max(axis=1)
    leave = np.where(inside & ~next_inside, crossing, 1).min(axis=1)
    seen = (inside | next_inside).all(axis=1) & (enter <= leave)
    ends = view.project(np.stack((points + enter[:, None] * step, points + leave[:, None] * step)))
    low = np.where(seen[:, None], ends.min(axis=0), np.inf)
    high = np.where(seen[:, None], ends.max(axis=0), -np.inf)
    low, high = np.minimum.reduceat(low, starts), np.maximum.reduceat(high, starts)

    # A ray from each corner to the right: inside where it crosses the outline an odd number of times.
    x, y, corner_x, corner_y = points[:, :1], points[:, 1:], window[:, 0], window[:, 1]
    straddles = (y > corner_y) != (y[following] > corner_y)
    with np.errstate(divide="ignore", invalid="ignore"):
        right = x + (corner_y - y) * (step[:, :1] / step[:, 1:]) > corner_x
    holds = np.add.reduceat(straddles & right, starts, dtype=np.int64) % 2 == 1  # (N, K)
    corners = view.project(window)
    low = np.minimum(low, np.where(holds[..., None], corners, np.inf).min(axis=1))
    high = np.maximum(high, np.where(holds[..., None], corners, -np.inf).max(axis=1))

    boxes = np.concatenate((low, high), axis=1)
    boxes[low[:, 0] > high[:, 0]] = 0
    return boxes.clip(0, view.size).astype(np.float32)


def findable(boxes: FloatArray) -> npt.NDArray[np.bool_]:
    """Which boxes (N, 4) are wider and higher than 2 pixels, and not 20 times as long as wide. -> (N,)."""
    sides = boxes[:, 2:] - boxes[:, :2]
    shorter, longer = sides.min(axis=1), sides.max(axis=1)
    return (shorter > 2) & (longer < 20 * shorter)


def survive(
    before: Array, after: FloatArray, scale: float, traced: npt.NDArray[np.bool_]
) -> npt.NDArray[np.bool_]:
    """Which labels are still to be found: those findable, of which enough is left.

    Args:
        before: (N, 4) on the canvas, cut off at its edges.
        after: (N, 4) in the image.
        scale: of the view.
        traced: (N,) whether the box comes from an outline, which is trusted to a smaller rest.
    """
    left = (after[:, 2:] - after[:, :2]).prod(axis=1)
    area = (before[:, 2:] - before[:, :2]).prod(axis=1) * scale**2
    enough = left > np.where(traced, 0.01, 0.1) * area
    # What lies beyond the canvas is a line on its edge, and a turned line has a box with an area.
    return enough & (area > 0) & findable(after)
