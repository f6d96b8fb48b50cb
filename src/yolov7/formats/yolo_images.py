"""Finder of the images of a YOLO split: folders, lists and globs, also with paths from another machine."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain, product
from pathlib import Path

from yolov7.data.dataset import plain_split
from yolov7.data.findings import Findings
from yolov7.data.folders import has_magic, images_below, images_of_glob, is_hidden
from yolov7.data.lists import find_listed, in_home, read_list, spellings, tails
from yolov7.errors import DataError
from yolov7.files import exists, is_file, is_folder
from yolov7.formats.yolo_description import Description
from yolov7.images.kinds import IMAGE_SUFFIXES
from yolov7.text import listed, plural, printable

MAX_FOLDERS = 1_000
"""Maximum number of folders and globs per split."""
MAX_MISSING = 1_000
"""Maximum number of missing images per list; above it, the list is taken to belong to another data set."""


class ImageFinder:
    """Finder of the images of a split."""

    def __init__(self, description: Description, split: str, findings: Findings) -> None:
        self.description = description
        self.split = split
        self.findings = findings
        self.folders: list[Path] = []  # that the split names
        self._folder_count = 0

    def images(self) -> list[Path]:
        """Find each image once, in the order of the description.

        Raises:
            DataError: a named file or folder does not exist, or there is no image.
        """
        entries = [entry.strip() for entry in self.description.splits[self.split]]
        found = {entry: self._expand(entry) for entry in dict.fromkeys(entries)}  # each once
        unique = list(dict.fromkeys(path for paths in found.values() for path in paths))
        if (named := sum(len(found[entry]) for entry in entries)) > len(unique):
            self._named_twice(named - len(unique))
        if not unique:
            raise self.error("no images", found=f"none with a known suffix in {_listed(entries)}")
        return unique

    def error(self, message: str, *, expected: object = None, found: object = None) -> DataError:
        """Build an error that points to the split's line."""
        file, line = self.description.file, self.description.lines.get(self.split)
        return DataError(message, file=file, line=line, expected=expected, found=found)

    def _warn(self, message: str) -> None:
        self.findings.warning(self.description.file, message, self.description.lines.get(self.split))

    def _named_twice(self, count: int) -> None:
        self._warn(f"{plural(count, 'image')} of {self.split!r} named more than once: used once")

    def _expand(self, entry: str) -> list[Path]:
        """Find the images of one entry of the description."""
        candidates = self._candidates(entry)
        path = next(filter(exists, candidates), None)
        if path is None and has_magic(entry):
            self._count_folder()
            for pattern in candidates:
                if found := images_of_glob(pattern, self.findings):
                    return found
        path = path or self._by_tail(entry)
        if path is None:
            raise self.error(
                f"{self.split}: {printable(entry, 200)} does not exist",
                expected=f"one of {_listed(map(str, candidates))}",
            )
        if is_folder(path):
            self.folders.append(path)
            return self._images_below(path)
        return [path] if path.suffix.lower() in IMAGE_SUFFIXES else self._read_list(path)

    def _images_below(self, folder: Path) -> list[Path]:
        self._count_folder()
        return images_below(folder, self.findings)

    def _count_folder(self) -> None:
        """Count a searched folder or glob.

        Raises:
            DataError: there are more than `MAX_FOLDERS`.
        """
        self._folder_count += 1
        if self._folder_count > MAX_FOLDERS:
            raise self.error(
                f"more than {MAX_FOLDERS:,} folders and globs are named", expected="a list of images"
            )

    def _candidates(self, entry: str) -> list[Path]:
        """Paths that an entry may mean, most likely first: with slashes, without a leading ``../``."""
        names = [str(in_home(name)) for name in spellings(entry)]
        names += [name.removeprefix("../") for name in names]
        return list(dict.fromkeys(base / name for base in self.description.bases for name in names))

    def _by_tail(self, entry: str) -> Path | None:
        """Find the longest tail of a path from another machine that exists here."""
        for tail in tails(entry):
            if "/" not in tail and Path(tail).suffix == "" and plain_split(tail) != plain_split(self.split):
                break  # a single folder name may belong to another split
            for base in self.description.bases:
                if exists(base / tail):
                    self._warn(f"{self.split}: {printable(entry, 200)} does not exist: {base / tail} is used")
                    return base / tail
        return None

    def _read_list(self, file: Path) -> list[Path]:
        """Find the images of a list, each once; missing ones are reported as defects."""
        bases = list(dict.fromkeys((file.parent, *self.description.bases)))
        moved = _MovedFiles(bases)
        found: dict[Path, None] = {}
        missing: list[tuple[int, str]] = []
        twice = 0

        def unusable(problem: str) -> DataError:
            line, entry = missing[0]
            return DataError(
                problem,
                file=file,
                line=line,
                expected=f"{entry} in " + " or ".join(map(str, bases)),
                found="nothing, not even by the end of the path",
            )

        for line, entry in read_list(file, self.findings):
            path = find_listed(entry, bases) or moved.find(entry)
            if path is None:
                shown = printable(entry, 200)
                missing.append((line, shown))
                message = f"no such image: {shown}: left out"
                self.findings.lose("named in a list but missing", file, message, line, shown)
                if len(missing) > MAX_MISSING:
                    raise unusable(f"more than {MAX_MISSING:,} images in the list do not exist")
            elif is_folder(path):
                found.update(dict.fromkeys(self._images_below(path)))
            elif is_hidden(path.name) or is_hidden(path.parent.name):
                self.findings.leave_out("hidden or made by the system", path)
            else:
                twice += path in found
                found[path] = None
        if missing and not found:
            raise unusable(f"none of the {len(missing):,} images in the list exist")
        if moved.count:
            count = plural(moved.count, "path")
            message = f"{count} from another machine: found by the end, such as {moved.example}"
            self.findings.warning(file, message)
        if twice:
            self._named_twice(twice)
        return list(found)


class _MovedFiles:
    """Finder of files below the folders `bases` by the tail of a path from another machine."""

    def __init__(self, bases: list[Path]) -> None:
        self.bases = bases
        self.count = 0
        self.example = ""
        self._last: list[tuple[int, Path]] = []  # number of dropped parts, and base, of the last file

    def find(self, entry: str) -> Path | None:
        """Find a file, first where the last one was."""
        ends = tails(entry)
        for dropped, base in chain(self._last, product(range(len(ends)), self.bases)):
            if dropped < len(ends) and is_file(path := base / ends[dropped]):
                self._last = [(dropped, base)]
                self.count += 1
                self.example = self.example or f"{printable(entry, 200)} -> {path}"
                return path
        return None


def _listed(entries: Iterable[str]) -> str:
    return listed([printable(entry, 200) for entry in entries], limit=5)
