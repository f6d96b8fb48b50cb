"""Conversion of Pillow images of any mode to RGB."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import PIL.Image

from yolov7.errors import SourceError
from yolov7.types import Image

_STRIP_PIXELS = 1 << 20
"""Number of pixels converted at a time: all at once would take twice the memory."""


def rgb(image: PIL.Image.Image) -> Image:
    """Convert a loaded image. -> uint8 (H, W, 3).

    Raises:
        SourceError: the colours or levels are not supported.
    """
    if image.mode in ("LAB", "HSV"):
        raise SourceError("unsupported colours", expected="grey, RGB, CMYK or YCbCr", found=image.mode)
    image.info.pop("transparency", None)  # else Pillow warns that the palette loses it
    rows = max(1, _STRIP_PIXELS // image.width)
    tops = range(0, image.height, rows)

    def strip(top: int) -> PIL.Image.Image:
        return image.crop((0, top, image.width, min(top + rows, image.height)))

    pixels = np.empty((image.height, image.width, 3), np.uint8)
    if image.mode[0] in "IF":
        ranges = [(levels.min(), levels.max()) for levels in (np.asarray(strip(top)) for top in tops)]
        low, high = np.min(ranges), np.max(ranges)
        for top in tops:
            pixels[top : top + rows] = _to_uint8(np.asarray(strip(top)), low, high)[..., np.newaxis]
    else:
        for top in tops:
            pixels[top : top + rows] = np.asarray(strip(top).convert("RGB"))
    return pixels


def _to_uint8(levels: npt.NDArray[Any], low: Any, high: Any) -> npt.NDArray[np.uint8]:
    """Convert grey levels of more than 8 bits without stretching; low and high: range of the whole image."""
    if levels.dtype.kind == "f":
        if low >= 0 and high <= 1:
            return np.round(levels * 255).astype(np.uint8)
        if low >= 0 and high <= 255:
            return np.round(levels).astype(np.uint8)
        raise SourceError(
            "floating-point pixels of unknown meaning", expected="0..1 or 0..255", found=f"{low}..{high}"
        )
    if low < 0 or high > 0xFFFF:
        raise SourceError("integer pixels of unknown meaning", expected="0..65535", found=f"{low}..{high}")
    return (levels >> 8).astype(np.uint8)
