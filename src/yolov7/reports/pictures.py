"""Pictures of a run's page: training samples with their boxes, assigned cells, and objectness maps."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from yolov7.assign.guidance import Assigner
from yolov7.data.dataset import Dataset
from yolov7.data.labels import LabelledImage
from yolov7.drawing import caption, class_colour, draw_boxes, line_width
from yolov7.errors import SourceError
from yolov7.files import write_file
from yolov7.images.letterbox import to_tensor
from yolov7.images.reading import read_image
from yolov7.inference.pipeline import prepare
from yolov7.layout import OBJECTNESS
from yolov7.models.detector import Detector
from yolov7.results.output import encoded
from yolov7.types import Assignment, Batch, Image, Predictions, Targets

Picture = tuple[str, str, Image]
"""Heading, caption, uint8 (H, W, 3) RGB."""

_MAPS = 3
"""Images with objectness maps."""
_GROUND, _GAP = 32, 6
"""Grey level between pictures, and their distance in pixels."""


@torch.no_grad()
def gallery(
    model: Detector, assigner: Assigner, batch: Batch, shown: Dataset, names: Sequence[str], size: int
) -> list[Picture]:
    """Draw augmented samples, the positives that an assigner gives them, and objectness maps.

    Args:
        model: network in training form, on any device; left in evaluation mode.
        shown: data set for the objectness maps, of which the images with the most objects are drawn.
        size: side of the images, pixels.
    """
    model.eval()
    assert batch.targets is not None
    predictions = model(batch.images.to(model.anchors.device).float().div_(255))
    lead, auxiliary = assigner(predictions, batch.targets)
    columns = {"lead": lead} if auxiliary is None else {"lead, fine": lead, "auxiliary, coarse": auxiliary}
    samples = (
        "Samples",
        "Augmented input of the network: boxes should fit their objects tightly.",
        draw_samples(batch, names),
    )
    positives = (
        "Positives",
        "Cells whose predictions are trained on each object; an object without any teaches nothing.",
        draw_positives(batch, columns, model.strides),
    )
    seen = "Fine levels detect small objects, coarse ones large. Auxiliary heads, if any, are below."
    maps = (seen_objectness(model, image, size) for image in islice(_sound_images(shown.images), _MAPS))
    return [samples, positives, *(("Objectness", seen, image) for image in maps)]


def write_pictures(directory: Path, pictures: Sequence[Picture]) -> None:
    """Write samples.jpg, positives.jpg, objectness-1.jpg and so on.

    Raises:
        OutputError: a file cannot be written.
    """
    headings = [heading.lower() for heading, _, _ in pictures]
    for number, (name, (_, _, image)) in enumerate(zip(headings, pictures, strict=True), start=1):
        count = f"-{headings[:number].count(name)}" if headings.count(name) > 1 else ""
        write_file(directory / f"{name}{count}.jpg", encoded(image, ".jpg"))


def _sound_images(images: Sequence[LabelledImage]) -> Iterator[Image]:
    """Pixels of the images that can be read, those with the most objects first."""
    for labelled in sorted(images, key=len, reverse=True):
        try:
            image = read_image(labelled.path)
        except SourceError:
            continue
        yield np.ascontiguousarray(image)


def draw_samples(batch: Batch, names: Sequence[str], *, limit: int = 16, width: int = 1280) -> Image:
    """Draw the first `limit` images of a training batch, on any device, with their boxes, side by side.

    The whole picture is `width` pixels wide; `names` are class names by label.
    """
    count = min(limit, len(batch.images))
    columns = math.ceil(math.sqrt(count))
    tiles = []
    for index in range(count):
        image, boxes, labels = _sample(batch, index, width // columns)
        order = np.argsort((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))  # small ones on top
        texts = [names[label] if 0 <= label < len(names) else str(label) for label in labels[order]]
        tiles.append(draw_boxes(image, boxes[order], texts, labels[order]))
    return sheet(tiles, columns)


def draw_positives(
    batch: Batch,
    assignments: Mapping[str, Assignment],
    strides: Sequence[int],
    *,
    limit: int = 3,
    width: int = 1280,
) -> Image:
    """Draw the cells with positives: a row per image, a column per assignment.

    A dot is a cell with at least one positive. It lies at the cell's centre, is larger on coarser levels, and
    has the colour of its ground truth (of the last one, if there are several). The number counts positive
    predictions (cells times anchors).

    Args:
        batch: training samples with targets, on any device.
        assignments: column title -> assignment, such as ``{"lead": ..., "auxiliary": ...}``.
        limit: most images; those with the most objects are drawn.
        width: width of the whole picture, pixels.

    Paper: Sec. 4.2, Fig. 5.
    """
    targets = _targets(batch)
    per_image = torch.bincount(targets.image_index.cpu(), minlength=len(batch.images))
    chosen = torch.argsort(per_image, descending=True, stable=True)[:limit].sort().values.tolist()
    side = width // max(1, len(assignments))
    tiles = []
    for index in chosen:
        image, boxes, _ = _sample(batch, index, side)
        mine = (targets.image_index.cpu() == index).nonzero().flatten()
        numbers = {int(target): number for number, target in enumerate(mine)}
        dimmed = (0.55 * image).astype(np.uint8)
        scale = image.shape[1] / batch.images.shape[3]
        for name, assignment in assignments.items():
            tile = draw_boxes(dimmed, boxes, [""] * len(boxes), range(len(boxes)))
            here = assignment.image.cpu() == index
            _draw_cells(tile, assignment, here, strides, scale, numbers)
            tiles.append(captioned(tile, f"{name}: {int(here.sum())} positives"))
    return sheet(tiles, len(assignments))


@torch.no_grad()
def seen_objectness(model: Detector, image: Image, size: int) -> Image:
    """Run a network, in evaluation mode, and draw the `objectness_maps` of its heads.

    The image, uint8 (H, W, 3) RGB, is scaled to a longest side of `size` pixels.
    """
    canvas = prepare(image, size, model.strides[-1]).canvas
    return objectness_maps(model(to_tensor([canvas]).to(model.anchors.device).float().div_(255)), canvas)


def objectness_maps(predictions: Predictions, image: Image, *, index: int = 0, width: int = 1280) -> Image:
    """Draw the objectness of each level over the picture: lead heads above, auxiliary heads below.

    Heat is the highest objectness of a cell's anchors, on one scale from 0 (black) to 1 (white).

    Args:
        image: input of the network at this index of the batch, uint8 (H, W, 3) RGB.
        width: width of the whole picture, pixels.

    Paper: Sec. 5.4.3, Fig. 8.
    """
    levels = len(predictions.lead)
    side = width // levels
    height = max(1, round(side * image.shape[0] / image.shape[1]))
    small = cv2.resize(image, (side, height), interpolation=cv2.INTER_AREA)
    grey = cv2.cvtColor(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    tiles = []
    for name, head in (("lead", predictions.lead), ("auxiliary", predictions.aux)):
        for logits in head:
            objectness = logits[index, ..., OBJECTNESS].detach().float().sigmoid()  # (A, H, W)
            heat = objectness.amax(dim=0).cpu().numpy()
            stride = round(image.shape[1] / heat.shape[1])
            tile = _heated(grey.astype(np.uint8, copy=False), heat)
            tiles.append(captioned(tile, f"{name}, stride {stride}: at most {heat.max():.2f}"))
    return sheet(tiles, levels)


def _sample(
    batch: Batch, index: int, width: int
) -> tuple[Image, npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Image of a batch scaled to a width, its boxes (N, 4) and labels (N,)."""
    pixels = batch.images[index].detach().cpu()
    if pixels.is_floating_point():
        pixels = (pixels.float() * 255).round().clamp(0, 255).to(torch.uint8)
    image = np.ascontiguousarray(pixels.permute(1, 2, 0).numpy())
    scale = width / image.shape[1]
    size = (width, max(1, round(image.shape[0] * scale)))
    image = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    targets = _targets(batch)
    mine = targets.image_index.cpu() == index
    boxes = targets.boxes.detach().float().cpu()[mine].numpy() * np.float32(scale)
    return image.astype(np.uint8, copy=False), boxes, targets.labels.cpu()[mine].numpy()


