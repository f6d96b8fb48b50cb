"""A data set whose images are no larger than a size: what training samples are made of, cached or not."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import cv2
import numpy as np

from yolov7.data.dataset import Dataset
from yolov7.data.labels import LabelledImage
from yolov7.errors import SourceError
from yolov7.images.letterbox import long_side_size
from yolov7.images.reading import read_image
from yolov7.types import Image, Sample


@dataclass(frozen=True, kw_only=True, eq=False)
class ScaledDataset(Dataset):
    """A data set whose images are shrunk, by area, when they are read.

    What ``images`` tells, sizes and boxes and outlines, is in pixels of the scaled images too.

    Attributes:
        source_sizes: (height, width) of each image's file.
    """

    source_sizes: tuple[tuple[int, int], ...]

    def __getitem__(self, index: int) -> Sample:
        """The scaled image with its labels.

        Raises:
            SourceError: the image cannot be decoded.
        """
        labelled = self.images[index]
        return Sample(
            image=self.pixels(index),
            boxes=labelled.boxes,
            labels=labelled.labels,
            image_id=labelled.image_id,
            source_size=self.source_sizes[index],
            polygons=labelled.polygons,
            crowds=labelled.crowds,
        )

    def pixels(self, index: int) -> Image:
        """The scaled image."""
        labelled = self.images[index]
        image = read_image(labelled.path)
        if image.shape[:2] != self.source_sizes[index]:
            raise SourceError(REPLACED, file=labelled.path)
        return shrunk(image, max(labelled.size))


REPLACED = "it was replaced by one of another size"


def scaled(dataset: Dataset, size: int) -> ScaledDataset:
    """The data set with images whose long side is at most `size`, each read and shrunk whenever asked for."""
    images = tuple(scaled_labels(image, scaled_size(image.size, size)) for image in dataset.images)
    return ScaledDataset(
        **parts_of(dataset, images=images),
        source_sizes=tuple(image.size for image in dataset.images),
    )


def parts_of(dataset: Dataset, **changes: Any) -> dict[str, Any]:
    """What a data set is made of, by name, for one of another class."""
    return {field.name: getattr(dataset, field.name) for field in fields(Dataset)} | changes


def scaled_size(size: tuple[int, int], longest: int) -> tuple[int, int]:
    """(height, width) of an image whose long side may be `longest`."""
    return size if max(size) <= longest else long_side_size(size, longest)


def shrunk(image: Image, size: int) -> Image:
    """The image with a long side of `size`, by area; as it is where that is no longer."""
    height, width = image.shape[:2]
    if max(height, width) <= size:
        return image
    height, width = long_side_size((height, width), size)
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def scaled_labels(labelled: LabelledImage, size: tuple[int, int]) -> LabelledImage:
    """What is known of an image, when its (height, width) is another."""
    if labelled.size == size:
        return labelled
    y, x = size[0] / labelled.size[0], size[1] / labelled.size[1]
    scale = np.array((x, y), np.float32)
    return replace(
        labelled,
        size=size,
        boxes=labelled.boxes * np.tile(scale, 2),
        areas=labelled.areas * (x * y),
        polygons=tuple(None if outline is None else outline * scale for outline in labelled.polygons),
    )
