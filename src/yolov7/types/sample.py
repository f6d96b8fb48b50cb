"""Images with their labels, and the way back from a letterboxed image."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
"""Image: uint8 (H, W, 3), RGB."""
FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Sample:
    """Labelled image of a data set.

    Attributes:
        image: uint8 (H, W, 3) RGB.
        boxes: float32 (N, 4) pixels of the image.
        labels: int64 (N,), contiguous from 0.
        polygons: polygon of each box, float32 (K, 2) pixels, or None; empty if there are none.
        crowds: bool (N,), True for boxes around a crowd, which evaluation ignores (COCO).
        image_id: id of the image in the data set.
    """

    image: Image
    boxes: FloatArray
    labels: IntArray
    image_id: int | str
    polygons: tuple[FloatArray | None, ...] = ()
    crowds: npt.NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class Letterbox:
    """Scale and padding of a letterboxed image, to map boxes back to the source image.

    Attributes:
        source_size: (height, width) of the source image.
        size: (height, width) of the letterboxed image, padding included.
        scale: (x, y) letterboxed pixels per source pixel.
        padding: (left, top) padding in pixels.

    >>> letterbox = Letterbox(source_size=(480, 640), size=(320, 320), scale=(0.5, 0.5), padding=(0, 40))
    >>> letterbox.to_source(np.array([[10, 50, 100, 400]], np.float32)).tolist()
    [[20.0, 20.0, 200.0, 480.0]]
    """

    source_size: tuple[int, int]
    size: tuple[int, int]
    scale: tuple[float, float]
    padding: tuple[float, float]

    def of_source(self, size: tuple[int, int]) -> Letterbox:
        """Letterbox for a source of size (height, width), of which a smaller copy was letterboxed."""
        if size == self.source_size:
            return self
        (height, width), (own_height, own_width) = size, self.source_size
        scale = self.scale[0] * own_width / width, self.scale[1] * own_height / height
        return replace(self, source_size=size, scale=scale)

    def to_source(self, points: FloatArray) -> FloatArray:
        """Map boxes (N, 4) or points (N, K, 2) (x, y pairs in the last axis) to the source, clipped to it."""
        pairs = points.shape[-1] // 2
        height, width = self.source_size
        offset = np.array(self.padding * pairs, dtype=np.float32)
        scale = np.array(self.scale * pairs, dtype=np.float32)
        limit = np.array((width, height) * pairs, dtype=np.float32)
        return ((points - offset) / scale).clip(0, limit).astype(np.float32, copy=False)
