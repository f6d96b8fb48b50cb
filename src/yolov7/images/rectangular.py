"""Evaluation batches of images of similar shape, with little padding."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class RectangularBatch:
    """Indices of the images in a batch, and the (height, width) that they are padded to."""

    indices: tuple[int, ...]
    shape: tuple[int, int]


def rectangular_batches(
    sizes: Sequence[tuple[int, int]], size: int, stride: int, batch_size: int
) -> list[RectangularBatch]:
    """Sort images by height / width, and cut them into batches.

    A batch is as high as its tallest image and as wide as its widest, at a long side of `size`. Half a
    stride is added before rounding up, as in the published evaluation: 640 becomes up to 672.

    Args:
        sizes: (height, width) of each image.
        size: long side that images are scaled to, pixels.
        stride: largest stride of the network.
        batch_size: images per batch; the last may have fewer.

    >>> rectangular_batches([(480, 640), (640, 480)], 640, 32, batch_size=1)[0]
    RectangularBatch(indices=(0,), shape=(512, 672))
    """
    ratios = [height / width for height, width in sizes]
    order = sorted(range(len(sizes)), key=ratios.__getitem__)
    batches = []
    for start in range(0, len(order), batch_size):
        indices = order[start : start + batch_size]
        flattest, steepest = ratios[indices[0]], ratios[indices[-1]]
        height = min(1.0, steepest)  # as fractions of the long side
        width = min(1.0, 1 / flattest)
        shape = (_padded(height * size, stride), _padded(width * size, stride))
        batches.append(RectangularBatch(tuple(indices), shape))
    return batches


def _padded(side: float, stride: int) -> int:
    return math.ceil(side / stride + 0.5) * stride
