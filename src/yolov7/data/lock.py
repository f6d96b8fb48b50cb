"""One process at a time."""

from __future__ import annotations

import logging
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


if sys.platform == "win32":
    import msvcrt

    def _try_to_lock(stream: IO[bytes], *, wait: bool) -> bool:
        stream.seek(0)
        try:
            msvcrt.locking(stream.fileno(), msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

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
