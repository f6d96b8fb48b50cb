"""Canvases: layouts of one, four or nine images; a random affine map then shows part of the canvas.

    letterboxed         four                     nine
    +---------+         +----+----------+        +----+------+---+      The centre first, then clockwise
    | grey    |         |  0 |          |        |  8 |  1   |   |      from above it, each image touching
    +---------+         |    |    1     |        +----+---+--+ 2 |      the one before: a pinwheel whose
    |  image  |         +----*----------+        |  7 | 0 |  |   |      arms never overlap. Of its 3 x 3
    +---------+         |  2 |    3     |        |    |   |3 +---+      sizes a random 2 x 2 are the canvas.
    | grey    |         +----+          |        +--+-+---+--+ 4 |
    +---------+         |    +----------+        | 6|   5 |  |   |

Nothing is drawn here. Images are scaled so that their long side is `size`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from yolov7.images.letterbox import long_side_size
from yolov7.samples.source import Reader


@dataclass(frozen=True)
class Tile:
    """Whole image placed on a canvas, in its pixels; parts beyond the canvas are invisible."""

    index: int  # number of the image in its source
    left: float
    top: float
    width: float
    height: float


@dataclass(frozen=True)
class Canvas:
    """Square of `side` pixels, grey where no tile lies."""

    side: int
    tiles: tuple[Tile, ...]


def letterboxed(reader: Reader, index: int, size: int) -> Canvas:
    """Place one image in the middle of a canvas of `size`."""
    height, width = long_side_size(reader.images[index].size, size)
    return Canvas(size, (Tile(index, (size - width) // 2, (size - height) // 2, width, height),))


def random_mosaic(
    reader: Reader, index: int, size: int, rng: np.random.Generator, *, share_of_nine: float
) -> Canvas:
    """Place an image and three or eight random others on a canvas of 2 x `size`."""
    count = 9 if rng.random() < share_of_nine else 4
    indices = [index, *rng.integers(len(reader.images), size=count - 1).tolist()]
    sides = [long_side_size(reader.images[i].size, size) for i in indices]
    if count == 4:
        x, y = rng.uniform(size / 2, 3 * size / 2, 2).round().tolist()
        corners = four(sides, x, y)
    else:
        x, y = rng.integers(size, size=2, endpoint=True).tolist()
        corners = [(left - x, top - y) for left, top in nine(sides, size)]
    tiles = (
        Tile(i, left, top, width, height)
        for i, (left, top), (height, width) in zip(indices, corners, sides, strict=True)
    )
    return Canvas(2 * size, tuple(tiles))


def four(sides: Sequence[tuple[int, int]], x: float, y: float) -> list[tuple[float, float]]:
    """(left, top) of four images that meet in (x, y), from their (height, width)."""
    (h0, w0), (_, w2), (h1, _) = sides[0], sides[2], sides[1]
    return [(x - w0, y - h0), (x, y - h1), (x - w2, y), (x, y)]


def nine(sides: Sequence[tuple[int, int]], size: int) -> list[tuple[float, float]]:
    """(left, top) of nine images, the first at (size, size), on 3 x 3 sizes, from their (height, width)."""
    (h0, w0), (h1, w1), (h2, _), (h3, _), _, (_, w5), (_, w6), (h7, w7), (h8, w8) = sides
    west = north = size
    east, south = size + w0, size + h0
    return [
        (west, north),
        (west, north - h1),  # above the centre, starting at its left edge
        (west + w1, north - h2),
        (east, north),  # right of the centre, starting at its upper edge
        (east, north + h3),
        (east - w5, south),  # below the centre, ending at its right edge
        (east - w5 - w6, south),
        (west - w7, south - h7),  # left of the centre, ending at its lower edge
        (west - w8, south - h7 - h8),
    ]