def _targets(batch: Batch) -> Targets:
    if batch.targets is not None:
        return batch.targets
    none = torch.zeros(0, dtype=torch.int64)
    return Targets(none, torch.zeros(0, 4), none)


def _draw_cells(
    tile: Image,
    assignment: Assignment,
    here: Tensor,
    strides: Sequence[int],
    scale: float,
    numbers: Mapping[int, int],
) -> None:
    """Draw dots at the cells of one image, coarse levels first because their dots are larger."""
    columns = (assignment.level, assignment.row, assignment.column, assignment.target)
    places = torch.stack([column.cpu()[here] for column in columns], dim=1).tolist()
    cells = {(level, row, column): target for level, row, column, target in places}
    thickness = round(line_width(*tile.shape[:2]))
    for (level, row, column), target in sorted(cells.items(), reverse=True):
        stride = strides[level]
        centre = (round((column + 0.5) * stride * scale), round((row + 0.5) * stride * scale))
        radius = max(thickness + 1, round(0.3 * stride * scale))
        colour = class_colour(numbers[target])
        cv2.circle(tile, centre, radius + max(1, thickness // 2), (255, 255, 255), -1, cv2.LINE_AA)
        cv2.circle(tile, centre, radius, colour, -1, cv2.LINE_AA)


def _heated(grey: Image, heat: npt.NDArray[np.float32]) -> Image:
    """Overlay heat (h, w) in [0, 1] on a grey picture."""
    height, width = grey.shape[:2]
    even = cv2.resize(heat, (width, height), interpolation=cv2.INTER_LINEAR)[..., None]
    # The square root makes low objectness visible: a head's first responses are far below 0.5.
    shade = np.sqrt(np.clip(even, 0, 1))
    colours = cv2.applyColorMap((255 * shade).round().astype(np.uint8), cv2.COLORMAP_INFERNO)
    opacity = 0.25 + 0.6 * shade
    mixed = (1 - opacity) * 0.7 * grey + opacity * colours[..., ::-1]
    return mixed.round().astype(np.uint8)


def captioned(tile: Image, text: str) -> Image:
    """Add a frame, and a line of text at the top left."""
    height, width = tile.shape[:2]
    framed = draw_boxes(tile, np.array([[0, 0, width - 1, height - 1]]), [""], [4])
    return caption(framed, text, class_colour(4))


def sheet(tiles: Sequence[Image], columns: int) -> Image:
    """Arrange pictures in rows."""
    if not tiles:
        return np.full((1, 1, 3), _GROUND, np.uint8)
    rows = [tiles[start : start + columns] for start in range(0, len(tiles), columns)]
    width = max(sum(tile.shape[1] for tile in row) + _GAP * (len(row) - 1) for row in rows)
    heights = [max(tile.shape[0] for tile in row) for row in rows]
    whole = np.full((sum(heights) + _GAP * (len(rows) - 1), width, 3), _GROUND, np.uint8)
    top = 0
    for row, height in zip(rows, heights, strict=True):
        left = 0
        for tile in row:
            whole[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
            left += tile.shape[1] + _GAP
        top += height + _GAP
    return whole
