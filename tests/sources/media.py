"""Videos made for tests: small, and each frame says its number by its brightness."""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from yolov7.types import Image

STEP = 6
"""Difference in brightness between one frame and the next."""


def picture(number: int, size: tuple[int, int] = (48, 64)) -> Image:
    """Frame of a test video, height and width `size`; a bright corner shows which way is up."""
    image = np.full((*size, 3), 20 + STEP * number % 200, np.uint8)
    image[: size[0] // 4, : size[1] // 4] = (250, 30, 30)
    return image


def number_of(image: Image) -> int:
    """Which frame of its video an image is (of the first 33)."""
    middle = image[image.shape[0] // 2 :, image.shape[1] // 2 :].mean()
    return round((float(middle) - 20) / STEP)


def write_video(
    file: Path | io.BytesIO,
    frames: int = 20,
    *,
    size: tuple[int, int] = (48, 64),
    rate: int = 10,
    times: Sequence[float] | None = None,
    codec: Any = "libx264",
    container: str | None = None,
    grain: int = 0,
    **options: str,
) -> None:
    """A video of test pictures, with a keyframe every five frames; grain makes its frames large."""
    tick = Fraction(1, rate) if times is None else Fraction(1, 1000)
    noise = np.random.default_rng(0)
    with av.open(
        file if isinstance(file, io.BytesIO) else str(file), "w", format=container, container_options=options
    ) as output:
        stream = output.add_stream(codec, rate=rate)
        stream.height, stream.width = size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.gop_size = 5
        stream.bit_rate = 4_000_000
        stream.codec_context.time_base = tick
        for number in range(frames):
            pixels = picture(number, size)
            if grain:
                pixels = (
                    pixels.clip(grain, 255 - grain) + noise.integers(-grain, grain, pixels.shape)
                ).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts = round((number / rate if times is None else times[number]) / tick)
            frame.time_base = tick
            output.mux(stream.encode(frame))
        output.mux(stream.encode())


def transport_stream(frames: int = 20, **options: Any) -> bytes:
    """A video as MPEG-2 transport stream, which can be joined and cut anywhere."""
    file = io.BytesIO()
    write_video(file, frames, container="mpegts", **options)
    return file.getvalue()


def set_display_matrix(path: Path, a: int, b: int, c: int, d: int) -> None:
    """Make an mp4 say how to turn it for display: x' = a x + c y, y' = b x + d y."""
    content = bytearray(path.read_bytes())
    matrix = content.index(b"tkhd") + 4 + 40
    struct.pack_into(">9i", content, matrix, a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    path.write_bytes(content)
