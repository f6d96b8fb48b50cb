"""Images with their labels, and the way back from a letterboxed image."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
"""A picture: uint8, (height, width, 3), RGB."""
FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Sample:
    """One labelled image, as a data set gives it.

    Attributes:
        image: uint8 (H, W, 3) RGB.
        boxes: float32 (N, 4) pixels of the image.
        labels: int64 (N,), contiguous from 0.
        polygons: for each box its outline, float32 (K, 2) pixels, or None; empty when there are no outlines.
        crowds: bool (N,): boxes around a group, which evaluation neither rewards nor punishes (COCO).
        image_id: what the data set calls the image.
    """

    image: Image
    boxes: FloatArray
    labels: IntArray
    image_id: int | str
    polygons: tuple[FloatArray | None, ...] = ()
    crowds: npt.NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class Letterbox:
    """How an image was scaled and padded, so that boxes find their way back.

    Attributes:
        source_size: (height, width) before.
        size: (height, width) after, padding included.
        scale: (x, y) target pixels per source pixel.
        padding: (left, top) grey pixels before the image.
    """

    source_size: tuple[int, int]
    size: tuple[int, int]
    scale: tuple[float, float]
    padding: tuple[float, float]

    def of_source(self, size: tuple[int, int]) -> Letterbox:
        """The same for an image of (height, width), of which a smaller copy was letterboxed."""
        if size == self.source_size:
            return self
        (height, width), (own_height, own_width) = size, self.source_size
        scale = self.scale[0] * own_width / width, self.scale[1] * own_height / height
        return replace(self, source_size=size, scale=scale)

    def to_source(self, points: FloatArray) -> FloatArray:
        """Map x, y pairs from the letterboxed image to the source, clipped to it: (..., 2 * K) -> same.

        The last axis holds pairs: boxes (N, 4), or points (N, K, 2).
        """
        pairs = points.shape[-1] // 2
        height, width = self.source_size
        offset = np.array(self.padding * pairs, dtype=np.float32)
        scale = np.array(self.scale * pairs, dtype=np.float32)
        limit = np.array((width, height) * pairs, dtype=np.float32)
        return ((points - offset) / scale).clip(0, limit).astype(np.float32, copy=False)
