"""Which way is up: the orientation in a block of EXIF, and how to turn pixels by it."""

from __future__ import annotations

import struct

import cv2
import numpy as np

from yolov7.types import Image

ORIENTATION = 0x0112
SIDEWAYS = (5, 6, 7, 8)
"""Orientations that exchange width and height."""

_HEADER = b"Exif\0\0"
_INTEGERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i"}
"""Types of EXIF that hold whole numbers. The standard wants SHORT (3); some cameras write others."""


def orientation_of(exif: bytes) -> int:
    """Orientation 1 to 8 in a block of EXIF; 1 where there is none or the block is damaged."""
    block = exif.removeprefix(_HEADER)
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(block[:4])
    if order is None:
        return 1
    try:
        (directory,) = struct.unpack_from(order + "I", block, 4)
        (entries,) = struct.unpack_from(order + "H", block, directory)
        for entry in range(directory + 2, directory + 2 + 12 * entries, 12):
            tag, kind = struct.unpack_from(order + "HH", block, entry)
            if tag == ORIENTATION and kind in _INTEGERS:
                (value,) = struct.unpack_from(order + _INTEGERS[kind], block, entry + 8)
                return valid_orientation(value)
    except struct.error:
        pass
    return 1


def valid_orientation(value: object) -> int:
    """The value, if it is an orientation; 1 for anything else."""
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def upright(pixels: Image, orientation: int) -> Image:
    """The image turned so that row 0 is its top. (H, W, 3) -> (H, W, 3) or (W, H, 3)."""
    if orientation in SIDEWAYS:
        pixels = np.asarray(cv2.transpose(pixels), np.uint8)
    # As stored, mirrored, upside down, flipped; then the same four after the transposition.
    flip = {2: 1, 3: -1, 4: 0, 6: 1, 7: -1, 8: 0}.get(orientation)
    return pixels if flip is None else np.asarray(cv2.flip(pixels, flip, dst=pixels), np.uint8)
