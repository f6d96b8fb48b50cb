"""Reader of the description of a YOLO data set: its class names and the images of each split.

data.yaml             path, train, val, test, names, nc, kpt_shape
obj.data              Darknet: classes, train, valid, names = obj.names
classes.txt, *.names  class names, written by labelling tools beside the images or images/ and labels/
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from yolov7.data.classes import MAX_CLASS_NAME, MAX_CLASSES, check_class_count
from yolov7.data.findings import Defect, Findings
from yolov7.data.lists import entries_of, find_listed, in_home, lines_of, spellings, tails
from yolov7.data.plain_yaml import read_yaml
from yolov7.data.text_files import read_text
from yolov7.errors import DataError
from yolov7.files import is_file, is_folder
from yolov7.text import listed, plural, printable

MAX_TEXT_BYTES = 2_000_000
"""Maximum size of data.yaml, obj.data or a file of class names."""

SPLITS = ("train", "val", "valid", "validation", "test")
_VALIDATION = ("val", "valid", "validation")
_NULLS = frozenset(("", "~", "null", "Null", "NULL"))
_SURROGATE = re.compile("[\ud800-\udfff]")
_KNOWN = frozenset((*SPLITS, "path", "names", "nc", "kpt_shape"))
# fmt: off
_IGNORED = frozenset((
    "author", "channels", "colors", "colours", "date", "description", "download", "flip_idx", "info",
    "kpt_names", "licence", "license", "roboflow", "task", "url", "version", "yolo_version",
))
# fmt: on
"""Keys without effect on detection, ignored without a warning."""
_MEANT = {
    **dict.fromkeys(("class", "classes", "class_names", "classnames", "labels", "categories"), "names"),
    **dict.fromkeys(("num_classes", "n_classes", "number_of_classes"), "nc"),
    **dict.fromkeys(("training", "train_images", "train_path"), "train"),
    **dict.fromkeys(("vali", "validate", "dev", "val_images", "val_path"), "val"),
    **dict.fromkeys(("testing", "test_images", "test_path"), "test"),
    **dict.fromkeys(("root", "root_dir", "dataset_path"), "path"),
}


@dataclass(frozen=True)
class Description:
    """Class names and splits of a YOLO data set."""

    file: Path  # that describes it
    names: tuple[str, ...]  # class names by label
    splits: Mapping[str, tuple[str, ...]]  # folders, files, lists and globs of each split
    bases: tuple[Path, ...]  # candidate base folders of relative paths, most likely first
    lines: dict[str, int] = field(default_factory=dict)  # of each key in the file
    keypoints: tuple[int, int] | None = None  # kpt_shape, (points, values per point), if there are keypoints
    defects: tuple[Defect, ...] = ()  # problems of the file that do not prevent its use


def describe_yaml(file: Path) -> Description:
    """Read a data.yaml.

    Raises:
        DataError: the file is not yaml, or a required entry is missing or invalid; with file and line.
    """
    return _YamlReader(file).description()


class _YamlReader:
    def __init__(self, file: Path) -> None:
        self.file = file
        self.findings = Findings()
        content, self.lines = read_yaml(read_text(file, self.findings, most=MAX_TEXT_BYTES), file)
        if not isinstance(content, dict):
            raise DataError("not a data.yaml", file=file, expected="a mapping with names, train, val")
        self.content: dict[str, Any] = content

    def description(self) -> Description:
        self._check_keys()
        names = self._names()
        splits = {split: entries for split in SPLITS if (entries := self._entries(split))}
        if not splits:
            expected = "train, val or test: a folder, a list, a glob"
            raise DataError("no split", file=self.file, expected=expected)
        bases, keypoints = self._bases(), self._keypoints()
        defects = self.findings.defects
        return Description(self.file, names, splits, bases, self.lines, keypoints, defects)

    def _check_keys(self) -> None:
        """Refuse a likely misspelling of a missing key; warn of other unknown keys."""
        unread = []
        for key in self.content:
            if key in _KNOWN or key in _IGNORED:
                continue
            plain = key.casefold().strip()
            near = difflib.get_close_matches(plain[:40], sorted(_KNOWN), n=1, cutoff=0.8)
            meant = _MEANT.get(plain) or (near[0] if near else None)
            same = _VALIDATION if meant in _VALIDATION else (meant,)
            if meant is not None and self.content.keys().isdisjoint(same):
                raise self._error(f"unknown key {printable(key, 60)!r}; did you mean {meant}?", key)
            unread.append(printable(key, 60))
        if unread:
            self._warn(f"keys that are not read: {listed(unread, 10)}", unread[0])

    def _names(self) -> tuple[str, ...]:
        names, count = self.content.get("names"), self._count()
        line = self.lines.get("names")
        if isinstance(names, str) and is_file(self.file.parent / names):
            checked = read_names(self.file.parent / names, self.findings)
        elif isinstance(names, dict | list) and names:
            given = self._numbered(names) if isinstance(names, dict) else names
            for name in given:
                if not isinstance(name, str):
                    raise self._error("invalid class name: not text", "names", found=_shown(name))
            checked = checked_names(given, self.file, line, self.findings)
        elif names is None and count is not None:
            checked = tuple(map(str, range(count)))
        else:
            raise self._error(
                "no class names",
                "names",
                expected="names: a list, or a mapping from 0",
                found=f"one text, {_shown(names)}" if isinstance(names, str) else _shown(names),
            )
        if count is not None and count != len(checked):
            raise self._error(
                "the number of classes differs from the number of names",
                "nc",
                expected=f"nc: {len(checked)}, for the names {printable(', '.join(checked[:20]), 200)}",
                found=f"nc: {count}",
            )
        return checked

    def _count(self) -> int | None:
        count = self.content.get("nc")
        if count is None:
            return None
        found = re.fullmatch(r"([0-9]{1,9})(\.0*)?", count) if isinstance(count, str) else None
        if found is None or not 0 < int(found[1]) <= MAX_CLASSES:
            raise self._error(
                "invalid number of classes", "nc", expected=f"1 to {MAX_CLASSES:,}", found=_shown(count)
            )
        return int(found[1])

    def _numbered(self, names: dict[str, Any]) -> list[Any]:
        """Read a mapping from numbers to names; 0, "0" and 00 are the same number."""
        odd = next((key for key in names if not re.fullmatch("[0-9]{1,9}", key)), None)
        if odd is not None:
            raise self._error(
                "class names without numbers",
                "names",
                expected="0: name of the first class",
                found=f"{printable(odd, 60)}: {_shown(names[odd])}",
            )
        by_number = {int(key): value for key, value in names.items()}
        missing = next((number for number in range(len(names)) if number not in by_number), None)
        if missing is not None:
            raise self._error(
                "the names are not numbered 0, 1, 2, ...",
                "names",
                expected=f"a name for {missing}",
                found=listed(list(map(str, by_number)), 20),
            )
        return [by_number[number] for number in range(len(names))]

    def _given(self, key: str) -> Any:
        """Value of a key; None for a YAML null."""
        value = self.content.get(key)
        return None if isinstance(value, str) and value.strip() in _NULLS else value

    def _entries(self, split: str) -> tuple[str, ...]:
        value = self._given(split)
        if value is None:
            return ()
        entries = value if isinstance(value, list) else [value]
        for entry in entries:
            if not isinstance(entry, str) or not entry.strip() or "\0" in entry:
                raise self._error("invalid split: not a path or a list of paths", split, found=_shown(entry))
        return tuple(entries)

    def _bases(self) -> tuple[Path, ...]:
        """Base folders: `path` of the yaml, or a tail that exists; the yaml's folder; the working folder."""
        here, root = self.file.parent, self._given("path")
        if root is None:
            return (here, Path())
        if not isinstance(root, str) or "\0" in root:
            raise self._error("invalid path", "path", found=_shown(root))
        named = (base / in_home(name) for base in (here, Path()) for name in spellings(root))
        found = next(filter(is_folder, named), None)
        if found is None:
            found = next((here / tail for tail in tails(root) if is_folder(here / tail)), here)
            message = f"there is no folder {printable(root, 200)}: paths are relative to {found.absolute()}"
            self._warn(message, "path")
        return tuple(dict.fromkeys((found, here, Path())))

    def _keypoints(self) -> tuple[int, int] | None:
        shape = self._given("kpt_shape")
        if shape is None:
            return None
        sides = [str(side) for side in shape] if isinstance(shape, list) else []
        numbers = [int(side) for side in sides if re.fullmatch("[0-9]{1,4}", side)]
        if len(sides) != 2 or len(numbers) != 2 or numbers[0] < 1 or numbers[1] not in (2, 3):
            raise self._error(
                "invalid kpt_shape", "kpt_shape", expected="[number of points, 2 or 3]", found=_shown(shape)
            )
        return numbers[0], numbers[1]

    def _warn(self, message: str, key: str) -> None:
        self.findings.warning(self.file, message, self.lines.get(key))

    def _error(self, message: str, key: str, *, expected: object = None, found: object = None) -> DataError:
        return DataError(message, file=self.file, line=self.lines.get(key), expected=expected, found=found)


