"""Images of any shape -> images that a network takes: scaled and padded, with the way back for boxes."""

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
"""The padding's colour, in all three channels."""


def letterbox(
    image: Image, size: int | tuple[int, int], *, stride: int | None = None, centred: bool = True
) -> tuple[Image, Letterbox]:
    """Fit an image into a size, up or down, and pad it with grey: how prediction prepares images.

    Args:
        image: uint8 (h, w, 3).
        size: longest side of the result, or (height, width) of the rectangle to fit into.
        stride: pad only to the next multiple of it, the smallest rectangle; to the full size where not given.
        centred: pad on all sides, half each; else on the right and below only (ADR 0004).

    Returns:
        uint8 (H, W, 3), a new array, and how to map boxes back.
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
    """Scale an image's long side to `size` and pad it to the shape that its batch shares.

    As the published COCO numbers were measured: area interpolation when shrinking, the short side truncated.

    Args:
        image: uint8 (h, w, 3).
        size: the long side, up or down.
        shape: (height, width) of the batch (`data.rectangular`); a square where not given.

    Returns:
        uint8 (H, W, 3), a new array, and how to map boxes back.
    """
    height, width = shape or (size, size)
    _check_sizes(image, height, width)
    inner = long_side_size(image.shape[:2], size)
    # An image whose real shape is not what its data set says may not fit the batch's rectangle.
    ratio = min(1.0, height / inner[0], width / inner[1])
    if ratio < 1:
        inner = max(1, round(inner[0] * ratio)), max(1, round(inner[1] * ratio))
    shrinks = inner[0] * inner[1] < image.shape[0] * image.shape[1]
    return _place(image, inner, (height, width), cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def released_way_back(box: Letterbox) -> Letterbox:
    """The way back that the released evaluation takes, by which the published numbers were measured.

    One scale for both axes, that of the height; and the padding unrounded, though whole pixels were put
    there: half a pixel of the network off wherever the padding is odd.

    Args:
        box: how the image was letterboxed (`letterbox_evaluation`).
    """
    (height, width), (source_height, source_width) = box.size, box.source_size
    inner_height, inner_width = round(source_height * box.scale[1]), round(source_width * box.scale[0])
    padding = (width - inner_width) / 2, (height - inner_height) / 2
    return replace(box, scale=(box.scale[1], box.scale[1]), padding=padding)


def whole_strides(size: int, stride: int) -> int:
    """An image size as a network takes it: rounded up to a multiple of its largest stride, which is said.

    Raises:
        UsageError: it is no whole number, or less than the stride.

    >>> whole_strides(640, 32)
    640
    """
    check_whole("image size in pixels", size, least=stride)
    rounded = math.ceil(size / stride) * stride
    if rounded != size:
        _LOG.warning("an image size of %d is no multiple of %d: %d is taken", size, stride, rounded)
    return rounded


def long_side_size(source_size: Sequence[int], size: int) -> tuple[int, int]:
    """(height, width) of an image whose long side becomes `size`; the short side is truncated, at least 1."""
    height, width = source_size
    long_side = max(height, width)
    return max(1, height * size // long_side), max(1, width * size // long_side)


def share_shape(
    prepared: Sequence[tuple[Image, Letterbox]], *, centred: bool = True
) -> tuple[list[Image], list[Letterbox]]:
    """Pad letterboxed images to the smallest rectangle that holds them all, so that they fit in one batch."""
    shape = (
        max(image.shape[0] for image, _ in prepared),
        max(image.shape[1] for image, _ in prepared),
    )
    images, boxes = [], []
    for image, box in prepared:
        if image.shape[:2] != shape:
            top, left = _offset(image.shape[:2], shape, centred)
            canvas = np.full((*shape, 3), GREY, np.uint8)
            canvas[top : top + image.shape[0], left : left + image.shape[1]] = image
            image, box = (
                canvas,
                replace(box, size=shape, padding=(box.padding[0] + left, box.padding[1] + top)),
            )
        images.append(image)
        boxes.append(box)
    return images, boxes


def to_tensor(images: Sequence[Image]) -> Tensor:
    """Images of one shape (H, W, 3) -> uint8 (B, 3, H, W), channels last in memory; one is not copied."""
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
    """The image scaled to `inner`, on a grey canvas of `outer`, both (height, width)."""
    canvas = np.empty((*outer, 3), np.uint8)
    top, left = _offset(inner, outer, centred)
    bottom, right = top + inner[0], left + inner[1]
    canvas[:top], canvas[bottom:] = GREY, GREY
    canvas[top:bottom, :left], canvas[top:bottom, right:] = GREY, GREY
    if inner == image.shape[:2]:
        canvas[top:bottom, left:right] = image
    else:
        # Written straight into the canvas: OpenCV takes the view as its output.
        cv2.resize(image, inner[::-1], dst=canvas[top:bottom, left:right], interpolation=interpolation)
    height, width = image.shape[:2]
    return canvas, Letterbox((height, width), outer, (inner[1] / width, inner[0] / height), (left, top))


def _offset(inner: Sequence[int], outer: Sequence[int], centred: bool) -> tuple[int, int]:
    """(top, left) of an image on its canvas: of an odd padding the smaller half comes first."""
    return ((outer[0] - inner[0]) // 2, (outer[1] - inner[1]) // 2) if centred else (0, 0)
