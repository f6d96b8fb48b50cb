"""Cached digests of file contents: a file is read again only if its length or modification time changed.

Each data set's record (length, modification time and digest per file) is ``<digest of path and split>.files``
in a cache directory. It may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from yolov7.data.dataset import Dataset
from yolov7.errors import OutputError
from yolov7.files import write_file

_LOG = logging.getLogger(__name__)
_THREADS = os.cpu_count() or 1
_SETTLED = 2_000_000_000  # nanoseconds; a change soon after may leave the modification time as it was
_MUCH = 2_000_000_000  # bytes; reading more is announced

RECORDS = "*.files"


class _Seen(NamedTuple):
    """State of a file when its digest was computed."""

    path: str
    length: int
    changed: int  # nanoseconds; -1 if too recent to rely on
    digest: str


def image_digests(dataset: Dataset, directory: Path) -> list[str]:
    """Digest each image file's content; "" for a missing file.

    The first call reads all files, later calls only those whose length or modification time changed since the
    record in `directory`.
    """
    key = json.dumps([str(dataset.path.resolve()), dataset.split])
    record = directory / f"{digest_of(key.encode())}.files"
    known = _read(record)
    files = _examine([image.path for image in dataset.images], {seen.path: seen for seen in known})
    try:
        if files == known:
            record.touch()
        else:
            write_file(record, json.dumps(files).encode())
    except (OSError, OutputError) as error:
        _LOG.warning("%s; the images will be read again at the next start", error)
    return [seen.digest for seen in files]


def digest(dataset: Dataset, directory: Path) -> str:
    """Fingerprint of a data set's images and labels.

    It covers class names, image contents, boxes, labels, polygons and crowds, in order; not file paths. The
    records of image files are in `directory`.
    """
    text = hashlib.blake2b(digest_size=16)
    text.update(json.dumps(dataset.names).encode())
    for image, content in zip(dataset.images, image_digests(dataset, directory), strict=True):
        points = [None if polygon is None else len(polygon) for polygon in image.polygons]
        text.update(json.dumps([content, str(image.image_id), image.size, len(image), points]).encode())
        for values in (image.boxes, image.labels, image.crowds, *image.polygons):
            text.update(b"" if values is None else values.tobytes())
    return text.hexdigest()


def digest_of(data: bytes) -> str:
    """Digest of bytes, 32 hexadecimal digits.

    >>> len(digest_of(b"abc"))
    32
    """
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def digest_of_file(path: Path) -> str:
    """Digest of a file's content, as :func:`digest_of` gives it, in little memory."""
    digest = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        while part := file.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()


def _examine(paths: Sequence[Path], known: dict[str, _Seen]) -> list[_Seen]:
    """Find the current state of each file; unchanged files are not read."""

    def examine(path: Path) -> _Seen:
        try:
            now, seen = path.stat(), known.get(str(path))
            if seen and (seen.length, seen.changed) == (now.st_size, now.st_mtime_ns):
                return seen
            settled = time.time_ns() - now.st_mtime_ns > _SETTLED
            digest = digest_of_file(path)
        except OSError:
            return _Seen(str(path), -1, -1, "")
        return _Seen(str(path), now.st_size, now.st_mtime_ns if settled else -1, digest)

    with ThreadPoolExecutor(_THREADS, thread_name_prefix="contents") as pool:
        unread = sum(pool.map(_length, [path for path in paths if str(path) not in known]))
        if unread > _MUCH:
            _LOG.warning("reading %.0f GB of images once, to recognise them later", unread / 1e9)
        return list(pool.map(examine, paths))


def _length(path: Path) -> int:
    """Size of a file in bytes; 0 if it is missing."""
    with suppress(OSError):
        return path.stat().st_size
    return 0


def _read(record: Path) -> list[_Seen]:
    """Read the last run's record; empty if there is no valid one."""
    try:
        return [_Seen(*seen) for seen in json.loads(record.read_bytes())]
    except (OSError, ValueError, TypeError, RecursionError):
        return []
