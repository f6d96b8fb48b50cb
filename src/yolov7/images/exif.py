"""EXIF orientation, and its application to pixels."""

from __future__ import annotations

import struct

import cv2
import numpy as np

from yolov7.images.tiff import INTEGERS
from yolov7.types import Image

ORIENTATION = 0x0112
SIDEWAYS = (5, 6, 7, 8)
"""Orientations that swap width and height."""


def orientation_of(exif: bytes) -> int:
    """Read the orientation, 1 to 8, from EXIF data; 1 if it is missing or damaged."""
    block = exif.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(block[:4])
    if order is None:
        return 1
    try:
        (directory,) = struct.unpack_from(order + "I", block, 4)
        (entries,) = struct.unpack_from(order + "H", block, directory)
        for entry in range(directory + 2, directory + 2 + 12 * entries, 12):
            tag, kind = struct.unpack_from(order + "HH", block, entry)
            if tag == ORIENTATION and kind in INTEGERS:  # the standard asks for SHORT; cameras differ
                (value,) = struct.unpack_from(order + INTEGERS[kind], block, entry + 8)
                return valid_orientation(value)
    except struct.error:
        pass
    return 1


def valid_orientation(value: object) -> int:
    """Replace anything but an orientation 1 to 8 by 1.

    >>> valid_orientation(6), valid_orientation(9)
    (6, 1)
    """
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def upright(pixels: Image, orientation: int) -> Image:
    """Turn and mirror an image so that it is upright. (H, W, 3) -> (H, W, 3) or (W, H, 3)."""
    if orientation in SIDEWAYS:
        pixels = np.asarray(cv2.transpose(pixels), np.uint8)
    # 1 to 4: as stored, mirrored, rotated by 180 degrees, flipped; 5 to 8: the same after a transposition.
    flip = {2: 1, 3: -1, 4: 0, 6: 1, 7: -1, 8: 0}.get(orientation)
    return pixels if flip is None else np.asarray(cv2.flip(pixels, flip, dst=pixels), np.uint8)
