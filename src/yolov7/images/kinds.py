"""Recognition of image formats, by first bytes or by suffix."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import BinaryIO

from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.PpmImagePlugin import PpmImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from yolov7.errors import SourceError
from yolov7.images import jpeg, tiff

_AVIF: type[ImageFile] | None = None
try:
    from PIL.AvifImagePlugin import AvifImageFile

    _AVIF = AvifImageFile
except ImportError:  # Pillow before 11.3
    pass

_RAW = "camera raw files"

# fmt: off
IMAGE_SUFFIXES = frozenset((
    ".apng", ".avif", ".bmp", ".dib", ".gif", ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg",
    ".mpo", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp",
))
"""Suffixes (lower case) of the images in a folder. The format itself is recognised by the first bytes."""
FOREIGN_SUFFIXES: dict[str, str] = {
    **dict.fromkeys((".heic", ".heics", ".heif", ".heifs", ".hif"), "HEIF (HEIC) images"),
    ".jxl": "JPEG XL images",
    **dict.fromkeys((".jxr", ".wdp", ".hdp"), "JPEG XR images"),
    **dict.fromkeys((".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dng", ".erf", ".iiq", ".kdc", ".mrw", ".nef",
                     ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f"),
                    _RAW),
    **dict.fromkeys((".svg", ".svgz"), "SVG drawings"),
    ".pdf": "PDF documents",
    **dict.fromkeys((".eps", ".ps", ".ai"), "PostScript drawings"),
    **dict.fromkeys((".psd", ".psb"), "Photoshop files"),
    ".xcf": "GIMP files",
    **dict.fromkeys((".exr", ".hdr"), "high-dynamic-range images"),
    **dict.fromkeys((".dcm", ".dicom"), "DICOM images"),
    **dict.fromkeys((".ico", ".cur", ".icns"), "icons"),
    **dict.fromkeys((".tga", ".dds", ".pcx"), "images of this kind"),
}
# fmt: on
"""Names of unsupported image formats, by suffix (lower case)."""

_FOREIGN_STARTS = {
    "HEIF (HEIC) images": rb".{4}ftyp(heic|heix|heim|heis|hevc|hevx|hevm|hevs|mif1|msf1|miaf)",
    "JPEG XL images": rb"\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n",
    "JPEG XR images": rb"II\xbc\x01",
    _RAW: rb".{4}ftypcrx|II\*\0.{4}CR|FUJIFILMCCD-RAW|II(RO|RS|U\0)|MMOR|\0MRM|FOVb",
    "SVG drawings": rb"(\xef\xbb\xbf)?\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)?(<!DOCTYPE )?<?svg",
    "PDF documents": rb"%PDF-",
    "PostScript drawings": rb"%!PS|\xc5\xd0\xd3\xc6",
    "Photoshop files": rb"8BPS",
    "GIMP files": rb"gimp xcf",
    "high-dynamic-range images": rb"v/1\x01|#\?RADIANCE",
    "DICOM images": rb".{128}DICM",
    "icons": rb"\0\0[\1\2]\0[^\0]\0|icns",
}
"""Regular expressions of the first bytes of unsupported image formats."""
SNIFFED = 512
"""Number of first bytes of a file needed to recognise its format."""


# Pillow's Image.open would choose as well, but its limit on pixels is a global setting.
_READERS: dict[bytes, type[ImageFile]] = {
    b"\x89PNG\r\n\x1a\n": PngImageFile,
    **dict.fromkeys(tiff.MAGICS, TiffImageFile),
    b"GIF8": GifImageFile,
    b"BM": BmpImageFile,
    b"\xff\x4f\xff\x51": Jpeg2KImageFile,
    b"\0\0\0\x0cjP  \r\n\x87\n": Jpeg2KImageFile,
    **{b"P%d" % kind: PpmImageFile for kind in range(1, 7)},
}
ANIMATED = frozenset((GifImageFile, PngImageFile, WebPImageFile, _AVIF)) - {None}
"""Readers of formats that may hold an animation."""


def find_reader(file: BinaryIO) -> type[ImageFile] | None:
    """Choose Pillow's reader by a file's first bytes; None for JPEG, which `yolov7.images.jpeg` decodes.

    Raises:
        SourceError: the file is empty, or of an unsupported format.
    """
    file.seek(0)
    start = file.read(SNIFFED)
    if not start:
        raise SourceError("the file is empty")
    if start.startswith(jpeg.MAGIC):
        return None
    if start[4:8] == b"ftyp" and _AVIF is not None and _is_avif(start):
        return _AVIF
    if kind := foreign_kind(start):
        raise unsupported(kind)
    for magic, reader in _READERS.items():
        if start.startswith(magic):
            return reader
    if start.startswith(b"RIFF") and start[8:12] == b"WEBP":
        return WebPImageFile
    if start[4:8] == b"ftyp":
        raise SourceError("this is a video, or an image in an unsupported format; convert it to JPEG or PNG")
    raise SourceError("not an image in a known format", found=f"a file that begins with {start[:16]!r}")


def _is_avif(start: bytes) -> bool:
    """True if the first box of an ISO file lists an AVIF brand."""
    brands = start[8 : min(len(start), int.from_bytes(start[:4], "big"))]
    return any(brands[at : at + 4] in (b"avif", b"avis") for at in range(0, len(brands), 4))


def is_image(start: bytes) -> bool:
    """True if a file's first bytes, 16 or more, match a supported format."""
    try:
        find_reader(io.BytesIO(start))
    except SourceError:
        return False
    return True


def foreign_kind(start: bytes) -> str | None:
    """Name the unsupported image format of a file by its first bytes; None for any other file.

    >>> foreign_kind(b"%PDF-1.7")
    'PDF documents'
    """
    kinds = (kind for kind, pattern in _FOREIGN_STARTS.items() if re.match(pattern, start, re.DOTALL))
    return next(kinds, None)


def left_out_as(path: Path) -> str:
    """Reason for leaving out a file with one of these suffixes, for a summary.

    >>> left_out_as(Path("a.HEIC"))
    'HEIF (HEIC) images, which are not supported'
    """
    return f"{FOREIGN_SUFFIXES[path.suffix.lower()]}, which are not supported"


def unsupported(kind: str) -> SourceError:
    """Build the error for an image of an unsupported format."""
    return SourceError(f"{kind} are not supported; convert them to JPEG or PNG")
