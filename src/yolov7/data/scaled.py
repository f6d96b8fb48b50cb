"""Data set with images of limited size, from which training samples are made."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from yolov7.data.dataset import Dataset
from yolov7.data.labels import LabelledImage
from yolov7.errors import SourceError
from yolov7.images.letterbox import long_side_size
from yolov7.types import Image

REPLACED = "it was replaced by one of another size"


@dataclass(frozen=True, kw_only=True, eq=False)
class ScaledDataset(Dataset):
    """Data set whose images are shrunk on reading; sizes and labels are in pixels of the shrunk images."""

    source_sizes: tuple[tuple[int, int], ...]  # (height, width) of each image in its file

    def pixels(self, index: int) -> Image:
        """Read and shrink an image. -> uint8 (H, W, 3) RGB.

        Raises:
            SourceError: the image cannot be decoded, or has another size than before.
        """
        labelled = self.images[index]
        image = super().pixels(index)
        if image.shape[:2] != self.source_sizes[index]:
            raise SourceError(REPLACED, file=labelled.path)
        return shrunk(image, max(labelled.size))


def scaled(dataset: Dataset, size: int) -> ScaledDataset:
    """Limit the long side of a data set's images to `size`; each is read and shrunk on every access."""
    images = tuple(_scaled_labels(image, scaled_size(image.size, size)) for image in dataset.images)
    sizes = tuple(image.size for image in dataset.images)
    return ScaledDataset(**{**vars(dataset), "images": images}, source_sizes=sizes)


def scaled_size(size: tuple[int, int], longest: int) -> tuple[int, int]:
    """(height, width) after shrinking to a long side of at most `longest`.

    >>> scaled_size((480, 640), 320), scaled_size((48, 64), 320)
    ((240, 320), (48, 64))
    """
    return size if max(size) <= longest else long_side_size(size, longest)


def shrunk(image: Image, longest: int) -> Image:
    """Shrink an image by area interpolation to a long side of `longest`; a smaller one is returned itself."""
    height, width = scaled_size(image.shape[:2], longest)
    if (height, width) == image.shape[:2]:
        return image
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def _scaled_labels(labelled: LabelledImage, size: tuple[int, int]) -> LabelledImage:
    """Scale the labels of an image to another (height, width)."""
    if labelled.size == size:
        return labelled
    y, x = size[0] / labelled.size[0], size[1] / labelled.size[1]
    scale = np.array((x, y), np.float32)
    return replace(
        labelled,
        size=size,
        boxes=labelled.boxes * np.tile(scale, 2),
        areas=labelled.areas * (x * y),
        polygons=tuple(None if polygon is None else polygon * scale for polygon in labelled.polygons),
    )
