"""Where the images of a COCO json are: the file names inside are often those of another machine."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from yolov7.errors import DataError
from yolov7.files import is_folder

_SAMPLE = 200
"""File names that decide which folder it is."""


@dataclass(frozen=True)
class Found:
    """Image files by their names in the json.

    Attributes:
        folder: the folder that they are in.
        paths: a file for each name, whether it is there or not.
        by_last_part: places of the names of which nothing but the last part fits.
        ambiguous: those of them that are several images with one last part.
        missing: places of the names of which there is no file.
    """

    folder: Path
    paths: list[Path]
    by_last_part: list[int]
    ambiguous: list[int]
    missing: list[int]


def find_images(names: Sequence[str], folders: Sequence[Path], file: Path) -> Found:
    """The folder in which the most of the names are, and each name's file.

    Args:
        names: as the json has them.
        folders: candidates, the most likely first.
        file: the json, for messages.

    Raises:
        DataError: none of a sample of the names is in any of the folders.
    """
    sample = names[:: max(1, len(names) // _SAMPLE)][:_SAMPLE]
    scores = []
    for folder in folders:
        hits = [found for name in sample if (found := _resolve(folder, name))] if is_folder(folder) else []
        scores.append((sum(not loose for _, loose in hits), len(hits)))
    best = max(scores, default=(0, 0))
    if sample and not best[1]:
        raise DataError(
            "its images were not found; name their folder with --images DIR (images= in Python)",
            file=file,
            expected=f"{sample[0]} in one of {', '.join(map(str, folders))}",
        )
    folder = folders[scores.index(best)]
    paths, loose, missing = [], [], []
    for index, name in enumerate(names):
        found = _resolve(folder, name)
        paths.append(found[0] if found else folder / name.replace("\\", "/"))
        if found is None:
            missing.append(index)
        elif found[1]:
            loose.append(index)
    return Found(folder, paths, loose, _shared(names, paths, loose), missing)


def _shared(names: Sequence[str], paths: Sequence[Path], loose: Sequence[int]) -> list[int]:
    """Places, among those found by their last part, of files that another name means too."""
    if not loose:
        return []
    users: dict[Path, set[str]] = defaultdict(set)
    for name, path in zip(names, paths, strict=True):
        users[path].add(name)
    return [index for index in loose if len(users[paths[index]]) > 1]


def _resolve(folder: Path, name: str) -> tuple[Path, bool] | None:
    """The file that a name means, and whether by its last part alone; None where there is none."""
    for variant, loose in _variants(name):
        if os.path.isfile(os.path.join(folder, variant)):  # noqa: PTH113, PTH118 - a Path takes twice as long
            return folder / variant, loose
    return None


def _variants(name: str) -> Iterator[tuple[str, bool]]:
    """What a name may mean: itself, with slashes, without %20; then its last part in the same ways."""
    plain = name.replace("\\", "/")
    last = plain.rsplit("/", 1)[-1]
    yield name, False
    if plain != name:
        yield plain, False
    if "%" in plain:
        yield unquote(plain), False
    if last and last != plain:
        yield last, True
    for part in (last, last.partition("?")[0]):
        if part and (part != last or "%" in part):
            yield unquote(part), True
