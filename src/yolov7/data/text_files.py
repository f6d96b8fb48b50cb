"""Reading of text files in any encoding, of a bounded size."""

from __future__ import annotations

import codecs
from pathlib import Path

from yolov7.data.findings import Findings
from yolov7.errors import DataError

_NOT_FOR_FILES = ("punycode", "idna", "unicode-escape", "raw-unicode-escape", "undefined")
"""Text codecs of Python that are not file encodings; some take quadratic time."""


def read_text(path: Path, findings: Findings, *, most: int = 1 << 32) -> str:
    """Read a text file; encodings other than UTF-8 are accepted with a warning.

    Raises:
        DataError: the file cannot be read, is not a regular file, or has more than `most` bytes.
    """
    return decode_text(read_bytes(path, most), path, findings)


def read_bytes(path: Path, most: int) -> bytes:
    """Read a file.

    Raises:
        DataError: the file cannot be read, is not a regular file, or has more than `most` bytes.
    """
    try:
        if not path.is_file():
            raise DataError("cannot be read: not a regular file", file=path)
        if (size := path.stat().st_size) > most:
            raise DataError(
                "the file is too large", file=path, expected=f"at most {most:,} bytes", found=size
            )
        return path.read_bytes()
    except (OSError, ValueError) as error:
        raise DataError(f"cannot be read: {getattr(error, 'strerror', error)}", file=path) from error


def first_bytes(path: Path, count: int) -> bytes:
    """Read the beginning of a file; empty if it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(count)
    except OSError:
        return b""


def decode_text(data: bytes, path: Path, findings: Findings, encoding: str = "utf-8-sig") -> str:
    """Decode a file's bytes by byte order mark, `encoding`, UTF-8 or Latin-1, the first that works."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = "utf-16"
    elif len(data) > 1 and not (any(data[1::2]) and any(data[::2])):
        encoding = "utf-16-be" if any(data[1::2]) else "utf-16-le"
        findings.warning(path, f"no byte order mark: read as {encoding}")
    attempts = (encoding, "utf-8-sig", "latin-1")  # the last never fails
    attempt, text = next((name, text) for name in attempts if (text := _decoded(data, name)) is not None)
    if attempt != encoding:
        findings.warning(path, f"not {encoding.removesuffix('-sig')}: read as {attempt.removesuffix('-sig')}")
    return text


def _decoded(data: bytes, encoding: str) -> str | None:
    """Decode bytes; None if they are invalid, or the encoding is unknown or not for text files."""
    try:
        return None if codecs.lookup(encoding).name in _NOT_FOR_FILES else data.decode(encoding)
    except (LookupError, ValueError):
        return None
