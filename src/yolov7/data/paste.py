"""Objects cut out by their outlines and pasted where they hide little of what is there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from yolov7.data.affine import Array, findable
from yolov7.data.render import Picture
from yolov7.data.source import Reader
from yolov7.types import FloatArray, Image

_FRACTIONS = (0.75,) * 2 + (0.5,) * 4 + (0.25,) * 4 + (0.125,) * 4 + (0.0625,) * 6
"""Of the image's side: how large the places are at most, in the order in which they are tried."""
_SKIPPED = 0.2
_HIDDEN = 0.3
_POOL = 30
_IMAGES_WITHOUT = 4
"""Images in a row without outlines after which a data set is taken to have none: as many as a mosaic has."""


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
    """Objects of other images, each scaled into a random place that covers less than 30 % of every box.

    Does nothing on data without outlines.
    """
    pool = _pool(reader, rng)
    if not pool:
        return picture
    size = len(picture.image)
    boxes = picture.boxes
    pasted: list[_Cutting] = []
    for fraction in _FRACTIONS:
        skipped = rng.random() < _SKIPPED
        width, height = rng.integers(1, max(1, round(fraction * size)), 2, endpoint=True).tolist()
        left, top = (int(rng.integers(size - side, endpoint=True)) for side in (width, height))
        place = np.array((left, top, left + width, top + height), np.float32)
        index, number = pool[int(rng.integers(len(pool)))]
        if skipped or not _hides_little(place, boxes):
            continue
        if cutting := _cut(reader, index, number, left, top, width, height):
            pasted.append(cutting)
            boxes = np.vstack((boxes, cutting.box))
    return _paste(picture, pasted)


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


def _pool(reader: Reader, rng: np.random.Generator) -> list[tuple[int, int]]:
    """(image, label) of at least 30 outlined objects, half of those of random images; few or none if so."""
    pool: list[tuple[int, int]] = []
    without = 0
    while len(pool) < _POOL and without < _IMAGES_WITHOUT:
        index = int(rng.integers(len(reader)))
        outlined = list(_outlined(reader, index))
        without = 0 if outlined else without + 1
        pool += [(index, number) for number in outlined if rng.random() < 0.5]
    return pool


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


def _cut(
    reader: Reader, index: int, number: int, left: int, top: int, width: int, height: int
) -> _Cutting | None:
    """An object scaled into a place, as large as it fits, from the place's upper left corner on."""
    sample = reader[index]
    outline = sample.polygons[number]
    assert outline is not None
    outline = outline.clip(0, sample.image.shape[1::-1])
    first, last = np.floor(outline.min(axis=0)).astype(int), np.ceil(outline.max(axis=0)).astype(int)
    if (last <= first).any():
        return None
    scale = min((width, height) / (last - first))
    sides = np.maximum(1, np.round((last - first) * scale)).astype(int)
    moved = (outline - first) * (sides / (last - first)) + (left, top)
    box = np.concatenate((moved.min(axis=0), moved.max(axis=0))).astype(np.float32)
    if not findable(box[np.newaxis])[0]:
        return None
    part = sample.image[first[1] : last[1], first[0] : last[0]]
    pixels = cv2.resize(part, sides.tolist(), interpolation=cv2.INTER_LINEAR)
    mask = _mask(moved - (left, top), *sides.tolist())
    label = int(sample.labels[number])
    return _Cutting(np.asarray(pixels, np.uint8), mask, left, top, box, moved, label)


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
