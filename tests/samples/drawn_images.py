"""Images whose labels can be read off their pixels: white discs on black, with boxes and polygons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np

from yolov7.data.labels import LabelledImage
from yolov7.types import Image, Sample

WHITE = 255


def disc_image(
    index: int,
    size: tuple[int, int],
    discs: Sequence[tuple[float, float, float]],
    *,
    with_polygons: bool = True,
    background: int = 0,
) -> Sample:
    """Image (height, width) with discs (x, y, radius), labelled by their numbers."""
    fine = 8
    canvas = np.full((size[0] * fine, size[1] * fine), background, np.uint8)
    angles = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    circle = np.stack((np.cos(angles), np.sin(angles)), axis=1)
    polygons = [(circle * radius + (x, y)).astype(np.float32) for x, y, radius in discs]
    for polygon in polygons:
        cv2.fillPoly(canvas, [np.round(polygon * fine - 0.5).astype(np.int32)], WHITE)
    grey = cv2.resize(canvas, size[::-1], interpolation=cv2.INTER_AREA)
    image: Image = np.repeat(np.asarray(grey, np.uint8)[..., None], 3, axis=2)
    image.setflags(write=False)
    boxes = [np.concatenate((polygon.min(axis=0), polygon.max(axis=0))) for polygon in polygons]
    return Sample(
        image=image,
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        labels=np.arange(len(discs)),
        image_id=f"image {index}",
        polygons=tuple(polygons) if with_polygons else (),
    )


@dataclass
class Drawn:
    """Source of samples in memory that records which images were read."""

    samples: Sequence[Sample]
    read: list[int] = field(default_factory=list)

    @property
    def images(self) -> list[LabelledImage]:
        return [
            LabelledImage(
                path=Path("none"),
                image_id=sample.image_id,
                size=sample.image.shape[:2],
                boxes=sample.boxes,
                labels=sample.labels,
                crowds=np.zeros(len(sample.boxes), np.bool_) if sample.crowds is None else sample.crowds,
                areas=np.zeros(len(sample.boxes)),
                polygons=sample.polygons,
            )
            for sample in self.samples
        ]

    def pixels(self, index: int) -> Image:
        return self[index].image

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Sample:
        self.read.append(index)
        return self.samples[index]


def random_discs(
    rng: np.random.Generator, count: int, *, with_polygons: bool = True, noise: bool = False
) -> Drawn:
    """Images of random sizes with a few discs each, far from each other and from the edges."""
    samples = []
    for index in range(count):
        height, width = rng.integers(100, 240, 2).tolist()
        radius = min(height, width) / 10
        columns, rows = int(width // (4 * radius)), int(height // (4 * radius))
        places = [
            (4 * radius * (i + 0.5), 4 * radius * (j + 0.5)) for i in range(columns) for j in range(rows)
        ]
        chosen = rng.permutation(len(places))[: int(rng.integers(1, len(places) + 1))].tolist()
        discs = [(*places[i], radius * rng.uniform(0.5, 1)) for i in chosen]
        sample = disc_image(index, (height, width), discs, with_polygons=with_polygons)
        if noise:
            image = cv2.resize(rng.integers(0, 256, (9, 9, 3), np.uint8), (width, height))
            sample = replace(sample, image=np.asarray(image, np.uint8))
        samples.append(sample)
    return Drawn(samples)
