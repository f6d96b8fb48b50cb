"""JPEG: what the header says, and pixels only where all of them are there.

libjpeg-turbo decodes, by simplejpeg, whose pixels are those of OpenCV and Pillow. It alone of the three tells
what libjpeg warns of: that data end early, or make no sense. OpenCV prints that to stderr, Pillow says
nothing, and both fill in grey.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import simplejpeg

from yolov7.errors import SourceError
from yolov7.images.exif import orientation_of
from yolov7.types import Image

MAGIC = b"\xff\xd8\xff"
MAX_SCANS = 100
"""Scans of a progressive JPEG: usual are 10, and each costs as much as decoding a whole picture."""
MAX_SCANNED_PIXELS = 3_000_000_000
"""Scans times pixels: 15 scans of 200 million pixels."""

# Markers, the byte behind 0xFF.
_APP1, _START_OF_SCAN, _END_OF_IMAGE = 0xE1, 0xDA, 0xD9
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_WITHOUT_LENGTH = frozenset((0x00, 0x01, *range(0xD0, 0xD9)))
_PROCESSES = {0xC0: "baseline", 0xC1: "extended", 0xC2: "progressive", 0xC9: "arithmetic", 0xCA: "arithmetic"}
_NEXT_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")  # none of these is in compressed pixels

_SURPLUS = re.compile(r"(\d+) extraneous bytes before marker 0xd9")


@dataclass(frozen=True)
class JpegHeader:
    """What a JPEG says of itself.

    Attributes:
        height, width: pixels, as stored.
        orientation: EXIF's, 1 to 8.
        components: 1 grey, 3 colours, 4 printing inks.
        process: how it is compressed: baseline, extended, progressive, arithmetic; else the marker in words.
        precision: bits a sample.
        several_scans: whether its pixels come in several passes, all of which are kept until the last.
        begin: where the compressed pixels begin in the file.
    """

    height: int
    width: int
    orientation: int
    components: int
    process: str
    precision: int
    several_scans: bool
    begin: int

    @property
    def coefficient_bytes(self) -> int:
        """Further bytes per pixel that decoding takes: two per sample if there are several scans."""
        return 2 * self.components * self.several_scans


def read_header(file: BinaryIO) -> JpegHeader:
    """Read a JPEG up to its compressed pixels.

    Raises:
        SourceError: it has no whole header, or is of a variety that is not read.
    """
    frame = b""
    process, orientation = 0, None
    file.seek(2)
    while byte := file.read(1):
        if byte != b"\xff":
            continue  # libjpeg, too, looks for the next marker
        while byte == b"\xff":
            byte = file.read(1)
        marker = byte[0] if byte else _END_OF_IMAGE
        if marker in _WITHOUT_LENGTH:
            continue
        if marker == _END_OF_IMAGE:
            break
        length = int.from_bytes(file.read(2), "big") - 2
        segment = file.read(length) if length > 0 else b""
        if marker == _START_OF_SCAN:
            return _header(process, frame, orientation or 1, segment, file.tell())
        if marker in _START_OF_FRAME:
            process, frame = marker, segment
        elif marker == _APP1 and orientation is None and segment.startswith(b"Exif"):
            orientation = orientation_of(segment)
    raise SourceError("truncated image: the JPEG header has no end")


def _header(process: int, frame: bytes, orientation: int, scan: bytes, begin: int) -> JpegHeader:
    if len(frame) < 6 or not scan:
        raise SourceError("damaged image: the JPEG header says no size")
    precision, height, width, components = struct.unpack_from(">BHHB", frame)
    name = _PROCESSES.get(process, f"of process SOF{process - 0xC0}")
    if precision != 8 or process not in _PROCESSES or components not in (1, 3, 4):
        raise SourceError(
            "this variety of JPEG is not read",
            expected="8 bits a sample; baseline, progressive or arithmetic coding; 1, 3 or 4 components",
            found=f"{precision} bits, {name}, {components} components",
        )
    if not height or not width:
        raise SourceError("damaged image: the JPEG header says no size", found=f"{width} x {height} pixels")
    several = process in (0xC2, 0xCA) or scan[0] < components
    return JpegHeader(height, width, orientation, components, name, precision, several, begin)


def decode(data: bytes, header: JpegHeader, at_least: int | None = None) -> Image:
    """Decode a JPEG, as stored. -> uint8 (H, W, 3) RGB, a new array.

    Args:
        data: the file's content.
        header: its header.
        at_least: pixels that the long side needs: it is decoded at a half, a quarter or an eighth of its
            size, as small as that leaves it.

    Raises:
        SourceError: pixels are missing or damaged, or there are more than MAX_SCANS scans.
    """
    _check_amount(data, header)
    factor = 1 if at_least is None else _reduction(max(header.height, header.width), at_least)
    height, width = -(-header.height // factor), -(-header.width // factor)
    while True:
        try:
            pixels = simplejpeg.decode_jpeg(data, "RGB", min_height=height, min_width=width)
            return np.asarray(pixels, np.uint8)
        except ValueError as warning:
            reason = str(warning)
            repaired = _repaired(data, header, reason)
            if repaired is None or repaired == data:
                kind = "truncated" if "premature end" in reason.lower() else "damaged"
                raise SourceError(f"{kind} image: {reason.removeprefix('Corrupt JPEG data: ')}") from None
            data = repaired


def _reduction(long_side: int, at_least: int) -> int:
    return next((factor for factor in (8, 4, 2) if long_side >= factor * at_least), 1)


def _check_amount(data: bytes, header: JpegHeader) -> None:
    """Refuse, before memory is given to them, pixels that the data cannot hold, and scans without end."""
    compressed = len(data) - header.begin
    # Huffman coding takes a bit or more for each 8 x 8 pixels; arithmetic coding may take less.
    if header.process != "arithmetic" and compressed < header.height * header.width // 512:
        raise SourceError(
            "truncated image: too little data for its size",
            found=f"{compressed:,} bytes for {header.width} x {header.height} pixels",
        )
    limit = min(MAX_SCANS, MAX_SCANNED_PIXELS // (header.height * header.width))
    if header.several_scans and data.count(b"\xff\xda", header.begin) >= limit:
        scans = _scans(data, header)
        if scans > limit:
            raise SourceError("a JPEG of too many scans", expected=f"at most {limit}", found=scans)


def _scans(data: bytes, header: JpegHeader) -> int:
    """Number of scans, by going from marker to marker: a thumbnail or a trailer may hold others."""
    scans, position = 1, header.begin
    while (found := _NEXT_MARKER.search(data, position)) and found[0][1] != _END_OF_IMAGE:
        scans += found[0][1] == _START_OF_SCAN
        position = found.end() + max(2, int.from_bytes(data[found.end() : found.end() + 2], "big"))
    return scans


def _repaired(data: bytes, header: JpegHeader, warning: str) -> bytes | None:
    """The data without a blemish that costs no pixel and that libjpeg warns of first; None for damage."""
    if "unknown JFIF revision" in warning and (at := data.find(b"JFIF\0", 0, header.begin)) > 0:
        return data[: at + 5] + b"\1\1" + data[at + 7 :]
    if "Unknown Adobe color transform" in warning and (at := data.find(b"Adobe", 0, header.begin)) > 0:
        return data[: at + 11] + (b"\2" if header.components == 4 else b"\1") + data[at + 12 :]
    if "Invalid SOS parameters" in warning:
        return data[: header.begin - 3] + b"\0\x3f\0" + data[header.begin :]
    if surplus := _SURPLUS.search(warning):
        # Zeros before the end are padding; other values are what is left where a decoder lost its way.
        end = data.find(b"\xff\xd9", header.begin)
        begin = max(header.begin, end - int(surplus[1]))
        return None if any(data[begin:end]) else data[:begin] + data[end:]
    return None
