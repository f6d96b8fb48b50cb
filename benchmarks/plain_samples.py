"""Training samples made the plain way, as they are described: what ours are measured and tested against.

Every image of a mosaic is read, resized and laid on a grey canvas of twice the size, then the affine warps
the canvas. Of an outline 1000 points are transformed, and those in the image have the box. Which images,
where they lie and how they are seen is drawn as in `yolov7.data`; objects are not pasted.
"""

from __future__ import annotations

import cv2
import numpy as np

from yolov7.data.affine import View, random_view, survive
from yolov7.data.augment import Augmentation, Source
from yolov7.data.letterbox import GREY
from yolov7.data.mosaic import Canvas, letterboxed, random_mosaic
from yolov7.data.source import Reader
from yolov7.types import FloatArray, Image, IntArray, Sample

Picture = tuple[Image, FloatArray, IntArray]

_POINTS = 1000
_HALF_PIXEL = np.array(((1, 0, 0.5), (0, 1, 0.5), (0, 0, 1)))  # OpenCV's pixel 0 lies at 0, ours at 0.5


def plain_sample(
    source: Source, index: int, size: int, augmentation: Augmentation, rng: np.random.Generator
) -> Sample:
    """What `yolov7.data.augment.training_sample` is to give, but for pasted objects."""
    if rng.random() >= augmentation.mosaic:
        image, boxes, labels = _picture(source, index, size, augmentation, rng, mosaic=False)
    else:
        image, boxes, labels = _picture(source, index, size, augmentation, rng)
        if rng.random() < augmentation.mixup:
            ratio = rng.beta(8, 8)
            second = _picture(source, int(rng.integers(len(source))), size, augmentation, rng)
            image = (image * ratio + second[0] * (1 - ratio)).astype(np.uint8)
            boxes, labels = np.concatenate((boxes, second[1])), np.concatenate((labels, second[2]))
    gains = 1 + rng.uniform(-1, 1, 3) * (augmentation.hue, augmentation.saturation, augmentation.value)
    if (gains != 1).any():
        image = _recoloured(image, gains)
    rng.random()  # whether objects are pasted in
    horizontal, vertical = rng.random(2) < (augmentation.flip_horizontal, augmentation.flip_vertical)
    if horizontal:
        image = np.fliplr(image)
        boxes = np.stack((size - boxes[:, 2], boxes[:, 1], size - boxes[:, 0], boxes[:, 3]), axis=1)
    if vertical:
        image = np.flipud(image)
        boxes = np.stack((boxes[:, 0], size - boxes[:, 3], boxes[:, 2], size - boxes[:, 1]), axis=1)
    return Sample(np.ascontiguousarray(image), boxes, labels, index, (size, size))


def _picture(
    source: Source,
    index: int,
    size: int,
    augmentation: Augmentation,
    rng: np.random.Generator,
    *,
    mosaic: bool = True,
) -> Picture:
    reader = Reader(source)
    if mosaic:
        canvas = random_mosaic(reader, index, size, rng, share_of_nine=augmentation.mosaic9_share)
    else:
        canvas = letterboxed(reader, index, size)
    view = random_view(
        canvas.side,
        size,
        rng,
        scale=augmentation.scale,
        translate=augmentation.translate,
        degrees=augmentation.degrees,
        shear=augmentation.shear,
        perspective=augmentation.perspective,
    )
    return plain_render(source, canvas, view)


def plain_render(source: Source, canvas: Canvas, view: View) -> Picture:
    """Draw the canvas, warp it, and see which labels are left."""
    image = np.full((canvas.side, canvas.side, 3), GREY, np.uint8)
    boxes, labels, outlines = [], [], []
    for tile in canvas.tiles:
        sample = source[tile.index]
        rows, columns = sample.image.shape[:2]
        left, top, width, height = (int(v) for v in (tile.left, tile.top, tile.width, tile.height))
        resized = cv2.resize(sample.image, (width, height), interpolation=cv2.INTER_LINEAR)
        x1, y1, x2, y2 = (min(max(v, 0), canvas.side) for v in (left, top, left + width, top + height))
        image[y1:y2, x1:x2] = resized[y1 - top : y2 - top, x1 - left : x2 - left]
        scale, offset = np.array((width / columns, height / rows)), np.array((left, top))
        polygons = sample.polygons or (None,) * len(sample.boxes)
        crowds = np.zeros(len(sample.boxes), np.bool_) if sample.crowds is None else sample.crowds
        for box, label, polygon, crowd in zip(sample.boxes, sample.labels, polygons, crowds, strict=True):
            if not crowd:
                boxes.append((box.reshape(2, 2) * scale + offset).clip(0, canvas.side).reshape(4))
                labels.append(label)
                outlines.append(None if polygon is None else (polygon * scale + offset).clip(0, canvas.side))
    matrix = np.linalg.inv(_HALF_PIXEL) @ view.matrix @ _HALF_PIXEL
    sides = view.size, view.size
    if view.matrix[2, 0] or view.matrix[2, 1]:
        warped = cv2.warpPerspective(image, matrix, sides, borderValue=(GREY,) * 3)
    else:
        warped = cv2.warpAffine(image, matrix[:2], sides, borderValue=(GREY,) * 3)
    before = np.array(boxes, np.float64).reshape(-1, 4)
    after = np.array(
        [_box(box, outline, view) for box, outline in zip(before, outlines, strict=True)], np.float32
    ).reshape(-1, 4)
    traced = np.array([outline is not None for outline in outlines], np.bool_)
    kept = survive(before, after, view.scale, traced)
    return warped, after[kept], np.array(labels, np.int64)[kept]


def _box(box: FloatArray, outline: FloatArray | None, view: View) -> FloatArray:
    if outline is None:
        points = _transformed(box[[0, 1, 2, 1, 2, 3, 0, 3]].reshape(4, 2), view).clip(0, view.size)
    else:
        closed = np.concatenate((outline, outline[:1]))
        place = np.linspace(0, len(closed) - 1, _POINTS)
        dense = np.stack([np.interp(place, np.arange(len(closed)), axis) for axis in closed.T], axis=1)
        points = _transformed(dense, view)
        points = points[((points >= 0) & (points <= view.size)).all(axis=1)]
        if not len(points):
            return np.zeros(4, np.float32)
    return np.concatenate((points.min(axis=0), points.max(axis=0)))


def _transformed(points: FloatArray, view: View) -> FloatArray:
    homogeneous = np.column_stack((points, np.ones(len(points)))) @ view.matrix.T
    return homogeneous[:, :2] / homogeneous[:, 2:]


def _recoloured(image: Image, gains: FloatArray) -> Image:
    hue, saturation, value = cv2.split(cv2.cvtColor(image, cv2.COLOR_RGB2HSV))
    levels = np.arange(256)
    hue = cv2.LUT(hue, (levels * gains[0] % 180).astype(np.uint8))
    saturation = cv2.LUT(saturation, (levels * gains[1]).clip(0, 255).astype(np.uint8))
    value = cv2.LUT(value, (levels * gains[2]).clip(0, 255).astype(np.uint8))
    return cv2.cvtColor(cv2.merge((hue, saturation, value)), cv2.COLOR_HSV2RGB)
