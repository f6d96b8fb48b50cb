"""Training samples made the plain way, as published: what ours are measured and tested against.

Every image of a mosaic is read, resized and laid on a grey canvas of twice the size, which is then warped. A
box comes from those of 1000 points along its polygon that lie in the image. Random numbers are drawn
in the order of `yolov7.samples`; nothing else is taken from there. Objects are not pasted.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from yolov7.data.dataset import Dataset
from yolov7.samples.augmentation import Augmentation
from yolov7.types import FloatArray, Image, IntArray, Sample

Picture = tuple[Image, FloatArray, IntArray]
Rectangle = tuple[int, int, int, int]
"""left, top, right, bottom"""

_GREY = 114
_POINTS = 1000
_HALF_PIXEL = np.array(((1, 0, 0.5), (0, 1, 0.5), (0, 0, 1)))  # OpenCV's pixel 0 lies at 0, ours at 0.5


def plain_sample(
    source: Dataset, index: int, size: int, augmentation: Augmentation, rng: np.random.Generator
) -> Sample:
    """Make the sample that `yolov7.samples.augment.training_sample` should make, without pasted objects."""
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
    return Sample(np.ascontiguousarray(image), boxes, labels, index)


def _picture(
    source: Dataset,
    index: int,
    size: int,
    augmentation: Augmentation,
    rng: np.random.Generator,
    *,
    mosaic: bool = True,
) -> Picture:
    """Lay the images out, draw them on the canvas, warp it, and see which labels are left."""
    nine = mosaic and rng.random() < augmentation.mosaic9_share
    others = [int(rng.integers(len(source))) for _ in range(8 if nine else 3 * mosaic)]
    samples = [source[number] for number in (index, *others)]
    sides = [_resized_sides(sample.image, size) for sample in samples]
    if not mosaic:
        canvas, places = size, _in_the_middle(*sides[0], size)
    elif nine:
        canvas, places = 2 * size, _pinwheel(sides, size, rng)
    else:
        canvas, places = 2 * size, _four_corners(sides, size, rng)
    matrix, scale = _random_affine(canvas, size, augmentation, rng)
    image, boxes, labels, polygons = _drawn(samples, places, canvas)
    to_pixels = np.linalg.inv(_HALF_PIXEL) @ matrix @ _HALF_PIXEL
    if augmentation.perspective:
        warped = cv2.warpPerspective(image, to_pixels, (size, size), borderValue=(_GREY,) * 3)
    else:
        warped = cv2.warpAffine(image, to_pixels[:2], (size, size), borderValue=(_GREY,) * 3)
    after, kept = [], []
    for box, label, polygon in zip(boxes, labels, polygons, strict=True):
        moved = _box(box, polygon, matrix, size)
        if _survives(box, moved, scale, 0.1 if polygon is None else 0.01):
            after.append(moved)
            kept.append(label)
    return warped, np.array(after, np.float32).reshape(-1, 4), np.array(kept, np.int64)


def _resized_sides(image: Image, size: int) -> tuple[int, int]:
    """(width, height): the long side becomes `size`, the other one is truncated."""
    height, width = image.shape[:2]
    if width > height:
        return size, max(1, math.floor(size * height / width))
    return max(1, math.floor(size * width / height)), size


def _in_the_middle(width: int, height: int, size: int) -> list[Rectangle]:
    left, top = (size - width) // 2, (size - height) // 2
    return [(left, top, left + width, top + height)]


def _four_corners(sides: list[tuple[int, int]], size: int, rng: np.random.Generator) -> list[Rectangle]:
    """Four images meet in a point of the inner half of the canvas."""
    x, y = (round(rng.uniform(0.5 * size, 1.5 * size)) for _ in range(2))
    (w1, h1), (w2, h2), (w3, h3), (w4, h4) = sides
    return [
        (x - w1, y - h1, x, y),
        (x, y - h2, x + w2, y),
        (x - w3, y, x, y + h3),
        (x, y, x + w4, y + h4),
    ]


def _pinwheel(sides: list[tuple[int, int]], size: int, rng: np.random.Generator) -> list[Rectangle]:
    """Eight images around one, clockwise from above; of three sizes square, two are seen."""
    width, height = sides[0]
    places = [(size, size, size + width, size + height)]
    x1, y1, x2, y2 = places[0]
    for number, (width, height) in enumerate(sides[1:], 1):
        left, top, right, bottom = places[-1]
        corner = {
            1: (x1, y1 - height),
            2: (right, bottom - height),
            3: (x2, y1),
            4: (left, bottom),
            5: (x2 - width, y2),
            6: (left - width, top),
            7: (x1 - width, y2 - height),
            8: (right - width, top - height),
        }[number]
        places.append((*corner, corner[0] + width, corner[1] + height))
    x, y = (int(rng.integers(0, size + 1)) for _ in range(2))
    return [(left - x, top - y, right - x, bottom - y) for left, top, right, bottom in places]


def _random_affine(
    canvas: int, size: int, augmentation: Augmentation, rng: np.random.Generator
) -> tuple[FloatArray, float]:
    """About the canvas's centre: perspective, rotation and scale, shear; then it goes near the image's."""
    a = augmentation
    tilt = [rng.uniform(-a.perspective, a.perspective) for _ in range(2)]
    angle = rng.uniform(-a.degrees, a.degrees)
    scale = rng.uniform(1 - a.scale, 1.1 + a.scale)
    shear = [math.tan(math.radians(rng.uniform(-a.shear, a.shear))) for _ in range(2)]
    centre = [size * rng.uniform(0.5 - a.translate, 0.5 + a.translate) for _ in range(2)]
    matrix = np.eye(3)
    matrix[:2, 2] = -canvas / 2
    for number, part in (
        (2, (*tilt, 1)),
        (slice(2), cv2.getRotationMatrix2D((0, 0), angle, scale)),
        (slice(2), ((1, shear[0], centre[0]), (shear[1], 1, centre[1]))),
    ):
        step = np.eye(3)
        step[number] = part
        matrix = step @ matrix
    return matrix, scale


def _drawn(
    samples: list[Sample], places: list[Rectangle], side: int
) -> tuple[Image, list[FloatArray], list[int], list[FloatArray | None]]:
    """Canvas, and the boxes, labels and polygons on it; crowds are left out."""
    canvas = np.full((side, side, 3), _GREY, np.uint8)
    boxes, labels, polygons = [], [], []
    for sample, (left, top, right, bottom) in zip(samples, places, strict=True):
        rows, columns = sample.image.shape[:2]
        resized = cv2.resize(sample.image, (right - left, bottom - top), interpolation=cv2.INTER_LINEAR)
        x1, y1, x2, y2 = (min(max(v, 0), side) for v in (left, top, right, bottom))
        canvas[y1:y2, x1:x2] = resized[y1 - top : y2 - top, x1 - left : x2 - left]
        scale, offset = np.array(((right - left) / columns, (bottom - top) / rows)), np.array((left, top))
        own = sample.polygons or (None,) * len(sample.boxes)
        crowds = np.zeros(len(sample.boxes), np.bool_) if sample.crowds is None else sample.crowds
        for box, label, polygon, crowd in zip(sample.boxes, sample.labels, own, crowds, strict=True):
            if not crowd:
                boxes.append((box.reshape(2, 2) * scale + offset).clip(0, side).reshape(4))
                labels.append(label)
                polygons.append(None if polygon is None else (polygon * scale + offset).clip(0, side))
    return canvas, boxes, labels, polygons


def _box(box: FloatArray, polygon: FloatArray | None, matrix: FloatArray, size: int) -> FloatArray:
    if polygon is None:
        points = _transformed(box[[0, 1, 2, 1, 2, 3, 0, 3]].reshape(4, 2), matrix).clip(0, size)
    else:
        closed = np.concatenate((polygon, polygon[:1]))
        place = np.linspace(0, len(closed) - 1, _POINTS)
        dense = np.stack([np.interp(place, np.arange(len(closed)), axis) for axis in closed.T], axis=1)
        points = _transformed(dense, matrix)
        points = points[((points >= 0) & (points <= size)).all(axis=1)]
        if not len(points):
            return np.zeros(4, np.float32)
    return np.concatenate((points.min(axis=0), points.max(axis=0)))


def _transformed(points: FloatArray, matrix: FloatArray) -> FloatArray:
    homogeneous = np.column_stack((points, np.ones(len(points)))) @ matrix.T
    return homogeneous[:, :2] / homogeneous[:, 2:]


def _survives(before: FloatArray, after: FloatArray, scale: float, share: float) -> bool:
    """Whether a label is kept: of sound shape, and with more than a share of its area."""
    width, height = after[2:] - after[:2]
    area = (before[2] - before[0]) * (before[3] - before[1]) * scale * scale
    if width <= 2 or height <= 2 or width / height >= 20 or height / width >= 20 or area <= 0:
        return False
    return bool(width * height / area > share)


def _recoloured(image: Image, gains: FloatArray) -> Image:
    hue, saturation, value = cv2.split(cv2.cvtColor(image, cv2.COLOR_RGB2HSV))
    levels = np.arange(256)
    hue = cv2.LUT(hue, (levels * gains[0] % 180).astype(np.uint8))
    saturation = cv2.LUT(saturation, (levels * gains[1]).clip(0, 255).astype(np.uint8))
    value = cv2.LUT(value, (levels * gains[2]).clip(0, 255).astype(np.uint8))
    return cv2.cvtColor(cv2.merge((hue, saturation, value)), cv2.COLOR_HSV2RGB)
