"""Test-time augmentation: each image is also seen mirrored at 0.83 of its size, and at 0.67."""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np

from yolov7.inference.pipeline import View
from yolov7.types import Letterbox

SCALES = ((0.83, True), (0.67, False))
"""(scale, mirrored) of the further views."""
GREY = 0.447
"""Padding of the further views: the mean of ImageNet, 114 of 255."""


def augmented(view: View, stride: int) -> list[View]:
    """A view and its scaled copies, padded right and below to multiples of the stride.

    Args:
        view: uint8 canvas (H, W, 3).
        stride: stride of the network, pixels.
    """
    pixels = view.canvas.astype(np.float32) / 255
    views = [view]
    for scale, mirrored in SCALES:
        inner = [int(side * scale) for side in pixels.shape[:2]]
        outer = [math.ceil(side * scale / stride) * stride for side in pixels.shape[:2]]
        canvas = np.full((*outer, 3), GREY, np.float32)
        source = cv2.flip(pixels, 1) if mirrored else pixels
        cv2.resize(source, inner[::-1], dst=canvas[: inner[0], : inner[1]], interpolation=cv2.INTER_LINEAR)
        views.append(View(canvas, _scaled(view, (outer[0], outer[1]), scale, mirrored=mirrored)))
    return views


def _scaled(view: View, size: tuple[int, int], scale: float, *, mirrored: bool) -> Letterbox:
    """Letterbox of a scaled copy; the horizontal scale is negative if the copy is mirrored."""
    (x, y), (left, top) = view.letterbox.scale, view.letterbox.padding
    if mirrored:
        x, left = -x, view.canvas.shape[1] - left
    return replace(
        view.letterbox, size=size, scale=(x * scale, y * scale), padding=(left * scale, top * scale)
    )
