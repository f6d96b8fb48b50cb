"""Recognition of unsupported image formats, by first bytes or by suffix."""

from __future__ import annotations

import re
from pathlib import Path

from yolov7.errors import SourceError

_RAW = "camera raw files"

# fmt: off
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
"""Names of unsupported image formats by suffix, lower case."""

_STARTS: tuple[tuple[re.Pattern[bytes], str], ...] = (
    (
        re.compile(rb".{4}ftyp(heic|heix|heim|heis|hevc|hevx|hevm|hevs|mif1|msf1|miaf)", re.DOTALL),
        "HEIF (HEIC) images",
    ),
    (re.compile(rb"\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n"), "JPEG XL images"),
    (re.compile(rb"II\xbc\x01"), "JPEG XR images"),
    (re.compile(rb".{4}ftypcrx|II\*\0.{4}CR|FUJIFILMCCD-RAW|II(RO|RS|U\0)|MMOR|\0MRM|FOVb", re.DOTALL), _RAW),
    (
        re.compile(rb"(\xef\xbb\xbf)?\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)?(<!DOCTYPE )?<?svg", re.DOTALL),
        "SVG drawings",
    ),
    (re.compile(rb"%PDF-"), "PDF documents"),
    (re.compile(rb"%!PS|\xc5\xd0\xd3\xc6"), "PostScript drawings"),
    (re.compile(rb"8BPS"), "Photoshop files"),
    (re.compile(rb"gimp xcf"), "GIMP files"),
    (re.compile(rb"v/1\x01|#\?RADIANCE"), "high-dynamic-range images"),
    (re.compile(rb".{128}DICM", re.DOTALL), "DICOM images"),
    (re.compile(rb"\0\0[\1\2]\0[^\0]\0|icns"), "icons"),
)
SNIFFED = 512
"""Number of first bytes needed to recognise a format."""


def foreign_kind(start: bytes, path: Path | None = None) -> str | None:
    """Name the unsupported image format of a file; None for any other file.

    >>> foreign_kind(b"%PDF-1.7")
    'PDF documents'

    Args:
        start: first bytes of the file; b"" if only its name is known.
        path: the file, whose suffix decides if its first bytes do not.
    """
    for pattern, kind in _STARTS:
        if start and pattern.match(start):
            return kind
    return None if path is None else FOREIGN_SUFFIXES.get(path.suffix.lower())


def left_out_as(path: Path) -> str:
    """Reason for leaving out a file with one of these suffixes, for a summary.

    >>> left_out_as(Path("a.HEIC"))
    'HEIF (HEIC) images, which are not read'
    """
    return f"{FOREIGN_SUFFIXES[path.suffix.lower()]}, which are not read"


def not_read(kind: str) -> SourceError:
    """Build the error for an image of an unsupported format."""
    return SourceError(f"{kind} are not read; convert it to JPEG or PNG")
