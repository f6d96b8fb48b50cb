"""Scaling and padding of images to a network's input size, and the map back for boxes."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
import torch
from torch import Tensor

from yolov7.errors import UsageError
from yolov7.thresholds import check_whole
from yolov7.types import Image, Letterbox

_LOG = logging.getLogger(__name__)

GREY = 114
"""Colour of the padding, in all three channels."""


def letterbox(
    image: Image, size: int | tuple[int, int], *, stride: int | None = None, centred: bool = True
) -> tuple[Image, Letterbox]:
    """Scale an image up or down to fit into a size, and pad it with grey: the preparation for prediction.

    Args:
        image: uint8 (h, w, 3).
        size: side of a square, or (height, width) of a rectangle, to fit the image into.
        stride: pad only to the next multiple of the stride, not to the full size.
        centred: pad on both sides equally; otherwise only on the right and below (ADR 0004).

    Returns:
        uint8 (H, W, 3), a new array, and its letterbox, which maps boxes back.

    Raises:
        UsageError: the image is not uint8 (h, w, 3), or a size is not positive.

    >>> image, box = letterbox(np.zeros((30, 40, 3), np.uint8), 64, stride=32)
    >>> image.shape, box.padding
    ((64, 64, 3), (0, 8))
    """
    height, width = (size, size) if isinstance(size, int) else size
    source_height, source_width = image.shape[:2]
    _check_sizes(image, height, width)
    ratio = min(height / source_height, width / source_width)
    inner = max(1, round(source_height * ratio)), max(1, round(source_width * ratio))
    if stride is not None:
        height, width = (math.ceil(side / stride) * stride for side in inner)
    return _place(image, inner, (height, width), cv2.INTER_LINEAR, centred=centred)


def letterbox_evaluation(
    image: Image, size: int, shape: tuple[int, int] | None = None
) -> tuple[Image, Letterbox]:
    """Scale the long side of an image to `size`, and pad it to the shape of its batch.

    The published COCO numbers were measured like this: images are shrunk by area interpolation, and the short
    side is rounded down.

    Args:
        image: uint8 (h, w, 3).
        size: long side, pixels.
        shape: (height, width) of the batch (`images.rectangular`); a square by default.

    Returns:
        uint8 (H, W, 3), a new array, and its letterbox.

    Raises:
        UsageError: see `letterbox`.
    """
    height, width = shape or (size, size)
    _check_sizes(image, height, width)
    inner = long_side_size(image.shape[:2], size)
    # An image whose shape differs from the data set's record may not fit into the batch.
    ratio = min(1.0, height / inner[0], width / inner[1])
    if ratio < 1:
        inner = max(1, round(inner[0] * ratio)), max(1, round(inner[1] * ratio))
    shrinks = inner[0] * inner[1] < image.shape[0] * image.shape[1]
    return _place(image, inner, (height, width), cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def released_way_back(box: Letterbox) -> Letterbox:
    """Letterbox that maps boxes back as in the evaluation that gave the published numbers.

    It uses the vertical scale for both axes, and halves odd paddings although whole pixels are padded: boxes
    are then off by half a pixel of the network's input. `box` is the exact one of `letterbox_evaluation`.
    """
    (height, width), (source_height, source_width) = box.size, box.source_size
    inner_height, inner_width = round(source_height * box.scale[1]), round(source_width * box.scale[0])
    padding = (width - inner_width) / 2, (height - inner_height) / 2
    return replace(box, scale=(box.scale[1], box.scale[1]), padding=padding)


def whole_strides(size: int, stride: int) -> int:
    """Round an image size up to a multiple of the network's largest stride, with a warning if it changes.

    Raises:
        UsageError: the size is not a whole number, or is less than the stride.

    >>> whole_strides(640, 32)
    640
    """
    check_whole("image size in pixels", size, least=stride)
    rounded = math.ceil(size / stride) * stride
    if rounded != size:
        _LOG.warning("image size %d is not a multiple of %d: rounded up to %d", size, stride, rounded)
    return rounded


def long_side_size(source_size: Sequence[int], size: int) -> tuple[int, int]:
    """(height, width) after scaling the long side to `size`; the short side is rounded down, at least 1.

    >>> long_side_size((333, 500), 640)
    (426, 640)
    """
    height, width = source_size
    long_side = max(height, width)
    return max(1, height * size // long_side), max(1, width * size // long_side)


def share_shape(
    prepared: Sequence[tuple[Image, Letterbox]], *, centred: bool = True
) -> tuple[list[Image], list[Letterbox]]:
    """Pad letterboxed images to the smallest shape that holds them all, so that they form a batch."""
    height, width = (max(image.shape[axis] for image, _ in prepared) for axis in (0, 1))
    images, boxes = [], []
    for image, box in prepared:
        if image.shape[:2] != (height, width):
            left, top = box.padding
            image, outer = _place(image, image.shape[:2], (height, width), cv2.INTER_LINEAR, centred=centred)
            padding = left + outer.padding[0], top + outer.padding[1]
            box = replace(box, size=(height, width), padding=padding)
        images.append(image)
        boxes.append(box)
    return images, boxes


def to_tensor(images: Sequence[Image]) -> Tensor:
    """Stack images of one shape. (H, W, 3) each -> uint8 (B, 3, H, W), channels last in memory.

    A single image is not copied.

    Raises:
        UsageError: there is no image, or they differ in shape.
    """
    if len({image.shape for image in images}) != 1:
        raise UsageError(
            "a batch needs images of one shape", found=sorted({image.shape for image in images}) or "none"
        )
    stacked = images[0][np.newaxis] if len(images) == 1 else np.stack(images)
    return torch.from_numpy(np.require(stacked, requirements=["C", "W"])).permute(0, 3, 1, 2)


def _check_sizes(image: Image, height: int, width: int) -> None:
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
        raise UsageError("not an image", expected="uint8 (H, W, 3)", found=f"{image.dtype} {image.shape}")
    if height < 1 or width < 1:
        raise UsageError("a size must be positive", found=f"{height} x {width}")


def _place(
    image: Image,
    inner: tuple[int, int],
    outer: tuple[int, int],
    interpolation: int,
    *,
    centred: bool = True,
) -> tuple[Image, Letterbox]:
    """Scale an image to `inner` and place it on a grey canvas of `outer`, both (height, width)."""
    canvas = np.empty((*outer, 3), image.dtype)
    grey = GREY if image.dtype == np.uint8 else GREY / 255  # floats are in [0, 1]
    # If the padding is odd, the smaller half comes first.
    top, left = ((outer[0] - inner[0]) // 2, (outer[1] - inner[1]) // 2) if centred else (0, 0)
    bottom, right = top + inner[0], left + inner[1]
    canvas[:top], canvas[bottom:] = grey, grey
    canvas[top:bottom, :left], canvas[top:bottom, right:] = grey, grey
    if inner == image.shape[:2]:
        canvas[top:bottom, left:right] = image
    else:
        # Resized straight into the canvas.
        cv2.resize(image, inner[::-1], dst=canvas[top:bottom, left:right], interpolation=interpolation)
    height, width = image.shape[:2]
    return canvas, Letterbox((height, width), outer, (inner[1] / width, inner[0] / height), (left, top))
