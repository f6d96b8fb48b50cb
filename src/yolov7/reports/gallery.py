"""Pictures of a run's page: training samples, positives and objectness maps."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from yolov7.assign.guidance import Assigner
from yolov7.data.dataset import Dataset
from yolov7.data.labels import LabelledImage
from yolov7.errors import SourceError
from yolov7.files import write_file
from yolov7.images.reading import read_image
from yolov7.models.detector import Detector
from yolov7.reports.pictures import draw_positives, draw_samples, seen_objectness
from yolov7.results.output import encoded
from yolov7.types import Batch, Image

Picture = tuple[str, str, Image]
"""Heading, caption, uint8 (H, W, 3) RGB."""

_MAPS = 3


@torch.no_grad()
def gallery(
    model: Detector, assigner: Assigner, batch: Batch, shown: Dataset, names: Sequence[str], size: int
) -> list[Picture]:
    """Draw augmented samples, the positives assigned to them, and objectness maps.

    Args:
        model: network in training form, on any device; left in evaluation mode.
        assigner: assigner of the run.
        batch: training samples.
        shown: data set for the objectness maps, of which the images with the most objects are drawn.
        names: class names by label.
        size: side of the images, pixels.
    """
    device = model.anchors.device
    model.eval()
    pictures = [
        (
            "Samples",
            "Augmented input of the network: boxes should fit their objects tightly.",
            draw_samples(batch, names),
        )
    ]
    assert batch.targets is not None
    predictions = model(batch.images.to(device).float().div_(255))
    lead, auxiliary = assigner(predictions, batch.targets)
    columns = {"lead": lead} if auxiliary is None else {"lead, fine": lead, "auxiliary, coarse": auxiliary}
    pictures.append(
        (
            "Positives",
            "Cells whose predictions are trained on each object; an object without any teaches nothing.",
            draw_positives(batch, columns, model.strides),
        )
    )
    for image in _sound_images(shown.images):
        pictures.append(
            (
                "Objectness",
                "Fine levels detect small objects, coarse ones large. Auxiliary heads, if any, are below.",
                seen_objectness(model, image, size),
            )
        )
    return pictures


def write_pictures(directory: Path, pictures: Sequence[Picture]) -> None:
    """Write samples.jpg, positives.jpg, objectness-1.jpg and so on.

    Raises:
        OutputError: a file cannot be written.
    """
    headings = [heading for heading, _, _ in pictures]
    for number, (heading, _, image) in enumerate(pictures):
        name = re.sub(r"\W+", "-", heading.lower())
        if headings.count(heading) > 1:
            name += f"-{headings[: number + 1].count(heading)}"
        write_file(directory / f"{name}.jpg", encoded(image, ".jpg"))


def _sound_images(images: Sequence[LabelledImage]) -> list[Image]:
    found: list[Image] = []
    for labelled in sorted(images, key=len, reverse=True):
        if len(found) == _MAPS:
            break
        try:
            found.append(np.ascontiguousarray(read_image(labelled.path)))
        except SourceError:
            continue
    return found
