"""Evaluation in batches of images of similar shape, which waste little on padding."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class RectangularBatch:
    """Which images share a batch, and the (height, width) that they are padded to."""

    indices: tuple[int, ...]
    shape: tuple[int, int]


def rectangular_batches(
    sizes: Sequence[tuple[int, int]], size: int, stride: int, batch_size: int
) -> list[RectangularBatch]:
    """Divide images into batches in order of height / width.

    A batch's shape comes from its extremes: its flattest and its steepest image, long side `size`, fit into
    it. Half a stride is added before rounding up, as in the published evaluation: a 640 run uses up to 672.

    Args:
        sizes: (height, width) of each image.
        size: long side that images are scaled to.
        stride: the network's largest.
        batch_size: images in a batch; the last may have fewer.
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
