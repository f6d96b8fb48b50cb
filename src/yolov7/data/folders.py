"""Images below a folder: links followed, what is hidden left out, everything that is not taken counted."""

from __future__ import annotations

import fnmatch
import logging
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from yolov7.data.foreign import FOREIGN_SUFFIXES, left_out_as
from yolov7.data.images import IMAGE_SUFFIXES
from yolov7.data.summary import Tally
from yolov7.errors import DataError
from yolov7.files import is_folder

_LOG = logging.getLogger(__name__)

MAX_OTHERS = 100_000
"""Files and folders that are no images and are looked at, where there are not a tenth as many images."""
MAX_DEPTH = 64
"""Folders inside each other."""
_PROGRESS = 100_000

# fmt: off
_LABELS = frozenset((
    ".cache", ".csv", ".data", ".html", ".json", ".jsonl", ".md", ".names", ".npy", ".txt", ".xml", ".yaml",
    ".yml",
))
"""Endings of what lies beside images as a matter of course."""
_OF_SYSTEMS = frozenset((
    "#recycle", "#snapshot", "$recycle.bin", "@__thumb", "@eadir", "__macosx", "lost+found",
    "system volume information",
))
"""Folders that systems make, lower case."""
# fmt: on
_MAGIC = re.compile(r"[*?[]")


def is_hidden(name: str) -> bool:
    """Whether a file or folder is hidden or made by a system, by its name alone.

    >>> [is_hidden(name) for name in (".ipynb_checkpoints", "__MACOSX", "._a.jpg", "a.jpg")]
    [True, True, True, False]
    """
    return name.startswith(".") or name.casefold() in _OF_SYSTEMS


def images_below(
    folder: Path, tally: Tally, *, depth: int = MAX_DEPTH, wanted: Callable[[Path], bool] | None = None
) -> list[Path]:
    """Image files of a folder and of those in it, in order of their paths.

    Args:
        folder: where to begin.
        tally: counts what is left out.
        depth: folders inside each other that are entered.
        wanted: which of the images to take; the others are not counted.

    Raises:
        DataError: it is the root of a disk, cannot be read, or holds next to no images among very many files.
    """
    if folder.resolve() in (Path(folder.resolve().anchor), Path.home()):
        raise DataError("a whole disk or home is no folder of images", file=folder)
    images: list[Path] = []
    others = 0
    for number, (path, is_dir) in enumerate(_walk(folder, tally, depth), 1):
        if number % _PROGRESS == 0:
            _LOG.warning("%s: %s files so far, %s of them images", folder, f"{number:,}", f"{len(images):,}")
        suffix = path.suffix.lower()
        if not is_dir and suffix in IMAGE_SUFFIXES:
            if wanted is None or wanted(path):
                images.append(path)
            continue
        others += 1
        if others > MAX_OTHERS and others > 10 * len(images):
            raise DataError(
                f"more than {MAX_OTHERS:,} files and folders that are no images",
                file=folder,
                expected="a folder of images",
                found=f"{len(images):,} images",
            )
        if not is_dir and wanted is None:
            if suffix in FOREIGN_SUFFIXES:
                tally.add(left_out_as(path), path)
            elif suffix not in _LABELS:
                tally.add("no images by their ending", path)
    return sorted(images)


def _walk(folder: Path, tally: Tally, depth: int) -> Iterator[tuple[Path, bool]]:
    """(path, whether it is a folder) of everything visible. Linked folders come last, and none twice."""
    pending: list[tuple[Path, int]] = [(folder, 0)]
    linked: list[tuple[Path, int]] = []
    seen: set[tuple[int, int]] = set()
    while pending or linked:
        here, level = pending.pop() if pending else linked.pop(0)
        try:
            status = here.stat()
            with os.scandir(here) as entries:
                inside = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            if here == folder:
                raise DataError(f"the folder cannot be read: {error.strerror}", file=folder) from error
            tally.add(f"folders that cannot be read ({error.strerror})", here)
            continue
        if (status.st_dev, status.st_ino) in seen:
            tally.add("links to folders that are read already", here)
            continue
        seen.add((status.st_dev, status.st_ino))
        for entry in inside:
            path = here / entry.name
            is_dir = is_folder(path) if entry.is_symlink() else entry.is_dir()
            if is_hidden(entry.name):
                if is_dir or path.suffix.lower() in IMAGE_SUFFIXES:
                    tally.add("hidden or made by the system", path)
                continue
            yield path, is_dir
            if is_dir and level < depth:
                (linked if entry.is_symlink() else pending).append((path, level + 1))
            elif is_dir and depth == MAX_DEPTH:
                tally.add("folders too deep inside others", path)


def has_magic(entry: str) -> bool:
    """Whether a path has the wildcards ``*``, ``?`` or ``[``."""
    return _MAGIC.search(entry) is not None


def images_of_glob(base: Path, pattern: str, tally: Tally) -> list[Path]:
    """Images that a pattern matches: ``*``, ``?``, ``[abc]`` within a name, ``**`` for any folders.

    Parts that exist as they are written are no patterns: the folder ``set [v2]`` is found.
    """
    parts = list(Path(pattern).parts)
    if len(parts) > MAX_DEPTH:
        return []
    while parts and (parts[0] != "**" and (not has_magic(parts[0]) or is_folder(base / parts[0]))):
        base /= parts.pop(0)
    if not parts or not is_folder(base):
        return []
    depth = MAX_DEPTH if "**" in parts else len(parts) - 1
    tests = [None if part == "**" else re.compile(fnmatch.translate(part)) for part in parts]
    return images_below(
        base, tally, depth=depth, wanted=lambda path: _matches(path.relative_to(base).parts, tests)
    )


def _matches(parts: tuple[str, ...], tests: list[re.Pattern[str] | None]) -> bool:
    """Whether the parts of a path meet the tests, None being any number of parts; in time linear in both."""

    def reach(places: set[int]) -> set[int]:
        for place in sorted(places):
            while place < len(tests) and tests[place] is None:
                place += 1
                places.add(place)
        return places

    places = reach({0})
    for part in parts:
        following = set()
        for place in places:
            if place == len(tests):
                continue
            test = tests[place]
            if test is None:
                following.add(place)
            elif test.match(part):
                following.add(place + 1)
        places = reach(following)
    return len(tests) in places
