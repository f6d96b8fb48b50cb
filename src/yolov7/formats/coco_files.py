"""Image files of a COCO json, whose file names often come from another machine."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import unquote

from yolov7.data.findings import Findings
from yolov7.errors import DataError
from yolov7.files import is_folder
from yolov7.text import plural

_SAMPLE = 200  # file names that are tried in each candidate folder


def find_images(
    names: Sequence[str], folders: Sequence[Path], file: Path, findings: Findings
) -> tuple[list[Path], dict[int, str]]:
    """Choose the folder that holds the most names, and find each name's file in it.

    Args:
        names: file names as written in the json.
        folders: candidate folders, most likely first.
        file: json file, for messages.
        findings: record of defects: a warning if names are found only by their last part.

    Returns:
        Path of each name, existing or not, and the reason why a name has no file, by its index.

    Raises:
        DataError: none of the sampled names is in any of the folders.
    """
    sample = names[:: max(1, len(names) // _SAMPLE)][:_SAMPLE]
    scores = []
    for folder in folders:
        hits = [found for name in sample if (found := _resolve(folder, name))] if is_folder(folder) else []
        scores.append((sum(not loose for _, loose in hits), len(hits)))
    best = max(scores, default=(0, 0))
    if sample and not best[1]:
        raise DataError(
            "images not found; name their folder with --images DIR (images= in Python)",
            file=file,
            expected=f"{sample[0]} in one of {', '.join(map(str, folders))}",
        )
    folder = folders[scores.index(best)]
    places: list[tuple[Path, bool | None]] = [
        _resolve(folder, name) or (folder / name.replace("\\", "/"), None) for name in names
    ]
    users: dict[Path, set[str]] = defaultdict(set)
    for name, (path, _) in zip(names, places, strict=True):
        users[path].add(name)
    problems = {}
    for index, (path, loose) in enumerate(places):
        if loose is None:
            problems[index] = "no such file"
        elif loose and len(users[path]) > 1:
            problems[index] = f"{names[index]} shares its last part with other images"
    if by_last_part := sum(loose is True for _, loose in places):
        count = plural(by_last_part, "file name")
        findings.warning(file, f"{count} with unknown folders: found by the last part in {folder}")
    return [path for path, _ in places], problems


def _resolve(folder: Path, name: str) -> tuple[Path, bool] | None:
    """Find the file of a name. -> (path, True if found by the last part alone), or None."""
    for variant, loose in _variants(name):
        if os.path.isfile(os.path.join(folder, variant)):  # noqa: PTH113, PTH118 - a Path takes twice as long
            return folder / variant, loose
    return None


def _variants(name: str) -> Iterator[tuple[str, bool]]:
    """Yield spellings to try: as is, with slashes, URL-decoded; then likewise its last part alone (True)."""
    yield name, False
    plain = name.replace("\\", "/")
    last = plain.rsplit("/", 1)[-1]
    spellings = {plain: False, unquote(plain): False}
    for part in (last, unquote(last), unquote(last.partition("?")[0])):
        spellings.setdefault(part, True)
    yield from spellings.items()
