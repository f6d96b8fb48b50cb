"""Pasting of objects, cut out along their polygons, where they hide little of the others."""

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
"""Maximum side of each place as a fraction of the image side, in the order in which they are tried."""
_SKIPPED = 0.2
"""Probability that a place is skipped."""
_HIDDEN = 0.3
"""Fraction of each box that a place must stay below."""
_MIN_PLACE = 20
"""Width and height, in pixels, that a place clipped to the image must exceed."""
_MIN_OBJECT = 10
"""Width and height, in pixels, that a pasted object must exceed."""
_MIN_MASK = 20
"""Mask area, in pixels, that a pasted object must exceed."""
_POOL = 30
"""Minimum number of objects to choose from."""
_MOSAICS_WITHOUT = 2
"""Number of mosaics without polygons, in a row, that shows that a data set has none."""


class _Candidate(NamedTuple):
    """Object that may be pasted."""

    image: int  # number of the image in its source
    number: int  # index of its label
    window: Array  # visible part of the image, xyxy pixels


@dataclass(frozen=True, eq=False)
class _Cutout:
    """Object to paste: pixels (h, w, 3) and mask (h, w), their place, and the label in the image."""

    pixels: Image
    mask: Image
    left: int
    top: int
    box: FloatArray
    polygon: Array
    label: int


def paste_in(picture: Picture, reader: Reader, rng: np.random.Generator) -> Picture:
    """Paste objects of other images, each scaled into a random place that covers less than 30 % of any box.

    The centres of the places are uniform over the image, and places are clipped to it, so many objects touch
    an edge. Without polygons in the data set the picture is returned unchanged.
    """
    size = len(picture.image)
    pool = _pool(reader, size, rng)
    if not pool:
        return picture
    boxes = picture.boxes
    pasted: list[_Cutout] = []
    for fraction in _FRACTIONS:
        skipped = rng.random() < _SKIPPED
        place = _random_place(size, max(1, int(fraction * size)), rng)
        candidate = pool[int(rng.integers(len(pool)))]
        if skipped or (place[2:] - place[:2] <= _MIN_PLACE).any() or not _hides_little(place, boxes):
            continue
        if cutout := _cut(reader, candidate, place):
            pasted.append(cutout)
            boxes = np.vstack((boxes, cutout.box))
    return _paste(picture, pasted)


