"""Objects cut out by their polygons and pasted where they hide little of what is there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from yolov7.samples.affine import Array, clip_polygon, half_planes, rectangle
from yolov7.samples.mosaic import Tile, random_mosaic
from yolov7.samples.render import Picture
from yolov7.samples.source import Reader
from yolov7.types import FloatArray, Image

_FRACTIONS = (0.75,) * 2 + (0.5,) * 4 + (0.25,) * 4 + (0.125,) * 4 + (0.0625,) * 6
"""Largest side of each place, as a fraction of the image's, in the order in which they are tried."""
_SKIPPED = 0.2
"""Probability that a place is left out."""
_HIDDEN = 0.3
"""A place must cover less than this fraction of every box."""
_MIN_PLACE = 20
"""Pixels that a place must exceed in width and height, after it was clipped to the image."""
_MIN_OBJECT = 10
"""Pixels that a pasted object must exceed in width and height."""
_MIN_MASK = 20
"""Pixels that a pasted object's mask must exceed."""
_POOL = 30
_MOSAICS_WITHOUT = 2
"""Mosaics in a row without polygons after which a data set is taken to have none."""


class _Candidate(NamedTuple):
    """An object of the pool: a label of an image, of which a window (x1, y1, x2, y2 pixels) is seen."""

    image: int
    number: int
    window: Array


@dataclass(frozen=True, eq=False)
class _Cutting:
    """An object to paste: its pixels and mask, the place of these, and its box and outline in the image."""

    pixels: Image
    mask: Image
    left: int
    top: int
    box: FloatArray
    outline: Array
    label: int


def paste_in(picture: Picture, reader: Reader, rng: np.random.Generator) -> Picture:
    """Paste objects of other images, each scaled into a random place that covers less than 30 % of every box.

    The places' centres are uniform over the image, and places are clipped to it: many objects lie at an edge.
    Does nothing on data without polygons.
    """
    size = len(picture.image)
    pool = _pool(reader, size, rng)
    if not pool:
        return picture
    boxes = picture.boxes
    pasted: list[_Cutting] = []
    for fraction in _FRACTIONS:
        skipped = rng.random() < _SKIPPED
        place = _random_place(size, max(1, int(fraction * size)), rng)
        candidate = pool[int(rng.integers(len(pool)))]
        if skipped or (place[2:] - place[:2] <= _MIN_PLACE).any() or not _hides_little(place, boxes):
            continue
        if cutting := _cut(reader, candidate, place):
            pasted.append(cutting)
            boxes = np.vstack((boxes, cutting.box))
    return _paste(picture, pasted)


