"""Test-time augmentation: the image also mirrored at 0.83 of its size, and at 0.67; all rows go to NMS."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from yolov7.errors import UsageError
from yolov7.inference.backend import Backend
from yolov7.layout import BOX

VIEWS = ((1.0, False), (0.83, True), (0.67, False))
"""(scale, mirrored) of each view."""

GREY = 0.447
"""The padding of scaled views: the mean of ImageNet, 114 of 255."""


class Augmented:
    """A backend that looks at each image three times. It fulfils the same protocol.

    Args:
        backend: what runs the network.

    Raises:
        UsageError: it takes images of one size only.
    """

    def __init__(self, backend: Backend) -> None:
        if backend.shape is not None:
            raise UsageError("images of several scales need a network that takes images of any size")
        self.backend = backend
        self.stride, self.layout = backend.stride, backend.layout
        self.shape: tuple[int, int] | None = None
        self.variant, self.runtime = backend.variant, backend.runtime

    def __call__(self, images: Tensor, objectness: float) -> tuple[Tensor, ...]:
        width = images.shape[-1]
        found: list[list[Tensor]] = [[] for _ in images]
        for scale, mirrored in VIEWS:
            view = self._view(images, scale, mirrored)
            for rows_of_image, rows in zip(found, self.backend(view, objectness), strict=True):
                rows = rows.clone()
                rows[:, BOX] /= scale
                if mirrored:
                    rows[:, 0] = width - rows[:, 0]
                rows_of_image.append(rows)
        return tuple(torch.cat(rows) for rows in found)

    def _view(self, images: Tensor, scale: float, mirrored: bool) -> Tensor:
        """(B, 3, H, W) -> the scaled view, padded right and below to a multiple of the stride."""
        if scale == 1:
            return images
        pixels = images.float() / 255 if images.dtype == torch.uint8 else images.float()
        if mirrored:
            pixels = pixels.flip(3)
        inner = [int(side * scale) for side in images.shape[2:]]
        outer = [math.ceil(side * scale / self.stride) * self.stride for side in images.shape[2:]]
        pixels = F.interpolate(pixels, size=inner, mode="bilinear", align_corners=False)
        padding = (0, outer[1] - inner[1], 0, outer[0] - inner[0])
        return F.pad(pixels, padding, value=GREY).contiguous(memory_format=torch.channels_last)