def _shown(value: Any) -> str:
    """Format a value for a message; lists and mappings, which may be huge, by their length only."""
    if value is None:
        return "nothing"
    if isinstance(value, str):
        return repr(printable(value, 60))
    kind = "a list" if isinstance(value, list) else "a mapping"
    return f"{kind} of {len(value):,}"


def checked_names(names: list[str], file: Path, line: int | None, findings: Findings) -> tuple[str, ...]:
    """Check class names; warn if two classes share one.

    Raises:
        DataError: there are too many names, or one is too long, empty, or contains a lone surrogate.
    """
    check_class_count(len(names), file, line)
    for label, name in enumerate(names):
        problem = "is empty" if not name.strip() else ""
        if len(name) > MAX_CLASS_NAME:
            problem = "is too long"
        elif _SURROGATE.search(name):
            problem = "contains half of a character (a lone surrogate)"
        if problem:
            raise DataError(
                f"the name of class {label} {problem}",
                file=file,
                line=line,
                expected=f"1 to {MAX_CLASS_NAME} characters",
                found=f"{ascii(name)[:80]}, {len(name):,} characters",
            )
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        shown = listed([printable(name, 60) for name in repeated], limit=5)
        message = f"{plural(len(repeated), 'class name is', 'class names are')} repeated: {shown}"
        findings.warning(file, message, line)
    return tuple(names)


