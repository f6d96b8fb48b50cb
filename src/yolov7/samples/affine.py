"""Random affine maps, and the boxes and polygons under them.

Coordinates are continuous: pixel i extends from i to i + 1 in canvases, images and labels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from yolov7.samples.augmentation import Augmentation
from yolov7.types import FloatArray

Array = npt.NDArray[np.float64]

_IN_FRONT = 1e-3  # points with a smaller perspective divisor are behind the camera or too close to it


@dataclass(frozen=True, eq=False)
class View:
    """Projective map from a square canvas to a square image.

    Attributes:
        matrix: (3, 3), canvas -> image, homogeneous.
        scale: image pixels per canvas pixel, before shear and perspective.
        canvas: side of the canvas, pixels.
        size: side of the image, pixels.
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
        """Visible part of the canvas: a convex polygon on the canvas, (K, 2)."""
        planes = np.array(((1, 0, 0), (0, 1, 0), (-1, 0, self.size), (0, -1, self.size))) @ self.matrix
        in_front = self.matrix[2] - (0, 0, _IN_FRONT)
        return clip_polygon(rectangle(0, 0, self.canvas, self.canvas), np.vstack((in_front, planes)))

    def visible(self, left: float, top: float, right: float, bottom: float) -> Array:
        """Visible part of a rectangle on the canvas: a convex polygon on the canvas, (K, 2) or (0, 2)."""
        if not self.upright or not len(self.window):
            return clip_polygon(rectangle(left, top, right, bottom), self.planes)
        (x1, y1), (x2, y2) = self._extremes
        left, top, right, bottom = max(left, x1), max(top, y1), min(right, x2), min(bottom, y2)
        return rectangle(left, top, right, bottom) if left < right and top < bottom else np.zeros((0, 2))

    @cached_property
    def _extremes(self) -> list[list[float]]:
        return [self.window.min(axis=0).tolist(), self.window.max(axis=0).tolist()]

    @cached_property
    def planes(self) -> Array:
        """Half planes (K, 3) whose intersection is the window; a single empty one if the window is empty."""
        return half_planes(self.window) if len(self.window) > 2 else np.array(((0.0, 0.0, -1.0),))

    def project(self, points: Array) -> Array:
        """Map points from the canvas to the image. (..., 2) -> (..., 2)."""
        m = self.matrix
        flat = points @ m[:2, :2].T + m[:2, 2]
        if m[2, 0] == m[2, 1] == 0:
            return flat
        return np.asarray(flat / np.maximum(points @ m[2, :2] + m[2, 2], _IN_FRONT)[..., np.newaxis])


def random_view(canvas: int, size: int, augmentation: Augmentation, rng: np.random.Generator) -> View:
    """Draw a random perspective, rotation, scale, shear and shift of a canvas about its centre.

    `canvas` and `size` are the sides of the canvas and of the image, pixels. All ranges are uniform; always
    eight numbers are drawn.

    >>> still = Augmentation(scale=0, translate=0)
    >>> 1 <= random_view(200, 100, still, np.random.default_rng(0)).scale <= 1.1
    True
    """
    a = augmentation
    tilt_x, tilt_y, rotation, zoom, shear_x, shear_y, move_x, move_y = rng.uniform(-1, 1, 8).tolist()
    scale = 1.05 + (0.05 + a.scale) * zoom
    angle = math.radians(a.degrees * rotation)
    cos, sin = scale * math.cos(angle), scale * math.sin(angle)
    centred = np.array(((1, 0, -canvas / 2), (0, 1, -canvas / 2), (0, 0, 1)))
    tilted = np.array(((1, 0, 0), (0, 1, 0), (a.perspective * tilt_x, a.perspective * tilt_y, 1)))
    rotated = np.array(((cos, sin, 0), (-sin, cos, 0), (0, 0, 1)))
    slope_x, slope_y = (math.tan(math.radians(a.shear * s)) for s in (shear_x, shear_y))
    sheared = np.array(((1, slope_x, 0), (slope_y, 1, 0), (0, 0, 1)))
    x, y = ((0.5 + a.translate * move) * size for move in (move_x, move_y))
    moved = np.array(((1, 0, x), (0, 1, y), (0, 0, 1)))
    return View(moved @ sheared @ rotated @ tilted @ centred, scale, canvas, size)


def rectangle(left: float, top: float, right: float, bottom: float) -> Array:
    """Corners of a rectangle, (4, 2), in the order that :func:`half_planes` expects."""
    return np.array(((left, top), (right, top), (right, bottom), (left, bottom)), np.float64)


def half_planes(polygon: Array) -> Array:
    """Half plane a x + b y + c >= 0 of each edge of a convex polygon. (K, 2) -> (at most K, 3)."""
    step = np.roll(polygon, -1, axis=0) - polygon
    long = np.abs(step).max(axis=1) > 1e-6  # the direction of shorter edges is rounding noise
    polygon, step = polygon[long], step[long]
    a, b = -step[:, 1], step[:, 0]
    return np.stack((a, b, -(a * polygon[:, 0] + b * polygon[:, 1])), axis=1)


