"""Images in memory: numpy arrays, tensors, Pillow images."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import PIL.Image
import PIL.ImageOps
from torch import Tensor

from yolov7.errors import SourceError, UsageError
from yolov7.types import Image


def is_picture(value: object) -> bool:
    """Test if `to_images` accepts the type of a value."""
    return isinstance(value, np.ndarray | Tensor | PIL.Image.Image)


def to_images(picture: Any) -> list[npt.NDArray[Any]]:
    """Split a batch into images (H, W) or (H, W, C), without copying or changing values.

    Args:
        picture: numpy (H, W), (H, W, C) or (B, H, W, C); tensor (C, H, W) or (B, C, H, W); a Pillow image.
            C is 1 (grey), 3 (RGB) or 4 (RGB and alpha).

    Raises:
        UsageError: unsupported shape.
        SourceError: the file behind a Pillow image is damaged.
    """
    if isinstance(picture, PIL.Image.Image):
        return [_from_pillow(picture)]
    if isinstance(picture, Tensor):
        expected = "(3, H, W) or (B, 3, H, W): channels come first in a tensor, last in an array"
        tensor = picture.detach().cpu()
        pixels = (tensor.float() if tensor.is_floating_point() else tensor).numpy()
        channels_last = np.moveaxis(pixels, -3, -1) if pixels.ndim in (3, 4) else np.empty(0)
    else:
        expected = "(H, W, 3), (H, W) or (B, H, W, 3): channels come last in an array, first in a tensor"
        channels_last = picture
    grey = channels_last.ndim == 2
    colour = channels_last.ndim in (3, 4) and channels_last.shape[-1] in (1, 3, 4)
    if not (grey or colour) or channels_last.size == 0:
        raise UsageError("not the shape of an image", expected=expected, found=tuple(picture.shape))
    return list(channels_last) if channels_last.ndim == 4 else [channels_last]


def to_rgb(pixels: npt.NDArray[Any]) -> Image:
    """Convert pixels (H, W) or (H, W, C) to uint8 (H, W, 3) RGB, without alpha. uint8 RGB is not copied.

    Raises:
        UsageError: not uint8, uint16 (its upper 8 bits are used), or floating point in [0, 1].
    """
    pixels = _to_uint8(pixels)
    if pixels.ndim == 2:
        pixels = pixels[..., np.newaxis]
    if pixels.shape[2] == 1:
        pixels = np.broadcast_to(pixels, (*pixels.shape[:2], 3))
    # A view such as bgr[..., ::-1] is fine for numpy but not for OpenCV.
    return np.ascontiguousarray(pixels[..., :3])


def _to_uint8(pixels: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    if pixels.dtype == np.uint8:
        return pixels
    if pixels.dtype == np.uint16:
        return (pixels >> 8).astype(np.uint8)
    if pixels.dtype.kind != "f":
        raise UsageError(
            "not the type of an image",
            expected="uint8, uint16, or floating point in [0, 1]",
            found=pixels.dtype,
        )
    low, high = pixels.min(), pixels.max()
    if not (low >= 0 and high <= 1):  # NaN fails as well
        raise UsageError(
            "floating-point pixels of unknown meaning",
            expected="0..1 (pixels of 0..255 have the type uint8)",
            found=f"{low:g}..{high:g}",
        )
    return np.rint(pixels * np.float32(255)).astype(np.uint8)


def _from_pillow(image: PIL.Image.Image) -> npt.NDArray[Any]:
    try:
        image = PIL.ImageOps.exif_transpose(image)
        if image.mode[0] in "IF":
            values = np.asarray(image)
        else:
            values = np.asarray(image.convert("RGBA" if image.has_transparency_data else "RGB"))
    except (OSError, SyntaxError, ValueError) as error:  # Pillow decodes a file only now
        raise SourceError(f"unreadable or damaged image: {error}") from error
    if values.dtype.kind == "i" and values.min() >= 0 and values.max() <= 0xFFFF:
        return values.astype(np.uint16)  # Pillow's mode I: 16-bit grey in 32 bits
    return values