def read_names(file: Path, findings: Findings) -> tuple[str, ...]:
    """Read class names from a text file, one per line.

    Raises:
        DataError: the file cannot be read, is empty, or has an invalid name.
    """
    names = [name for _, name in lines_of(read_text(file, findings, most=MAX_TEXT_BYTES))]
    if not names:
        raise DataError("no class names", file=file, expected="one name per line")
    return checked_names(names, file, None, findings)


def describe_darknet(file: Path) -> Description:
    """Read a Darknet ``.data`` file with lines ``key = value``.

    Raises:
        DataError: the file is invalid, or has no class names or no split; with file and line.
    """
    findings = Findings()
    values: dict[str, str] = {}
    lines: dict[str, int] = {}
    for number, line in entries_of(read_text(file, findings, most=MAX_TEXT_BYTES)):
        key, sign, value = (part.strip() for part in line.partition("="))
        if not sign:
            raise DataError(
                "not a Darknet .data file", file=file, line=number, expected="key = value", found=line[:60]
            )
        values[key], lines[key] = value, number
    here = file.parent
    named = values.get("names", "")
    found = next(
        (path for name in [named, *tails(named)] if (path := find_listed(name, [here, Path()]))), None
    )
    if not named or found is None or not is_file(found):
        raise DataError(
            f"the file of class names {named} does not exist" if named else "no file of class names",
            file=file,
            line=lines.get("names"),
            expected="names = a text file with one name per line",
        )
    names = read_names(found, findings)
    if values.get("classes", str(len(names))) != str(len(names)):
        raise DataError(
            "the number of classes differs from the number of names",
            file=file,
            line=lines["classes"],
            expected=f"classes = {len(names)}, as in {found}",
            found=f"classes = {printable(values['classes'], 60)}",
        )
    splits = {split: (values[split],) for split in SPLITS if values.get(split)}
    if not splits:
        raise DataError("no split", file=file, expected="train = or valid = a list of images")
    return Description(file, names, splits, (here, Path()), lines, None, findings.defects)
