"""Finder of the images of a YOLO split: folders, lists and globs, also with paths from another machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from yolov7.data.dataset import plain_split
from yolov7.data.folders import has_magic, images_below, images_of_glob, is_hidden
from yolov7.data.labels import Defect
from yolov7.data.lists import find_listed, in_home, read_list, spellings, tails
from yolov7.data.summary import Tally
from yolov7.errors import DataError
from yolov7.files import exists, is_file, is_folder
from yolov7.formats.yolo_description import Description
from yolov7.images.kinds import IMAGE_SUFFIXES
from yolov7.text import plural, printable

MAX_FOLDERS = 1_000
"""Maximum number of folders and globs per split."""
MAX_MISSING = 1_000
"""Maximum number of missing images per list; with more, the list is taken to be of another data set."""


class ImageFinder:
    """Finder of the images of a split.

    Attributes:
        folders: folders that the split names.
    """

    def __init__(self, description: Description, split: str, defects: list[Defect], tally: Tally) -> None:
        self.description = description
        self.split = split
        self.defects = defects
        self.tally = tally
        self.folders: list[Path] = []
        self._folder_count = 0

    def images(self) -> list[Path]:
        """Find each image once, in the order of the description.

        Raises:
            DataError: a named file or folder does not exist, or there is no image.
        """
        entries = [entry.strip() for entry in self.description.splits[self.split]]
        found = {entry: self._expand(entry) for entry in dict.fromkeys(entries)}  # each once, however often
        unique = list(dict.fromkeys(path for paths in found.values() for path in paths))
        if (named := sum(len(found[entry]) for entry in entries)) > len(unique):
            self._named_twice(named - len(unique))
        if not unique:
            raise self.error("no images", found=f"none with a known ending in {_shown(entries)}")
        return unique

    def error(self, message: str, *, expected: object = None, found: object = None) -> DataError:
        """Build an error at the line that names the split."""
        description = self.description
        line = description.lines.get(self.split)
        return DataError(message, file=description.file, line=line, expected=expected, found=found)

    def _warn(self, message: str) -> None:
        line = self.description.lines.get(self.split)
        self.defects.append(Defect(str(self.description.file), line, message, "warning"))

    def _named_twice(self, count: int) -> None:
        self._warn(f"{plural(count, 'image')} of {self.split!r} named more than once: used once")

    def _expand(self, entry: str) -> list[Path]:
        """Find the images of one entry of the description."""
        path = next((path for path in self._candidates(entry) if exists(path)), None)
        if path is None and has_magic(entry):
            self.count_folder()
            for name in self._names(entry):
                for base in self.description.bases:
                    if found := images_of_glob(base, name, self.tally):
                        return found
        if path is None:
            path = self._by_tail(entry)
        if path is None:
            raise self.error(
                f"{self.split}: {printable(entry, 200)} does not exist",
                expected="one of " + _shown([str(path) for path in self._candidates(entry)]),
            )
        if is_folder(path):
            self.folders.append(path)
            return self.below(path)
        return [path] if path.suffix.lower() in IMAGE_SUFFIXES else self._read_list(path)

    def below(self, folder: Path) -> list[Path]:
        """Find the images of a folder."""
        self.count_folder()
        return images_below(folder, self.tally)

    def count_folder(self) -> None:
        """Count a searched folder or glob.

        Raises:
            DataError: there are more than `MAX_FOLDERS`.
        """
        self._folder_count += 1
        if self._folder_count > MAX_FOLDERS:
            raise self.error(
                f"more than {MAX_FOLDERS:,} folders and globs are named", expected="a list of images"
            )

    def _names(self, entry: str) -> list[str]:
        """Spellings of a path to try: as written, with slashes, without a leading ``../``."""
        names = [str(in_home(name)) for name in spellings(entry)]
        return list(dict.fromkeys([*names, *(name.removeprefix("../") for name in names)]))

    def _candidates(self, entry: str) -> Iterator[Path]:
        """Yield candidate paths of an entry, most likely first."""
        yield from dict.fromkeys(
            base / name for base in self.description.bases for name in self._names(entry)
        )

    def _by_tail(self, entry: str) -> Path | None:
        """Find the longest end of a path from another machine that exists here."""
        for tail in tails(entry):
            if "/" not in tail and Path(tail).suffix == "" and plain_split(tail) != plain_split(self.split):
                break  # a single folder name may belong to another split
            for base in self.description.bases:
                if exists(base / tail):
                    self._warn(f"{self.split}: {printable(entry, 200)} does not exist: {base / tail} is used")
                    return base / tail
        return None

    def _read_list(self, file: Path) -> list[Path]:
        """Read the images of a list; missing ones are reported as defects."""
        reader = _ListReader(file, self)
        paths = reader.paths()
        if not paths and reader.missing:
            raise DataError(
                f"none of the {reader.missing:,} images of the list exists",
                file=file,
                line=reader.first_line,
                expected=f"{reader.first} in " + " or ".join(str(base) for base in reader.bases),
                found="nothing, also by the end of the path",
            )
        if reader.moved:
            moved = plural(reader.moved, "path")
            message = f"{moved} from another machine: found by the end, such as {reader.example}"
            self.defects.append(Defect(str(file), None, message, "warning"))
        if reader.twice:
            self._named_twice(reader.twice)
        return paths


class _ListReader:
    """Reader of one list of images."""

    def __init__(self, file: Path, finder: ImageFinder) -> None:
        self.file = file
        self.finder = finder
        self.bases = list(dict.fromkeys((file.parent, *finder.description.bases)))
        self.missing = self.moved = self.twice = 0
        self.first_line: int | None = None
        self.first = self.example = ""
        self._last: tuple[Path, int] | None = None

    def paths(self) -> list[Path]:
        found: dict[Path, None] = {}
        for line, entry in read_list(self.file, self.finder.defects):
            path = self._find(entry)
            if path is None:
                self._report_missing(entry, line)
            elif is_folder(path):
                for image in self.finder.below(path):
                    found[image] = None
            elif is_hidden(path.name) or is_hidden(path.parent.name):
                self.finder.tally.add("hidden or made by the system", path)
            elif path in found:
                self.twice += 1
            else:
                found[path] = None
        return list(found)

    def _find(self, entry: str) -> Path | None:
        if (path := find_listed(entry, self.bases)) is not None:
            return path
        if self._last is not None:
            base, dropped = self._last
            ends = tails(entry)
            if dropped < len(ends) and is_file(base / ends[dropped]):
                self.moved += 1
                return base / ends[dropped]
        for dropped, tail in enumerate(tails(entry)):
            for base in self.bases:
                if is_file(base / tail):
                    self._last = base, dropped
                    self.moved += 1
                    self.example = self.example or f"{printable(entry, 200)} -> {base / tail}"
                    return base / tail
        return None

    def _report_missing(self, entry: str, line: int) -> None:
        self.missing += 1
        shown = printable(entry, 200)
        if self.missing == 1:
            self.first_line, self.first = line, shown
        message = f"no such image: {shown}: left out"
        self.finder.defects.append(Defect(str(self.file), line, message, "error"))
        self.finder.tally.add("named in a list but missing", shown)
        if self.missing > MAX_MISSING:
            raise DataError(
                f"more than {MAX_MISSING:,} images of the list do not exist",
                file=self.file,
                line=self.first_line,
                expected=f"{self.first} in " + " or ".join(str(base) for base in self.bases),
            )


def _shown(entries: tuple[str, ...] | list[str]) -> str:
    shown = ", ".join(printable(entry, 200) for entry in entries[:5])
    return shown if len(entries) <= 5 else f"{shown} and {len(entries) - 5} more"
