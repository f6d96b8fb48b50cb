"""Lock files, which the system releases when their process is killed.

The `filelock` package has no locks that name their holder, and forked workers inherit its locks.
"""

from __future__ import annotations

import logging
import os
import platform
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

_LOG = logging.getLogger(__name__)
_HELD: set[Path] = set()
"""Lock files held by this process, which the system does not lock against itself."""


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Hold a lock file, waiting for it if necessary. A killed process releases it."""
    with file.open("ab") as stream:
        if not _try_to_lock(stream, wait=False):
            _LOG.warning("waiting for another process to release %s", file)
            while not _try_to_lock(stream, wait=True):
                pass
        yield


@contextmanager
def held(file: Path) -> Iterator[str | None]:
    """Hold a lock file, or yield its holder. A killed process releases it, even if its forks live on.

    Raises:
        OSError: the file cannot be written.
    """
    place, me = file.resolve(), f"process {os.getpid()} on {platform.node()}"
    if place in _HELD:  # not even opened: closing it again would release this process's lock
        yield me
        return
    with file.open("a+b") as stream:
        if not _try_to_own(stream):
            stream.seek(0)
            yield stream.read(200).decode(errors="replace") or "another process"
            return
        _HELD.add(place)
        try:
            stream.truncate(0)
            stream.write(me.encode())
            stream.flush()
            yield None
        finally:
            _HELD.discard(place)


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
        return _locks(fcntl.flock, stream, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _try_to_own(stream: IO[bytes]) -> bool:
        return _locks(fcntl.lockf, stream, fcntl.LOCK_EX | fcntl.LOCK_NB)  # not inherited by forks

    def _locks(lock: Callable[[IO[bytes], int], None], stream: IO[bytes], how: int) -> bool:
        try:
            lock(stream, how)
        except (BlockingIOError, PermissionError):
            return False
        except OSError:  # a file system without locks: do without, files are renamed when they are complete
            pass
        return True
