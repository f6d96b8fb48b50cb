"""Files of folders and globs, and errors about paths that are missing or unreadable."""

from __future__ import annotations

import difflib
import glob
import re
from collections.abc import Iterable
from pathlib import Path

from yolov7.errors import SourceError
from yolov7.files import is_folder
from yolov7.images.kinds import FOREIGN_SUFFIXES, IMAGE_SUFFIXES
from yolov7.sources.video import VIDEO_SUFFIXES

READABLE_SUFFIXES = IMAGE_SUFFIXES | VIDEO_SUFFIXES
_WANTED = READABLE_SUFFIXES | FOREIGN_SUFFIXES.keys()
"""Suffixes of the files taken from a folder. Unsupported image formats among them become errors."""
_ENDINGS = "files that end in " + " ".join(sorted(READABLE_SUFFIXES))


def suffix_of(path: str | Path) -> str:
    """Suffix of a path in lower case, dot included."""
    return Path(path).suffix.lower()


def natural_order(path: Path) -> list[tuple[list[tuple[int, str]], str]]:
    """Sort key by folders, then by name, in which numbers count as numbers: frame2 before frame10."""
    return [(_numbers(part), part) for part in path.parts]


def _numbers(part: str) -> list[tuple[int, str]]:
    pieces = re.split(r"([0-9]+)", part.casefold())  # text, digits, text, ...
    return [(int(piece), "") if i % 2 else (0, piece) for i, piece in enumerate(pieces)]


def files_in_folder(folder: Path) -> list[Path]:
    """Images and videos in a folder, in natural order, without hidden files and sub-folders.

    Raises:
        SourceError: there are none, or the folder is unreadable.
    """
    try:
        files = _readable(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise SourceError(f"the folder cannot be read: {error.strerror}", file=folder) from error
    if not files:
        below = next(
            (path.parent for path in folder.rglob("*") if suffix_of(path) in READABLE_SUFFIXES), None
        )
        hint = f"; there are some in {below}: '{folder / '**'}' includes sub-folders" if below else ""
        raise SourceError(f"no image or video in this folder{hint}", file=folder, expected=_ENDINGS)
    return files


def files_of_glob(pattern: str) -> tuple[list[Path], Path]:
    """Images and videos that a pattern matches, in natural order, and the folder before the first wildcard.

    Raises:
        SourceError: there are none.
    """
    files = _readable(map(Path, glob.iglob(pattern, recursive=True)))  # noqa: PTH207 - takes absolute patterns too
    if not files:
        raise SourceError(f"nothing matches {pattern}", expected=_ENDINGS)
    parts = Path(pattern).parts
    first = next(i for i, part in enumerate(parts) if glob.has_magic(part))
    return files, Path(*parts[:first])


def missing(path: Path) -> SourceError:
    """Error for a path that does not exist, with its first missing part and similar names there."""
    while not is_folder(path.parent):
        path = path.parent
    try:
        neighbours = {neighbour.name.casefold(): neighbour for neighbour in path.parent.iterdir()}
    except OSError:
        neighbours = {}
    similar = difflib.get_close_matches(path.name.casefold(), neighbours, n=3, cutoff=0.6)
    camera = (
        "a path; a camera has a number of one or two digits" if re.fullmatch("[0-9]{3,}", path.name) else None
    )
    return SourceError(
        f"{path} does not exist",
        expected=camera,
        found=" or ".join(str(neighbours[name]) for name in similar) or None,
    )


def unreadable_suffix(path: Path) -> SourceError:
    """Error for a file that is neither an image nor a video."""
    return SourceError(
        "neither an image nor a video nor a list of them, by its ending and its content",
        file=path,
        expected=f"{_ENDINGS}; .txt for a list",
        found=path.suffix or "no ending",
    )


def _readable(paths: Iterable[Path]) -> list[Path]:
    files = (path for path in paths if suffix_of(path) in _WANTED and not is_folder(path))
    return sorted(files, key=natural_order)