def _random_place(size: int, longest: int, rng: np.random.Generator) -> FloatArray:
    """Random rectangle around a random centre, clipped to the image: ``xyxy``, whole pixels."""
    sides = rng.integers(1, longest, 2, endpoint=True)
    first = np.maximum(0, rng.integers(0, size, 2, endpoint=True) - sides // 2)
    return np.concatenate((first, np.minimum(size, first + sides))).astype(np.float32)


def copy_paste(picture: Picture, share: float, rng: np.random.Generator) -> Picture:
    """Copy a random fraction of the objects with polygons, mirrored within the image.

    Source: Ghiasi et al., Simple copy-paste is a strong data augmentation method, CVPR 2021.
    """
    size = len(picture.image)
    boxes = picture.boxes
    pasted: list[_Cutout] = []
    for box, label, polygon in zip(picture.boxes, picture.labels.tolist(), picture.polygons, strict=True):
        if polygon is None or rng.random() >= share:
            continue
        mirrored = np.array((size - box[2], box[1], size - box[0], box[3]), np.float32)
        if not _hides_little(mirrored, boxes):
            continue
        left, top = (int(v) for v in np.floor(box[:2]))
        right, bottom = (int(v) for v in np.ceil(box[2:]))
        mask = _mask(polygon - (left, top), right - left, bottom - top)
        # All pixels are copied before anything is pasted.
        pixels = np.asarray(cv2.flip(picture.image[top:bottom, left:right], 1), np.uint8)
        mask = np.asarray(cv2.flip(mask, 1), np.uint8)
        mirrored_polygon = np.stack((size - polygon[:, 0], polygon[:, 1]), axis=1)
        pasted.append(_Cutout(pixels, mask, size - right, top, mirrored, mirrored_polygon, label))
        boxes = np.vstack((boxes, mirrored))
    return _paste(picture, pasted)


def _pool(reader: Reader, size: int, rng: np.random.Generator) -> list[_Candidate]:
    """Draw at least 30 objects with polygons: a random half of those in each of several random mosaics.

    Objects are clipped to the visible parts of their images. Empty if the data set has no polygons.
    """
    pool: list[_Candidate] = []
    without = 0
    while len(pool) < _POOL and without < _MOSAICS_WITHOUT:
        mosaic = random_mosaic(reader, int(rng.integers(len(reader.images))), size, rng, share_of_nine=0)
        visible = [candidate for tile in mosaic.tiles for candidate in _visible(reader, tile, mosaic.side)]
        without = 0 if visible else without + 1
        taken = rng.permutation(len(visible))[: round(len(visible) / 2)]
        pool += [visible[number] for number in taken]
    return pool


def _visible(reader: Reader, tile: Tile, side: int) -> Iterator[_Candidate]:
    """Yield the objects with polygons, except crowds, in the part of an image that lies on the canvas."""
    labelled = reader.images[tile.index]
    height, width = labelled.size
    scale = np.array((width / tile.width, height / tile.height) * 2)
    corners = np.array((-tile.left, -tile.top, side - tile.left, side - tile.top))
    window = (corners * scale).clip(0, (width, height, width, height))
    for number, polygon in enumerate(labelled.polygons):
        box = labelled.boxes[number]
        if (
            polygon is not None
            and len(polygon) > 2
            and not labelled.crowds[number]
            and (np.minimum(box[2:], window[2:]) > np.maximum(box[:2], window[:2])).all()
        ):
            yield _Candidate(tile.index, number, window)


def _hides_little(place: FloatArray, boxes: FloatArray) -> bool:
    """Whether a place covers less than 30 % of each box (N, 4)."""
    sides = np.minimum(place[2:], boxes[:, 2:]) - np.maximum(place[:2], boxes[:, :2])
    covered = sides.clip(0).prod(axis=1)
    return bool((covered < _HIDDEN * (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)).all())


def _cut(reader: Reader, candidate: _Candidate, place: FloatArray) -> _Cutout | None:
    """Scale an object to fit into the upper left corner of a place; None if it gets too small."""
    labelled = reader.images[candidate.image]
    polygon = np.asarray(labelled.polygons[candidate.number], np.float64)
    low, high = candidate.window[:2], candidate.window[2:]
    if (polygon < low).any() or (polygon > high).any():
        polygon = clip_polygon(polygon, half_planes(rectangle(*candidate.window.tolist())))
        if not len(polygon):
            return None
        polygon = polygon.clip(low, high)  # against rounding
    first, extent = polygon.min(axis=0), np.ptp(polygon, axis=0)
    if (extent <= 0).any():
        return None
    sides = (extent * min((place[2:] - place[:2]) / extent) + 1e-4).astype(int)
    if (sides <= _MIN_OBJECT).any():
        return None
    within = (polygon - first) * (sides / extent)
    mask = _mask(within, *sides.tolist())
    if np.count_nonzero(mask) <= _MIN_MASK:
        return None
    corner = place[:2].astype(int)
    box = np.concatenate((corner, corner + sides)).astype(np.float32)
    pixels = _scaled(reader.pixels(candidate.image), first, extent, *sides.tolist())
    label = int(labelled.labels[candidate.number])
    return _Cutout(pixels, mask, int(corner[0]), int(corner[1]), box, within + corner, label)


def _scaled(image: Image, first: Array, extent: Array, width: int, height: int) -> Image:
    """Scale the part of an image at `first` (x, y), of size `extent` (x, y). -> (height, width, 3)."""
    low = np.floor(first).astype(int)
    high = np.ceil(first + extent).astype(int)
    part = image[low[1] : high[1], low[0] : high[0]]
    (scale_x, scale_y), (x, y) = extent / (width, height), first - low
    # Pixel centre in the result -> pixel centre in the part.
    back = np.array(((scale_x, 0, x + scale_x / 2 - 0.5), (0, scale_y, y + scale_y / 2 - 0.5)))
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    pixels = cv2.warpAffine(part, back, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(pixels, np.uint8)


def _mask(polygon: Array, width: int, height: int) -> Image:
    mask = np.zeros((height, width), np.uint8)
    corners = np.round(polygon - 0.5).clip(-30000, 30000)  # under perspective they may be far away
    cv2.fillPoly(mask, [corners.astype(np.int32)], 1)
    return mask


def _paste(picture: Picture, cutouts: list[_Cutout]) -> Picture:
    """Draw objects into the picture's image, and add their labels."""
    if not cutouts:
        return picture
    for cutout in cutouts:
        height, width = cutout.mask.shape
        place = picture.image[cutout.top : cutout.top + height, cutout.left : cutout.left + width]
        cv2.copyTo(cutout.pixels, cutout.mask, dst=place)
    return Picture(
        picture.image,
        np.vstack((picture.boxes, *(cutout.box for cutout in cutouts))),
        np.append(picture.labels, [cutout.label for cutout in cutouts]),
        (*picture.polygons, *(cutout.polygon for cutout in cutouts)),
    )