def _random_place(size: int, longest: int, rng: np.random.Generator) -> FloatArray:
    """A random rectangle around a random centre, clipped to the image: x1, y1, x2, y2, whole pixels."""
    sides = rng.integers(1, longest, 2, endpoint=True)
    first = np.maximum(0, rng.integers(0, size, 2, endpoint=True) - sides // 2)
    return np.concatenate((first, np.minimum(size, first + sides))).astype(np.float32)


def copy_paste(picture: Picture, share: float, rng: np.random.Generator) -> Picture:
    """A random share of the outlined objects, mirrored within the image.

    Source: Ghiasi et al., Simple copy-paste is a strong data augmentation method, CVPR 2021.
    """
    size = len(picture.image)
    boxes = picture.boxes
    pasted: list[_Cutting] = []
    for box, label, outline in zip(picture.boxes, picture.labels.tolist(), picture.outlines, strict=True):
        if outline is None or rng.random() >= share:
            continue
        mirrored = np.array((size - box[2], box[1], size - box[0], box[3]), np.float32)
        if not _hides_little(mirrored, boxes):
            continue
        left, top = (int(v) for v in np.floor(box[:2]))
        right, bottom = (int(v) for v in np.ceil(box[2:]))
        mask = _mask(outline - (left, top), right - left, bottom - top)
        # All are cut out before any is pasted: what is copied is the picture as it was.
        pixels = cv2.flip(picture.image[top:bottom, left:right], 1)
        cutting = _Cutting(
            np.asarray(pixels, np.uint8),
            np.asarray(cv2.flip(mask, 1), np.uint8),
            size - right,
            top,
            mirrored,
            np.stack((size - outline[:, 0], outline[:, 1]), axis=1),
            label,
        )
        pasted.append(cutting)
        boxes = np.vstack((boxes, mirrored))
    return _paste(picture, pasted)


def _pool(reader: Reader, size: int, rng: np.random.Generator) -> list[_Candidate]:
    """At least 30 objects with polygons, a random half of those of each mosaic; none if there are none.

    What a mosaic cuts off is cut off the object.
    """
    pool: list[_Candidate] = []
    without = 0
    while len(pool) < _POOL and without < _MOSAICS_WITHOUT:
        mosaic = random_mosaic(reader, int(rng.integers(len(reader))), size, rng, share_of_nine=0)
        seen = [candidate for tile in mosaic.tiles for candidate in _seen(reader, tile, mosaic.side)]
        without = 0 if seen else without + 1
        taken = rng.permutation(len(seen))[: round(len(seen) / 2)]
        pool += [seen[number] for number in taken]
    return pool


def _seen(reader: Reader, tile: Tile, side: int) -> Iterator[_Candidate]:
    """The objects with polygons in the part of an image that lies on the canvas."""
    height, width = reader.size(tile.index)
    scale = np.array((width / tile.width, height / tile.height) * 2)
    corners = np.array((-tile.left, -tile.top, side - tile.left, side - tile.top))
    window = (corners * scale).clip(0, (width, height, width, height))
    described = reader.describe(tile.index)
    for number in _outlined(reader, tile.index):
        box = described.boxes[number]
        if (np.minimum(box[2:], window[2:]) > np.maximum(box[:2], window[:2])).all():
            yield _Candidate(tile.index, number, window)


def _outlined(reader: Reader, index: int) -> Iterator[int]:
    described = reader.describe(index)
    for number, outline in enumerate(described.polygons):
        crowd = described.crowds is not None and described.crowds[number]
        if outline is not None and len(outline) > 2 and not crowd:
            yield number


def _hides_little(place: FloatArray, boxes: FloatArray) -> bool:
    """Whether a place covers less than 30 % of each box."""
    sides = np.minimum(place[2:], boxes[:, 2:]) - np.maximum(place[:2], boxes[:, :2])
    covered = sides.clip(0).prod(axis=1)
    return bool((covered < _HIDDEN * (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)).all())


def _cut(reader: Reader, candidate: _Candidate, place: FloatArray) -> _Cutting | None:
    """Scale an object to fit into a place, from its upper left corner on; None where it is too small."""
    sample = reader[candidate.image]
    polygon = sample.polygons[candidate.number]
    assert polygon is not None
    outline = polygon.astype(np.float64)
    low, high = candidate.window[:2], candidate.window[2:]
    if (outline < low).any() or (outline > high).any():
        outline = clip_polygon(outline, half_planes(rectangle(*candidate.window.tolist())))
        if not len(outline):
            return None
        outline = outline.clip(low, high)  # not even by rounding outside
    first, extent = outline.min(axis=0), np.ptp(outline, axis=0)
    if (extent <= 0).any():
        return None
    sides = (extent * min((place[2:] - place[:2]) / extent) + 1e-4).astype(int)
    if (sides <= _MIN_OBJECT).any():
        return None
    within = (outline - first) * (sides / extent)
    mask = _mask(within, *sides.tolist())
    if np.count_nonzero(mask) <= _MIN_MASK:
        return None
    corner = place[:2].astype(int)
    box = np.concatenate((corner, corner + sides)).astype(np.float32)
    pixels = _scaled(sample.image, first, extent, *sides.tolist())
    label = int(sample.labels[candidate.number])
    return _Cutting(pixels, mask, int(corner[0]), int(corner[1]), box, within + corner, label)


def _scaled(image: Image, first: Array, extent: Array, width: int, height: int) -> Image:
    """The part of an image from `first` (x, y) on, `extent` (x, y) large, as (height, width, 3)."""
    low = np.floor(first).astype(int)
    high = np.ceil(first + extent).astype(int)
    part = image[low[1] : high[1], low[0] : high[0]]
    (scale_x, scale_y), (x, y) = extent / (width, height), first - low
    # From the centre of a pixel to the place in the part that it shows.
    back = np.array(((scale_x, 0, x + scale_x / 2 - 0.5), (0, scale_y, y + scale_y / 2 - 0.5)))
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    pixels = cv2.warpAffine(part, back, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(pixels, np.uint8)


def _mask(outline: Array, width: int, height: int) -> Image:
    mask = np.zeros((height, width), np.uint8)
    corners = np.round(outline - 0.5).clip(-30000, 30000)  # a perspective can throw them far away
    cv2.fillPoly(mask, [corners.astype(np.int32)], 1)
    return mask


def _paste(picture: Picture, cuttings: list[_Cutting]) -> Picture:
    """Write the cuttings into the picture's image, and add their labels."""
    if not cuttings:
        return picture
    for cutting in cuttings:
        height, width = cutting.mask.shape
        place = picture.image[cutting.top : cutting.top + height, cutting.left : cutting.left + width]
        cv2.copyTo(cutting.pixels, cutting.mask, dst=place)
    return Picture(
        picture.image,
        np.vstack((picture.boxes, *(cutting.box for cutting in cuttings))),
        np.append(picture.labels, [cutting.label for cutting in cuttings]),
        (*picture.outlines, *(cutting.outline for cutting in cuttings)),
    )
