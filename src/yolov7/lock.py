"""One process at a time."""

from __future__ import annotations

import logging
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

_LOG = logging.getLogger(__name__)


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Hold a lock file, and wait for it where need be. A process that is killed holds it no longer."""
    with file.open("ab") as stream:
        if not _try_to_lock(stream, wait=False):
            _LOG.warning("waiting for another process to release %s", file)
            while not _try_to_lock(stream, wait=True):
                pass
        yield


@contextmanager
def held(file: Path) -> Iterator[str | None]:
    """Hold a lock file, or yield who holds it. A process that is killed holds it no longer, nor do its forks.

    Raises:
        OSError: the file cannot be written.
    """
    place = str(file.resolve())
    with file.open("a+b") as stream:
        if place in _HELD or not _try_to_own(stream):
            stream.seek(0)
            yield stream.read(200).decode(errors="replace") or "another process"
            return
        _HELD.add(place)
        try:
            stream.truncate(0)
            stream.write(f"process {os.getpid()} on {platform.node()}".encode())
            stream.flush()
            yield None
        finally:
            _HELD.discard(place)


_HELD: set[str] = set()
"""Lock files of this process: to the system it never disagrees with itself."""


if sys.platform == "win32":
    import msvcrt

    def _try_to_lock(stream: IO[bytes], *, wait: bool) -> bool:
        stream.seek(0)
        try:
            msvcrt.locking(stream.fileno(), msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _try_to_own(stream: IO[bytes]) -> bool:
        return _try_to_lock(stream, wait=False)

else:
    import fcntl

    def _try_to_lock(stream: IO[bytes], *, wait: bool) -> bool:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # a file system without locks: go on, files get their names when they are whole
            return True
        return True

    def _try_to_own(stream: IO[bytes]) -> bool:
        try:
            fcntl.lockf(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            return False
        except OSError:
            return True
        return True
