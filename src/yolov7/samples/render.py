"""Canvas and view -> picture: every image is drawn once, straight into its place in the final one.

The canvas, with its four times as many pixels, is never made, and an image that is not seen is not read.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from yolov7.images.letterbox import GREY
from yolov7.samples.affine import (
    Array,
    View,
    half_planes,
    survive,
    transformed_boxes,
    visible_boxes,
)
from yolov7.samples.mosaic import Canvas, Tile
from yolov7.samples.source import Reader
from yolov7.types import FloatArray, Image, IntArray, Sample

_LONGEST_WARPED = 32766
"""OpenCV's warps count pixels in 16 bits."""


@dataclass(frozen=True, eq=False)
class Picture:
    """An image in the making, and what is to be found in it.

    Attributes:
        image: uint8 (size, size, 3) RGB, its own memory.
        boxes: float32 (N, 4) pixels.
        labels: int64 (N,).
        outlines: for each box its outline in pixels, (K, 2), not cut off at the image's edges; or None.
    """

    image: Image
    boxes: FloatArray
    labels: IntArray
    outlines: tuple[Array | None, ...]


class _Axis(NamedTuple):
    """How one axis of an image is mapped: to = scale * image + offset."""

    scale: float
    offset: float

    @classmethod
    def through(cls, first: int, last: int, low: int, high: int) -> _Axis:
        """The one that maps `first` to `low` and `last` to `high`."""
        scale = (high - low) / (last - first)
        return cls(scale, low - scale * first)


class _Placed(NamedTuple):
    """Labels of a sample on the canvas."""

    boxes: Array  # (N, 4)
    labels: IntArray  # (N,)
    points: Array  # (P, 2) the outlines, one behind the other
    counts: IntArray  # (N,) points of each label's; 0 where there is none


_NO_POINTS = np.zeros((0, 2))
_NOTHING = _Placed(np.zeros((0, 4)), np.zeros(0, np.int64), _NO_POINTS, np.zeros(0, np.int64))


def render(reader: Reader, canvas: Canvas, view: View) -> Picture:
    """What a view sees of a canvas."""
    image = np.full((view.size, view.size, 3), GREY, np.uint8)
    placed = []
    for tile in canvas.tiles:
        seen = view.visible(tile.left, tile.top, tile.left + tile.width, tile.top + tile.height)
        if len(seen) < 3:
            continue
        outline = view.project(seen)
        # The pixels whose centres lie in the rectangle around the outline.
        left, top = np.ceil(outline.min(axis=0) - 0.5).astype(int).tolist()
        right, bottom = np.ceil(outline.max(axis=0) - 0.5).astype(int).tolist()
        if left < right and top < bottom:
            sample = reader[tile.index]
            draw = _draw_upright if view.upright else _draw_turned
            axes = draw(image, sample.image, tile, seen, (left, top, right, bottom), view)
            placed.append(_place(sample, *axes))
    return _label(image, placed, view)


def _draw_upright(
    image: Image, source: Image, tile: Tile, _: Array, box: tuple[int, int, int, int], view: View
) -> tuple[_Axis, _Axis]:
    """Draw the part `box` of a tile that remains a rectangle: to resize is four times as fast as to warp.

    Whole pixels of the source become whole pixels of the image: its edges are moved by half a pixel at most,
    and where the image cuts it, by half a pixel of the source. So tiles meet without a seam, and nothing is
    drawn that is not seen. The mapping to the canvas that is returned goes with the pixels so drawn.
    """
    left, top, right, bottom = box
    m, (height, width) = view.matrix, source.shape[:2]
    scale_x, scale_y, offset_x, offset_y = (float(v) for v in (m[0, 0], m[1, 1], m[0, 2], m[1, 2]))
    x = _Axis(scale_x * tile.width / width, scale_x * tile.left + offset_x)
    y = _Axis(scale_y * tile.height / height, scale_y * tile.top + offset_y)
    x1, x2 = _source_pixels(width, x, left, right)
    y1, y2 = _source_pixels(height, y, top, bottom)
    place = image[top:bottom, left:right]
    cv2.resize(source[y1:y2, x1:x2], (right - left, bottom - top), dst=place, interpolation=cv2.INTER_LINEAR)
    x, y = _Axis.through(x1, x2, left, right), _Axis.through(y1, y2, top, bottom)
    return (
        _Axis(x.scale / scale_x, (x.offset - offset_x) / scale_x),
        _Axis(y.scale / scale_y, (y.offset - offset_y) / scale_y),
    )


