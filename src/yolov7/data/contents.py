"""Digests of what is in files, remembered: a file is read again only when it has changed.

A record of the files of a data set as they were last seen (length, time of change, digest) lies in a
directory of the cache, as ``<digest of path and split>.files``. It may be deleted at any time.
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
from dataclasses import astuple, dataclass
from pathlib import Path

from yolov7.data.layout import Dataset
from yolov7.errors import OutputError
from yolov7.files import write_file

_LOG = logging.getLogger(__name__)
_THREADS = os.cpu_count() or 1
_SETTLED = 2_000_000_000  # nanoseconds; the time of a younger change may be that of the next change too
_MUCH = 2_000_000_000  # bytes that take a while to read

RECORDS = "*.files"


@dataclass(frozen=True)
class _Seen:
    """A file as it was when its content had this digest."""

    path: str
    length: int
    changed: int  # nanoseconds; -1 where that is too recent to be relied on
    digest: str


def image_digests(dataset: Dataset, directory: Path) -> list[str]:
    """Digest of the content of each image file; empty for a file that is gone.

    The first time all files are read, later those whose length or time of change is another.

    Args:
        dataset: its images.
        directory: where records are kept.
    """
    key = json.dumps([str(dataset.path.resolve()), dataset.split])
    record = directory / f"{digest_of(key.encode())}.files"
    known = _read(record)
    files = _look([image.path for image in dataset.images], {seen.path: seen for seen in known})
    try:
        if files == known:
            record.touch()
        else:
            write_file(record, json.dumps([astuple(seen) for seen in files]).encode())
    except (OSError, OutputError) as error:
        _LOG.warning("%s; the images will be read again at the next start", error)
    return [seen.digest for seen in files]


def digest_of(data: bytes) -> str:
    """Digest of bytes, 32 hexadecimal digits."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _look(paths: Sequence[Path], known: dict[str, _Seen]) -> list[_Seen]:
    """Each file as it is now; what has not changed is not read."""

    def status(path: Path) -> os.stat_result | None:
        with suppress(OSError):
            return path.stat()
        return None

    def look(path: Path, now: os.stat_result | None) -> _Seen:
        seen = known.get(str(path))
        if now is not None:
            if seen and (seen.length, seen.changed) == (now.st_size, now.st_mtime_ns):
                return seen
            with suppress(OSError):
                settled = time.time_ns() - now.st_mtime_ns > _SETTLED
                digest = digest_of(path.read_bytes())
                return _Seen(str(path), now.st_size, now.st_mtime_ns if settled else -1, digest)
        return _Seen(str(path), -1, -1, "")

    with ThreadPoolExecutor(_THREADS, thread_name_prefix="contents") as pool:
        states = list(pool.map(status, paths))
        unread = sum(
            now.st_size for path, now in zip(paths, states, strict=True) if now and str(path) not in known
        )
        if unread > _MUCH:
            _LOG.warning("reading %.0f GB of images once, so as to know them again", unread / 1e9)
        return list(pool.map(look, paths, states))


def _read(record: Path) -> list[_Seen]:
    """What the last run left; nothing where there is no record that makes sense."""
    try:
        return [_Seen(*seen) for seen in json.loads(record.read_bytes())]
    except (OSError, ValueError, TypeError, RecursionError):
        return []
