"""Training samples: random mosaics and affine maps, mixup, colours, paste-in and flips."""

from __future__ import annotations

import cv2
import numpy as np

from yolov7.samples.affine import random_view
from yolov7.samples.augmentation import Augmentation
from yolov7.samples.colour import shift_colours
from yolov7.samples.mosaic import Canvas, letterboxed, random_mosaic
from yolov7.samples.paste import copy_paste, paste_in
from yolov7.samples.render import Picture, render
from yolov7.samples.source import Reader, Source
from yolov7.types import Sample


def training_sample(
    source: Source, index: int, size: int, augmentation: Augmentation, rng: np.random.Generator
) -> Sample:
    """Make a random sample that begins with one image of a source.

    Args:
        source: images and labels; pixels of invisible images are not read.
        index: image that is always part of the sample, though perhaps outside its visible area.
        size: side of the sample, pixels.
        augmentation: settings of the augmentation.
        rng: source of all randomness; the same state gives the same sample.

    Returns:
        Image uint8 (size, size, 3), boxes in its pixels, labels; neither polygons nor crowds.

    Raises:
        SourceError: an image cannot be read.
    """
    reader = Reader(source)
    picture = _picture(reader, index, size, augmentation, rng)
    gains = 1 + rng.uniform(-1, 1, 3) * (augmentation.hue, augmentation.saturation, augmentation.value)
    if (gains != 1).any():
        shift_colours(picture.image, gains)
    if rng.random() < augmentation.paste_in:
        picture = paste_in(picture, reader, rng)
    boxes = picture.boxes
    horizontal, vertical = rng.random(2) < (augmentation.flip_horizontal, augmentation.flip_vertical)
    if horizontal:
        boxes[:, [0, 2]] = size - boxes[:, [2, 0]]
    if vertical:
        boxes[:, [1, 3]] = size - boxes[:, [3, 1]]
    if horizontal or vertical:
        direction = -1 if horizontal and vertical else int(horizontal)
        cv2.flip(picture.image, direction, dst=picture.image)
    return Sample(picture.image, boxes, picture.labels, reader.images[index].image_id)


def _picture(
    reader: Reader, index: int, size: int, augmentation: Augmentation, rng: np.random.Generator
) -> Picture:
    """Draw a letterboxed image, or one or two mosaics, each with its own random affine map."""

    def draw(canvas: Canvas) -> Picture:
        picture = render(reader, canvas, random_view(canvas.side, size, augmentation, rng))
        return copy_paste(picture, augmentation.copy_paste, rng) if augmentation.copy_paste else picture

    def mosaic(index: int) -> Picture:
        return draw(random_mosaic(reader, index, size, rng, share_of_nine=augmentation.mosaic9_share))

    if rng.random() >= augmentation.mosaic:
        return draw(letterboxed(reader, index, size))
    picture = mosaic(index)
    if rng.random() < augmentation.mixup:
        ratio = rng.beta(8, 8)
        picture = _blend(picture, mosaic(int(rng.integers(len(reader.images)))), ratio)
    return picture


def _blend(first: Picture, second: Picture, ratio: float) -> Picture:
    """Mix two images, and join their labels (mixup). The result uses the memory of the first."""
    cv2.addWeighted(first.image, ratio, second.image, 1 - ratio, 0, dst=first.image)
    return Picture(
        first.image,
        np.concatenate((first.boxes, second.boxes)),
        np.concatenate((first.labels, second.labels)),
        first.polygons + second.polygons,
    )
