"""Rendering of a canvas under a view: every image is drawn once, straight into the final image.

The canvas, which has four times as many pixels, is never drawn; invisible images are not read.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from yolov7.data.labels import LabelledImage
from yolov7.images.letterbox import GREY
from yolov7.samples.affine import Array, View, half_planes, survive, transformed_boxes, visible_boxes
from yolov7.samples.mosaic import Canvas, Tile
from yolov7.samples.source import Reader
from yolov7.types import FloatArray, Image, IntArray

_LONGEST_WARPED = 32766
"""Maximum side that OpenCV warps: its pixel indices have 16 bits."""


@dataclass(frozen=True, eq=False)
class Picture:
    """Image in the making, with its labels."""

    image: Image  # uint8 (size, size, 3) RGB, not shared with others
    boxes: FloatArray  # float32 (N, 4) pixels
    labels: IntArray  # int64 (N,)
    polygons: tuple[Array | None, ...]  # (K, 2) pixels or None per box, not clipped to the image


class _Axis(NamedTuple):
    """Linear map of one axis: scale * x + offset."""

    scale: float
    offset: float


class _Labels(NamedTuple):
    """Labels of one or more images on the canvas."""

    boxes: Array  # (N, 4)
    labels: IntArray  # (N,)
    points: Array  # (P, 2) corners, polygon by polygon
    counts: IntArray  # (N,) corners of each label's polygon; 0 without one


_NO_POINTS = np.zeros((0, 2))
_NO_LABELS = _Labels(np.zeros((0, 4)), np.zeros(0, np.int64), _NO_POINTS, np.zeros(0, np.int64))


def render(reader: Reader, canvas: Canvas, view: View) -> Picture:
    """Draw the part of a canvas that a view shows, with its labels."""
    image = np.full((view.size, view.size, 3), GREY, np.uint8)
    labels = [_NO_LABELS]
    for tile in canvas.tiles:
        visible = view.visible(tile.left, tile.top, tile.left + tile.width, tile.top + tile.height)
        if len(visible) < 3:
            continue
        shown = view.project(visible)
        # Pixels whose centres lie in the bounding box of the visible part.
        left, top = np.ceil(shown.min(axis=0) - 0.5).astype(int).tolist()
        right, bottom = np.ceil(shown.max(axis=0) - 0.5).astype(int).tolist()
        if left < right and top < bottom:
            place, pixels = (left, top, right, bottom), reader.pixels(tile.index)
            if view.upright:
                x, y = _draw_resized(image, pixels, tile, place, view)
            else:
                x, y = _draw_warped(image, pixels, tile, place, view, visible)
            labels.append(_on_canvas(reader.images[tile.index], x, y))
    return _visible_labels(image, labels, view)


def _draw_resized(
    image: Image, source: Image, tile: Tile, place: tuple[int, int, int, int], view: View
) -> tuple[_Axis, _Axis]:
    """Draw a tile under an upright view into its place: left, top, right, bottom.

    Resizing is four times as fast as warping. Whole source pixels become whole image pixels, so tile edges
    move by up to half a pixel (of the source, where the image cuts the tile); tiles meet without a seam, and
    nothing invisible is drawn. Returns the x and y maps, source -> canvas, of the pixels as drawn.
    """
    left, top, right, bottom = place
    (scale_x, _, offset_x), (_, scale_y, offset_y) = view.matrix[:2].tolist()
    to_image_x, to_image_y = _Axis(scale_x, offset_x), _Axis(scale_y, offset_y)
    x1, x2, x = _resized_axis(source.shape[1], tile.left, tile.width, left, right, to_image_x)
    y1, y2, y = _resized_axis(source.shape[0], tile.top, tile.height, top, bottom, to_image_y)
    target = image[top:bottom, left:right]
    cv2.resize(source[y1:y2, x1:x2], (right - left, bottom - top), dst=target, interpolation=cv2.INTER_LINEAR)
    return x, y


def _resized_axis(
    length: int, start: float, extent: float, low: int, high: int, to_image: _Axis
) -> tuple[int, int, _Axis]:
    """Range of source pixels, at least one, nearest to `low`..`high` in the image, and its map to the canvas.

    The source has `length` pixels along this axis; on the canvas it starts at `start` and spans `extent`.
    """
    scale, offset = to_image.scale * extent / length, to_image.scale * start + to_image.offset
    first = min(max(0, round((low - offset) / scale)), length - 1)
    last = max(first + 1, min(length, round((high - offset) / scale)))
    scale = (high - low) / (last - first)  # as drawn
    offset = low - scale * first
    return first, last, _Axis(scale / to_image.scale, (offset - to_image.offset) / to_image.scale)


def _draw_warped(
    image: Image, source: Image, tile: Tile, place: tuple[int, int, int, int], view: View, visible: Array
) -> tuple[_Axis, _Axis]:
    """Draw the visible part of a tile, (K, 2) on the canvas. Returns the x and y maps, source -> canvas."""
    left, top, right, bottom = place
    height, width = source.shape[:2]
    x, y = _Axis(tile.width / width, tile.left), _Axis(tile.height / height, tile.top)
    needed = (visible - (x.offset, y.offset)) / (x.scale, y.scale)
    first = np.maximum(np.floor(needed.min(axis=0)) - 1, 0).astype(int)
    last = np.ceil(needed.max(axis=0)).astype(int) + 1
    part = source[first[1] : last[1], first[0] : last[0]]
    to_canvas = np.array(
        ((x.scale, 0, x.offset + x.scale * first[0]), (0, y.scale, y.offset + y.scale * first[1]), (0, 0, 1))
    )
    to_place = np.array(((1, 0, -left), (0, 1, -top), (0, 0, 1))) @ view.matrix @ to_canvas
    while max(part.shape) > _LONGEST_WARPED:
        part = part[::2, ::2]
        to_place = to_place @ np.array(((2, 0, -0.5), (0, 2, -0.5), (0, 0, 1)))
    centre = np.array(((1, 0, 0.5), (0, 1, 0.5), (0, 0, 1)))  # OpenCV's pixel 0 is centred at 0, ours at 0.5
    drawn = cv2.warpPerspective(
        part,
        np.linalg.inv(centre) @ to_place @ centre,
        (right - left, bottom - top),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    across, down = np.arange(left, right) + 0.5, np.arange(top, bottom)[:, None] + 0.5
    inside = np.ones(drawn.shape[:2], np.bool_)
    for a, b, c in half_planes(view.project(visible)).tolist():
        inside &= a * across + (b * down + c) >= -1e-6  # rounding leaves no gap between tiles
    cv2.copyTo(drawn, inside.view(np.uint8), dst=image[top:bottom, left:right])
    return x, y


def _on_canvas(labelled: LabelledImage, x: _Axis, y: _Axis) -> _Labels:
    """Map the labels of an image to the canvas; crowds are left out."""
    single = ~labelled.crowds
    polygons = [
        _NO_POINTS if polygon is None or len(polygon) < 3 else polygon
        for polygon in itertools.compress(labelled.polygons or [None] * len(single), single.tolist())
    ]
    scale, offset = np.array((x.scale, y.scale) * 2), np.array((x.offset, y.offset) * 2)
    return _Labels(
        labelled.boxes[single] * scale + offset,
        labelled.labels[single],
        np.concatenate([_NO_POINTS, *polygons]) * scale[:2] + offset[:2],
        np.array([len(polygon) for polygon in polygons], np.int64),
    )


def _visible_labels(image: Image, on_canvas: Sequence[_Labels], view: View) -> Picture:
    """Build the picture, with the labels that are visible enough."""
    boxes, labels, points, counts = map(np.concatenate, zip(*on_canvas, strict=True))
    before = boxes.clip(0, view.canvas)
    after = transformed_boxes(before, view)
    from_polygon = counts > 0
    polygons: list[Array | None] = [None] * len(boxes)
    if from_polygon.any():
        starts = (np.cumsum(counts) - counts)[from_polygon]
        after[from_polygon] = visible_boxes(points, starts, view)
        shapes = np.split(view.project(points), starts[1:])
        for number, shape in zip(from_polygon.nonzero()[0].tolist(), shapes, strict=True):
            polygons[number] = shape
    kept = survive(before, after, view.scale, from_polygon)
    return Picture(image, after[kept], labels[kept], tuple(itertools.compress(polygons, kept.tolist())))
