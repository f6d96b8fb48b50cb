"""Path from images to detections, shared by prediction, evaluation and all comparisons.

    image ─ prepare ─> views ─ infer ─> rows in pixels of the first view ─ select ─> detections in the image

A view is a canvas that shows an image to the network, with the mapping of boxes back to the image. Plain
prediction has one view per image; test-time augmentation adds others. Their rows are merged before NMS.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from yolov7.images.letterbox import letterbox, share_shape, to_tensor
from yolov7.inference.backend import Backend
from yolov7.layout import RowLayout
from yolov7.nms import non_max_suppression
from yolov7.thresholds import Thresholds
from yolov7.types import Detections, Image, Letterbox

_FURTHER_VIEWS = ((0.83, True), (0.67, False))
"""(scale, mirrored) of the views that test-time augmentation adds."""
_GREY = 0.447
"""Padding of the further views: the mean of ImageNet, 114 of 255."""


class View(NamedTuple):
    """Canvas (H, W, 3), uint8 or float32 in [0, 1], and the letterbox that maps boxes to the image."""

    canvas: npt.NDArray[Any]
    letterbox: Letterbox


class ImageRows(NamedTuple):
    """Decoded rows (N, 5 + C) of one image, in pixels of a canvas, and the canvas's letterbox."""

    rows: Tensor
    letterbox: Letterbox


def prepare(
    image: Image, size: int, stride: int, shape: tuple[int, int] | None = None, *, centred: bool = False
) -> View:
    """Letterbox an image for a network.

    Args:
        image: uint8 (H, W, 3) RGB.
        size: longest side of the canvas, pixels.
        stride: the canvas is padded to the next multiples of this.
        shape: (height, width) of the canvas, if the network takes only one.
        centred: pad on all sides instead of right and below.

    >>> import numpy as np
    >>> prepare(np.zeros((300, 400, 3), np.uint8), 640, 32).canvas.shape
    (480, 640, 3)
    """
    return View(*letterbox(image, shape or size, stride=None if shape else stride, centred=centred))


def augmented(view: View, stride: int) -> list[View]:
    """A view with uint8 canvas, and its scaled copies, padded right and below to multiples of the stride."""
    pixels = view.canvas.astype(np.float32) / 255
    height, width = pixels.shape[:2]
    views = [view]
    for scale, mirrored in _FURTHER_VIEWS:
        inner = int(height * scale), int(width * scale)
        size = math.ceil(height * scale / stride) * stride, math.ceil(width * scale / stride) * stride
        canvas = np.full((*size, 3), _GREY, np.float32)
        source = cv2.flip(pixels, 1) if mirrored else pixels
        cv2.resize(source, inner[::-1], dst=canvas[: inner[0], : inner[1]], interpolation=cv2.INTER_LINEAR)
        (x, y), (left, top) = view.letterbox.scale, view.letterbox.padding
        if mirrored:  # boxes too, by a negative scale
            x, left = -x, width - left
        scales, padding = (x * scale, y * scale), (left * scale, top * scale)
        views.append(View(canvas, replace(view.letterbox, size=size, scale=scales, padding=padding)))
    return views


def batched(views: Sequence[View], *, centred: bool = False) -> tuple[Tensor, list[Letterbox]]:
    """Pad views to the smallest shape that holds them all. -> (B, 3, H, W), and the letterbox of each."""
    canvases, letterboxes = share_shape(views, centred=centred)
    return to_tensor(canvases), letterboxes


def infer(
    backend: Backend, images: Sequence[Sequence[View]], objectness: float, *, centred: bool = False
) -> list[ImageRows]:
    """Run a network on the views of several images, and merge the rows of each image.

    Args:
        backend: the network.
        images: views of each image, the same number for all. First views form a batch, second views another.
        objectness: only rows above this are wanted.
        centred: pad on all sides where views differ in shape.

    Returns:
        Per image its rows, in pixels of its first view.
    """
    by_view = []
    for views in zip(*images, strict=True):
        tensor, letterboxes = batched(views, centred=centred)
        rows = backend(tensor, objectness)
        by_view.append([ImageRows(*one) for one in zip(rows, letterboxes, strict=True)])
    return [_merged(*views) for views in zip(*by_view, strict=True)]


def select(
    images: Sequence[ImageRows],
    thresholds: Thresholds,
    names: Sequence[str],
    layout: RowLayout,
    *,
    multi_label: bool = False,
) -> list[Detections]:
    """Detections of each image, in its own pixels, by NMS.

    With `multi_label` a row may become a detection of several classes, as in evaluation.
    """
    found = non_max_suppression(
        [one.rows for one in images],
        thresholds.conf,
        thresholds.iou,
        multi_label=multi_label,
        classes=thresholds.labels(names),
        agnostic=thresholds.agnostic,
        max_detections=thresholds.max_detections,
        layout=layout,
    )
    return [
        Detections.from_tensors(*scored, names).to_source(one.letterbox)
        for scored, one in zip(found, images, strict=True)
    ]


def _merged(first: ImageRows, *others: ImageRows) -> ImageRows:
    """All rows of an image, in pixels of its first view."""
    if not others:
        return first
    moved = [_moved(other, first.letterbox) for other in others]
    return ImageRows(torch.cat((first.rows, *moved)), first.letterbox)


def _moved(found: ImageRows, to: Letterbox) -> Tensor:
    """Rows (N, 5 + C) of one view, in pixels of another view of the same image."""
    rows, origin = found.rows.clone(), found.letterbox
    for axis in (0, 1):
        scale = to.scale[axis] / origin.scale[axis]  # negative if one of them is mirrored
        rows[:, axis] = (rows[:, axis] - origin.padding[axis]) * scale + to.padding[axis]
        rows[:, axis + 2] *= abs(scale)
    return rows