def _source_pixels(length: int, axis: _Axis, low: int, high: int) -> tuple[int, int]:
    """Which pixels of an axis of the source become the pixels `low` to `high`: the nearest, one at least."""
    first = min(max(0, round((low - axis.offset) / axis.scale)), length - 1)
    return first, max(first + 1, min(length, round((high - axis.offset) / axis.scale)))


def _draw_turned(
    image: Image, source: Image, tile: Tile, seen: Array, box: tuple[int, int, int, int], view: View
) -> tuple[_Axis, _Axis]:
    """Draw the part `seen` of a tile, a convex polygon on the canvas, into the pixels `box` around it."""
    left, top, right, bottom = box
    height, width = source.shape[:2]
    x, y = _Axis(tile.width / width, tile.left), _Axis(tile.height / height, tile.top)
    needed = (seen - (x.offset, y.offset)) / (x.scale, y.scale)
    first = np.maximum(np.floor(needed.min(axis=0)) - 1, 0).astype(int)
    last = np.ceil(needed.max(axis=0)).astype(int) + 1
    part = source[first[1] : last[1], first[0] : last[0]]
    to_canvas = np.array(
        ((x.scale, 0, x.offset + x.scale * first[0]), (0, y.scale, y.offset + y.scale * first[1]), (0, 0, 1))
    )
    to_box = np.array(((1, 0, -left), (0, 1, -top), (0, 0, 1))) @ view.matrix @ to_canvas
    while max(part.shape) > _LONGEST_WARPED:
        part = part[::2, ::2]
        to_box = to_box @ np.array(((2, 0, -0.5), (0, 2, -0.5), (0, 0, 1)))
    centre = np.array(((1, 0, 0.5), (0, 1, 0.5), (0, 0, 1)))  # OpenCV's pixel 0 lies at 0, ours at 0.5
    sides = right - left, bottom - top
    drawn = cv2.warpPerspective(
        part,
        np.linalg.inv(centre) @ to_box @ centre,
        sides,
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    across, down = np.arange(left, right) + 0.5, np.arange(top, bottom)[:, None] + 0.5
    inside = np.ones(drawn.shape[:2], np.bool_)
    for a, b, c in half_planes(view.project(seen)).tolist():
        inside &= a * across + (b * down + c) >= -1e-6  # rounding must not leave a gap between two tiles
    cv2.copyTo(drawn, inside.view(np.uint8), dst=image[top:bottom, left:right])
    return x, y


def _place(sample: Sample, x: _Axis, y: _Axis) -> _Placed:
    """A sample's labels where its image lies; groups are no targets."""
    boxes, labels, outlines = sample.boxes, sample.labels, sample.polygons
    if sample.crowds is not None and sample.crowds.any():
        single = ~sample.crowds
        boxes, labels = boxes[single], labels[single]
        outlines = tuple(itertools.compress(outlines, single.tolist()))
    found = [o if o is not None and len(o) > 2 else None for o in outlines or [None] * len(boxes)]
    scale, offset = np.array((x.scale, y.scale) * 2), np.array((x.offset, y.offset) * 2)
    return _Placed(
        boxes * scale + offset,
        labels,
        np.concatenate([_NO_POINTS, *(o for o in found if o is not None)]) * scale[:2] + offset[:2],
        np.array([0 if o is None else len(o) for o in found], np.int64),
    )


def _label(image: Image, placed: Sequence[_Placed], view: View) -> Picture:
    """The labels that can be seen well enough, in the image."""
    boxes, labels, points, counts = map(np.concatenate, zip(_NOTHING, *placed, strict=True))
    before = boxes.clip(0, view.canvas)
    after = transformed_boxes(before, view)
    traced = counts > 0
    outlines: list[Array | None] = [None] * len(boxes)
    if traced.any():
        starts = (np.cumsum(counts) - counts)[traced]
        after[traced] = visible_boxes(points, starts, view)
        shapes = np.split(view.project(points), starts[1:])
        for number, shape in zip(traced.nonzero()[0].tolist(), shapes, strict=True):
            outlines[number] = shape
    kept = survive(before, after, view.scale, traced)
    return Picture(image, after[kept], labels[kept], tuple(itertools.compress(outlines, kept.tolist())))
