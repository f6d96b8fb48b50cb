"""Search for images below a folder: links are followed, hidden files left out, other files counted."""

from __future__ import annotations

import fnmatch
import logging
import os
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

from yolov7.data.findings import Findings
from yolov7.errors import DataError
from yolov7.files import is_folder
from yolov7.images.kinds import FOREIGN_SUFFIXES, IMAGE_SUFFIXES, left_out_as

_LOG = logging.getLogger(__name__)

MAX_OTHERS = 100_000
"""Maximum number of other files and folders, unless there is at least one image per ten of them."""
MAX_DEPTH = 64
"""Maximum nesting of folders."""
_PROGRESS = 100_000  # files between log messages

# fmt: off
_LABELS = frozenset((
    ".cache", ".csv", ".data", ".html", ".json", ".jsonl", ".md", ".names", ".npy", ".txt", ".xml", ".yaml",
    ".yml",
))
"""Suffixes of files that usually lie beside images; they are not counted as left out."""
_SYSTEM_FOLDERS = frozenset((
    "#recycle", "#snapshot", "$recycle.bin", "@__thumb", "@eadir", "__macosx", "lost+found",
    "system volume information",
))
"""Folders made by operating systems, lower case."""
# fmt: on
_MAGIC = re.compile(r"[*?[]")


def is_hidden(name: str) -> bool:
    """True for the name of a hidden or system file or folder.

    >>> [is_hidden(name) for name in (".ipynb_checkpoints", "__MACOSX", "._a.jpg", "a.jpg")]
    [True, True, True, False]
    """
    return name.startswith(".") or name.casefold() in _SYSTEM_FOLDERS


def is_disk_or_home(folder: Path) -> bool:
    """True for the root of a disk and for the home folder, which are not searched."""
    return folder.resolve() in (Path(folder.resolve().anchor), Path.home())


def subfolders(folder: Path) -> list[Path]:
    """Sorted visible subfolders of a folder, links included; empty if it cannot be listed."""
    try:
        return sorted(path for path in folder.iterdir() if is_folder(path) and not is_hidden(path.name))
    except OSError:
        return []


def images_below(
    folder: Path, findings: Findings, *, depth: int = MAX_DEPTH, wanted: Callable[[Path], bool] | None = None
) -> list[Path]:
    """Find the image files in a folder and `depth` levels of subfolders, sorted by path.

    Images that are not `wanted` are not counted as left out.

    Raises:
        DataError: the folder is a disk's root or a home folder, cannot be read, or holds more than
            `MAX_OTHERS` other files and hardly any images.
    """
    if is_disk_or_home(folder):
        raise DataError("a whole disk or home folder is not a folder of images", file=folder)
    images: list[Path] = []
    others = 0
    for number, (path, is_dir) in enumerate(_walk(folder, findings, depth), 1):
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
                f"more than {MAX_OTHERS:,} files and folders that are not images",
                file=folder,
                expected="a folder of images",
                found=f"{len(images):,} images",
            )
        if not is_dir and wanted is None:
            if suffix in FOREIGN_SUFFIXES:
                findings.leave_out(left_out_as(path), path)
            elif suffix not in _LABELS:
                findings.leave_out("not images by their suffix", path)
    return sorted(images)


def _walk(folder: Path, findings: Findings, depth: int) -> Iterator[tuple[Path, bool]]:
    """Yield (path, True for a folder) of everything visible: linked folders last, each folder once."""
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
            findings.leave_out(f"folders that cannot be read ({error.strerror})", here)
            continue
        if (status.st_dev, status.st_ino) in seen:
            findings.leave_out("links to folders already searched", here)
            continue
        seen.add((status.st_dev, status.st_ino))
        for entry in inside:
            path = here / entry.name
            is_dir = is_folder(path) if entry.is_symlink() else entry.is_dir()
            if is_hidden(entry.name):
                if is_dir or path.suffix.lower() in IMAGE_SUFFIXES:
                    findings.leave_out("hidden or made by the system", path)
                continue
            yield path, is_dir
            if is_dir and level < depth:
                (linked if entry.is_symlink() else pending).append((path, level + 1))
            elif is_dir and depth == MAX_DEPTH:
                findings.leave_out("folders nested too deep", path)


def has_magic(entry: str) -> bool:
    """True if a path has a wildcard ``*``, ``?`` or ``[``."""
    return _MAGIC.search(entry) is not None


def images_of_glob(pattern: Path, findings: Findings) -> list[Path]:
    """Find the images that match a pattern: ``*``, ``?``, ``[abc]`` in a name, ``**`` for any folders.

    Leading parts that exist as written are taken literally: the folder ``set [v2]`` is found.
    """
    base, parts = Path(), list(pattern.parts)
    while parts and (parts[0] != "**" and (not has_magic(parts[0]) or is_folder(base / parts[0]))):
        base /= parts.pop(0)
    if not 0 < len(parts) <= MAX_DEPTH or not is_folder(base):
        return []
    depth = MAX_DEPTH if "**" in parts else len(parts) - 1
    tests = [None if part == "**" else re.compile(fnmatch.translate(part)) for part in parts]

    def wanted(path: Path) -> bool:
        return _matches(path.relative_to(base).parts, tests)

    return images_below(base, findings, depth=depth, wanted=wanted)


def _matches(parts: tuple[str, ...], tests: list[re.Pattern[str] | None]) -> bool:
    """True if the parts match the tests; None matches any number of parts."""

    @cache  # makes the time linear in both lengths
    def match(part: int, test: int) -> bool:
        if test == len(tests):
            return part == len(parts)
        pattern, more = tests[test], part < len(parts)
        if pattern is None:
            return match(part, test + 1) or (more and match(part + 1, test))
        return more and pattern.match(parts[part]) is not None and match(part + 1, test + 1)

    return match(0, 0)