def clip_polygon(polygon: Array, planes: Array) -> Array:
    """Clip a polygon to half planes; its orientation is kept. (K, 2), (M, 3) -> (L, 2), L may be 0.

    Parts of a polygon that is not convex may be joined along an edge.

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
    """Bounding box in the image of each box on the canvas. (N, 4) -> float32 (N, 4)."""
    corners = view.project(boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2))
    around = np.concatenate((corners.min(axis=1), corners.max(axis=1)), axis=1)
    return around.clip(0, view.size).astype(np.float32)


def visible_boxes(points: Array, starts: npt.NDArray[np.int64], view: View) -> FloatArray:
    """Bounding box in the image of the visible part of each polygon; zeros if nothing is visible.

    Exact: the box of all visible parts of edges and of the window's corners inside the polygon.

    Args:
        points: (P, 2) corners on the canvas, polygon by polygon.
        starts: (N,) index of the first corner of each polygon; none is empty.
        view: map from the canvas to the image.

    Returns:
        float32 (N, 4) pixels of the image.
    """
    if not len(starts) or len(view.window) < 3:
        return np.zeros((len(starts), 4), np.float32)
    following = np.arange(1, len(points) + 1)  # index of each corner's successor
    following[np.append(starts[1:], len(points)) - 1] = starts
    edges, visible = _clip_edges(points, following, view.planes)
    ends = view.project(edges)
    low = np.where(visible[:, None], ends.min(axis=0), np.inf)
    high = np.where(visible[:, None], ends.max(axis=0), -np.inf)
    low, high = np.minimum.reduceat(low, starts), np.maximum.reduceat(high, starts)  # (N, 2)

    inside = _contain(points, following, starts, view.window)[..., None]  # (N, K, 1)
    corners = view.project(view.window)
    low = np.minimum(low, np.where(inside, corners, np.inf).min(axis=1))
    high = np.maximum(high, np.where(inside, corners, -np.inf).max(axis=1))

    boxes = np.concatenate((low, high), axis=1)
    boxes[low[:, 0] > high[:, 0]] = 0
    return boxes.clip(0, view.size).astype(np.float32)


def _clip_edges(
    points: Array, following: npt.NDArray[np.int64], planes: Array
) -> tuple[Array, npt.NDArray[np.bool_]]:
    """Clip each edge to half planes (K, 3). -> ends (2, P, 2), and whether any of the edge is left (P,).

    Source: Cyrus and Beck, Generalized two- and three-dimensional clipping, 1978.
    """
    step = points[following] - points
    distance = points @ planes[:, :2].T + planes[:, 2]  # (P, K)
    next_distance = distance[following]
    inside, next_inside = distance >= 0, next_distance >= 0
    with np.errstate(divide="ignore", invalid="ignore"):
        crossing = distance / (distance - next_distance)
    enter = np.where(next_inside & ~inside, crossing, 0).max(axis=1)
    leave = np.where(inside & ~next_inside, crossing, 1).min(axis=1)
    visible = (inside | next_inside).all(axis=1) & (enter <= leave)
    return np.stack((points + enter[:, None] * step, points + leave[:, None] * step)), visible


def _contain(
    points: Array, following: npt.NDArray[np.int64], starts: npt.NDArray[np.int64], places: Array
) -> npt.NDArray[np.bool_]:
    """Whether each of N polygons contains each of the places (K, 2). -> (N, K).

    A ray to the right from an inner place crosses the polygon an odd number of times.
    """
    x, y, place_x, place_y = points[:, :1], points[:, 1:], places[:, 0], places[:, 1]
    step = points[following] - points
    straddles = (y > place_y) != (y[following] > place_y)  # (P, K)
    with np.errstate(divide="ignore", invalid="ignore"):
        right = x + (place_y - y) * (step[:, :1] / step[:, 1:]) > place_x
    return np.add.reduceat(straddles & right, starts, dtype=np.int64) % 2 == 1


def findable(boxes: FloatArray) -> npt.NDArray[np.bool_]:
    """Whether each box is more than 2 pixels wide and high, with an aspect ratio below 20. (N, 4) -> (N,).

    >>> findable(np.float32([[0, 0, 9, 9], [0, 0, 1, 9]])).tolist()
    [True, False]
    """
    sides = boxes[:, 2:] - boxes[:, :2]
    shorter, longer = sides.min(axis=1), sides.max(axis=1)
    return (shorter > 2) & (longer < 20 * shorter)


def survive(
    before: Array, after: FloatArray, scale: float, from_polygon: npt.NDArray[np.bool_]
) -> npt.NDArray[np.bool_]:
    """Whether each label is kept: its box is findable, and enough of its area is left. -> (N,).

    Args:
        before: (N, 4) on the canvas, clipped to it.
        after: (N, 4) in the image.
        scale: scale of the view.
        from_polygon: (N,) True if the box comes from a polygon; such boxes survive with 1 % of their area
            instead of 10 %.
    """
    left = (after[:, 2:] - after[:, :2]).prod(axis=1)
    area = (before[:, 2:] - before[:, :2]).prod(axis=1) * scale**2
    enough = left > np.where(from_polygon, 0.01, 0.1) * area
    # A box beyond the canvas was clipped to a line on the canvas edge, which gains an area when rotated.
    return enough & (area > 0) & findable(after)
