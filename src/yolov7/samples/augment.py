"""Training samples: random mosaics through random affines, mixed, recoloured, pasted into, flipped."""

from __future__ import annotations

from dataclasses import dataclass, fields

import cv2
import numpy as np

from yolov7.errors import UsageError
from yolov7.samples.affine import random_view
from yolov7.samples.colour import shift_colours
from yolov7.samples.mosaic import letterboxed, random_mosaic
from yolov7.samples.paste import copy_paste, paste_in
from yolov7.samples.render import Picture, render
from yolov7.samples.source import LabelledSource, Reader, Source
from yolov7.types import Sample

__all__ = ["Augmentation", "LabelledSource", "Source", "training_sample"]

_LIMITS = {"scale": 0.999, "translate": 1.0, "degrees": 180.0, "shear": 44.0, "perspective": 0.01, "hue": 0.4}
"""The largest value of each number that is not a probability or a share."""


@dataclass(frozen=True)
class Augmentation:
    """A recipe's numbers; the defaults are those of the P5 models.

    Attributes:
        mosaic: probability of a mosaic; else one letterboxed image.
        mosaic9_share: of the mosaics, how many have nine images instead of four.
        mixup: probability that a mosaic is blended with a second one.
        paste_in: probability that objects of other images are pasted in, where there are outlines.
        copy_paste: share of the outlined objects that are repeated, mirrored.
        translate: largest shift of the centre, as a share of the size.
        scale: scales are uniform in [1 - scale, 1.1 + scale].
        degrees: largest rotation.
        shear: largest shear, in degrees.
        perspective: largest slope of the perspective's divisor, per pixel.
        hue, saturation, value: largest relative change.
        flip_horizontal, flip_vertical: probabilities.

    Raises:
        UsageError: a number is out of range.
    """

    mosaic: float = 1.0
    mosaic9_share: float = 0.2
    mixup: float = 0.15
    paste_in: float = 0.15
    copy_paste: float = 0.0
    translate: float = 0.2
    scale: float = 0.9
    degrees: float = 0.0
    shear: float = 0.0
    perspective: float = 0.0
    hue: float = 0.015
    saturation: float = 0.7
    value: float = 0.4
    flip_horizontal: float = 0.5
    flip_vertical: float = 0.0

    def __post_init__(self) -> None:
        for field in fields(self):
            number, limit = getattr(self, field.name), _LIMITS.get(field.name, 1.0)
            if not 0 <= number <= limit:
                raise UsageError(
                    f"augmentation: {field.name} is out of range", expected=f"0 to {limit:g}", found=number
                )


def training_sample(
    source: Source, index: int, size: int, augmentation: Augmentation, rng: np.random.Generator
) -> Sample:
    """A random sample that begins with one image of a source.

    Args:
        source: images and labels; a `LabelledSource` is asked for no more images than are seen.
        index: of the image that is in it for certain, though it may lie outside of what is seen.
        size: side of the result.
        augmentation: what to do how often and how much.
        rng: all randomness; the same state gives the same sample.

    Returns:
        image uint8 (size, size, 3), boxes in its pixels, labels; no outlines, no groups.

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
    described = reader.describe(index)
    return Sample(picture.image, boxes, picture.labels, described.image_id, reader.source_size(index))


def _picture(
    reader: Reader, index: int, size: int, augmentation: Augmentation, rng: np.random.Generator
) -> Picture:
    """A letterboxed image, a mosaic or two, seen through a random affine each."""
    if rng.random() >= augmentation.mosaic:
        return _seen(reader, index, size, augmentation, rng, mosaic=False)
    picture = _seen(reader, index, size, augmentation, rng)
    if rng.random() < augmentation.mixup:
        ratio = rng.beta(8, 8)
        second = _seen(reader, int(rng.integers(len(reader))), size, augmentation, rng)
        picture = _blend(picture, second, ratio)
    return picture


def _seen(
    reader: Reader,
    index: int,
    size: int,
    augmentation: Augmentation,
    rng: np.random.Generator,
    *,
    mosaic: bool = True,
) -> Picture:
    """One canvas through one random affine."""
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
    picture = render(reader, canvas, view)
    return copy_paste(picture, augmentation.copy_paste, rng) if augmentation.copy_paste else picture


def _blend(first: Picture, second: Picture, ratio: float) -> Picture:
    """Mixup: both images at once, with the labels of both, in the first one's memory."""
    cv2.addWeighted(first.image, ratio, second.image, 1 - ratio, 0, dst=first.image)
    return Picture(
        first.image,
        np.concatenate((first.boxes, second.boxes)),
        np.concatenate((first.labels, second.labels)),
        first.outlines + second.outlines,
    )
