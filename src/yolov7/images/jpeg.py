"""Headers and pixels of JPEG files.

simplejpeg decodes with libjpeg-turbo, to the same pixels as OpenCV and Pillow. Only simplejpeg reports
libjpeg's warnings, such as truncated or corrupt data: OpenCV prints them to standard error, Pillow ignores
them, and both fill in grey.
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
"""Maximum scans of a progressive JPEG: 10 are usual, and each costs as much as decoding an image."""
MAX_SCANNED_PIXELS = 3_000_000_000
"""Maximum scans times pixels: 15 scans of 200 million pixels."""

# Markers: the byte after 0xFF.
_APP1, _START_OF_SCAN, _END_OF_IMAGE = 0xE1, 0xDA, 0xD9
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_WITHOUT_LENGTH = frozenset((0x00, 0x01, *range(0xD0, 0xD9)))
_PROCESSES = {0xC0: "baseline", 0xC1: "extended", 0xC2: "progressive", 0xC9: "arithmetic", 0xCA: "arithmetic"}
_NEXT_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")  # none of these occurs in compressed pixels

_SURPLUS = re.compile(r"(\d+) extraneous bytes before marker 0xd9")


@dataclass(frozen=True)
class JpegHeader:
    """Header of a JPEG."""

    height: int  # both in pixels, as stored
    width: int
    orientation: int  # EXIF orientation, 1 to 8
    components: int  # 1 (grey), 3 (colour) or 4 (CMYK)
    process: str  # baseline, extended, progressive or arithmetic coding
    several_scans: bool  # the pixels come in several passes, all kept in memory until the last
    begin: int  # offset of the compressed pixels in the file

    @property
    def coefficient_bytes(self) -> int:
        """Further bytes per pixel that decoding takes: two per sample if there are several scans."""
        return 2 * self.components * self.several_scans


def read_header(file: BinaryIO) -> JpegHeader:
    """Read the header of a JPEG, up to the compressed pixels.

    Raises:
        SourceError: the header is incomplete, or of an unsupported variety.
    """
    frame = b""
    process, orientation = 0, None
    file.seek(2)
    while byte := file.read(1):
        if byte != b"\xff":
            continue  # libjpeg searches for the next marker too
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
    raise SourceError("truncated image: the JPEG header is incomplete")


def _header(process: int, frame: bytes, orientation: int, scan: bytes, begin: int) -> JpegHeader:
    if len(frame) < 6 or not scan:
        raise SourceError("damaged image: no size in the JPEG header")
    precision, height, width, components = struct.unpack_from(">BHHB", frame)
    name = _PROCESSES.get(process, f"of process SOF{process - 0xC0}")
    if precision != 8 or process not in _PROCESSES or components not in (1, 3, 4):
        raise SourceError(
            "unsupported variety of JPEG",
            expected="8 bits per sample; baseline, progressive or arithmetic coding; 1, 3 or 4 components",
            found=f"{precision} bits, {name}, {components} components",
        )
    if not height or not width:
        raise SourceError("damaged image: no size in the JPEG header", found=f"{width} x {height} pixels")
    several = process in (0xC2, 0xCA) or scan[0] < components
    return JpegHeader(height, width, orientation, components, name, several, begin)


def decode(data: bytes, header: JpegHeader, at_least: int | None = None) -> Image:
    """Decode a JPEG as stored. -> uint8 (H, W, 3) RGB, a new array.

    Args:
        data: content of the file.
        header: its header.
        at_least: pixels needed along the long side: decode at 1/2, 1/4 or 1/8 of the size if enough are left.

    Raises:
        SourceError: pixels are missing or damaged, or there are too many scans.
    """
    _check_amount(data, header)
    long_side = max(header.height, header.width)
    factor = 1 if at_least is None else next((f for f in (8, 4, 2) if long_side >= f * at_least), 1)
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


def _check_amount(data: bytes, header: JpegHeader) -> None:
    """Refuse more pixels than the data can hold, and too many scans, before memory is allocated."""
    compressed = len(data) - header.begin
    # Huffman coding takes at least a bit per 8 x 8 pixels; arithmetic coding may take less.
    if header.process != "arithmetic" and compressed < header.height * header.width // 512:
        raise SourceError(
            "truncated image: too little data for its size",
            found=f"{compressed:,} bytes for {header.width} x {header.height} pixels",
        )
    limit = min(MAX_SCANS, MAX_SCANNED_PIXELS // (header.height * header.width))
    if header.several_scans and data.count(b"\xff\xda", header.begin) >= limit:
        scans = _scans(data, header)
        if scans > limit:
            raise SourceError("a JPEG with too many scans", expected=f"at most {limit}", found=scans)


def _scans(data: bytes, header: JpegHeader) -> int:
    """Count the scans, from marker to marker: thumbnails and trailers, which may hold more, are skipped."""
    scans, position = 1, header.begin
    while (found := _NEXT_MARKER.search(data, position)) and found[0][1] != _END_OF_IMAGE:
        scans += found[0][1] == _START_OF_SCAN
        position = found.end() + max(2, int.from_bytes(data[found.end() : found.end() + 2], "big"))
    return scans


def _repaired(data: bytes, header: JpegHeader, warning: str) -> bytes | None:
    """Remove a harmless defect, whose warning hides later ones; None if the defect may cost pixels."""
    if "unknown JFIF revision" in warning and (at := data.find(b"JFIF\0", 0, header.begin)) > 0:
        return data[: at + 5] + b"\1\1" + data[at + 7 :]
    if "Unknown Adobe color transform" in warning and (at := data.find(b"Adobe", 0, header.begin)) > 0:
        return data[: at + 11] + (b"\2" if header.components == 4 else b"\1") + data[at + 12 :]
    if "Invalid SOS parameters" in warning:
        return data[: header.begin - 3] + b"\0\x3f\0" + data[header.begin :]
    if surplus := _SURPLUS.search(warning):
        # Zeros before the end are padding; other values are data that the decoder did not understand.
        end = data.find(b"\xff\xd9", header.begin)
        begin = max(header.begin, end - int(surplus[1]))
        return None if any(data[begin:end]) else data[:begin] + data[end:]
    return None
