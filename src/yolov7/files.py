"""Write files atomically: no name ever stands for half a file.

Every file is written under a partial name and renamed when it is complete: by :func:`write_file` from memory,
by :func:`replacing` from a block of code. A file that stays open, such as a video or a csv, is written at
:func:`partial_path` and renamed by :func:`complete`, so that it can still be found after a crash.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from yolov7.errors import OutputError

MAX_NAME_BYTES = 255
"""Longest file name on common file systems."""
PARTIAL = ".partial"

_ROOM = 55
"""Bytes of a name that `safe_name` reserves for a number, a suffix and the partial name."""
_RESERVED = re.compile(r"(?i:con|prn|aux|nul|com[0-9]|lpt[0-9])(\.|$)")
"""Device names of Windows."""


def is_file(path: str | os.PathLike[str]) -> bool:
    """Test for a file; False if the name is invalid: too long, or with a NUL in it."""
    with suppress(OSError, ValueError):
        return Path(path).is_file()
    return False


def is_folder(path: str | os.PathLike[str]) -> bool:
    """Test for a folder; False if the name is invalid."""
    with suppress(OSError, ValueError):
        return Path(path).is_dir()
    return False


def exists(path: str | os.PathLike[str]) -> bool:
    """Test for a file, a folder or anything else; False if the name is invalid."""
    with suppress(OSError, ValueError):
        return Path(path).exists()
    return False


def sha256_of_file(path: Path) -> str:
    """SHA-256 of a file's content in hexadecimal, in little memory."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@contextmanager
def explained(path: str | os.PathLike[str], *others: type[Exception]) -> Iterator[None]:
    """Turn an OSError of the block, or one of `others`, into an OutputError that names the file."""
    kinds: tuple[type[Exception], ...] = (OSError, *others)
    try:
        yield
    except kinds as error:
        reason = getattr(error, "strerror", None) or error
        raise OutputError(f"cannot be written: {reason}", file=path) from error


@contextmanager
def replacing(path: str | os.PathLike[str], *others: type[Exception], sync: bool = False) -> Iterator[Path]:
    """Yield a temporary path, which is renamed to ``path`` when the block ends.

    After any exception, Ctrl-C included, the temporary file is removed and ``path`` is unchanged.

    Args:
        path: the file to write; its folder is made.
        others: exceptions, besides OSError, that mean that the file cannot be written.
        sync: flush to the disk first, so that a power failure leaves no partial file.

    Raises:
        OutputError: the file cannot be written.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     with replacing(Path(folder, "notes.txt")) as partial:
    ...         _ = partial.write_text("whole")
    ...     Path(folder, "notes.txt").read_text()
    'whole'
    """
    path = Path(path)
    suffix = f".{os.getpid()}-{secrets.token_hex(4)}{PARTIAL}"
    partial = path.with_name(f".{_cut(path.name, MAX_NAME_BYTES - len(suffix) - 1)}{suffix}")
    with explained(path, *others):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            yield partial
            if sync:
                with partial.open("rb+") as file:
                    os.fsync(file.fileno())
            partial.replace(path)
        except BaseException:
            with suppress(OSError):
                partial.unlink()
            raise


def write_file(path: str | os.PathLike[str], content: bytes | memoryview, *, sync: bool = False) -> None:
    """Write a file via a temporary one, with the errors of :func:`replacing`."""
    with replacing(path, sync=sync) as partial:
        partial.write_bytes(content)


def partial_path(path: Path) -> Path:
    """Path at which a file that stays open is written until it is complete."""
    return path.with_name(_cut(path.name, MAX_NAME_BYTES - len(PARTIAL)) + PARTIAL)


def complete(path: Path) -> None:
    """Rename a file that was written at :func:`partial_path`; an OutputError if that fails."""
    with explained(path):
        partial_path(path).replace(path)


def new_run_directory(wanted: Path) -> Path:
    """Make a directory for a run's results: ``wanted`` if that is new or empty, else ``wanted-2``, ...

    Raises:
        OutputError: the directory cannot be made.
    """
    for number in itertools.count(1):
        directory = wanted if number == 1 else wanted.with_name(f"{wanted.name}-{number}")
        with explained(directory):
            try:
                directory.mkdir(parents=True)
            except FileExistsError:
                if not directory.is_dir() or any(directory.iterdir()):
                    continue
            return directory
    raise AssertionError("there is always a next number")


def safe_name(name: str, otherwise: str) -> str:
    """Make a name valid on every file system and free of path separators, cut where it is too long.

    >>> safe_name("a/b:c", "image")
    'a_b_c'
    >>> safe_name("..", "image")
    'image'
    """
    name = re.sub(r'[\x00-\x1f\x7f<>:"/\\|?*\ud800-\udfff]', "_", name)
    name = _cut(name, MAX_NAME_BYTES - _ROOM).strip(" .")
    return f"_{name}" if _RESERVED.match(name) else name or otherwise


def _cut(name: str, limit: int) -> str:
    return os.fsencode(name)[:limit].decode(errors="ignore") if len(os.fsencode(name)) > limit else name
