"""Reader of list files, one path per line, for data sets and for predict."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PureWindowsPath

from yolov7.data.findings import Findings
from yolov7.data.text_files import read_text
from yolov7.errors import DataError
from yolov7.files import exists

MAX_LIST_BYTES = 1 << 28
"""Maximum size of a list file."""
_MAX_PATH = 4096  # characters, as on Linux


def lines_of(text: str) -> Iterator[tuple[int, str]]:
    """Yield (line number from 1, line without surrounding blanks) of each non-empty line."""
    # splitlines() would also split at characters that file names may contain.
    for number, line in enumerate(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), 1):
        if stripped := line.strip():
            yield number, stripped


def entries_of(text: str) -> Iterator[tuple[int, str]]:
    """Yield (line, entry) of a list, without # comments and surrounding quotation marks.

    >>> list(entries_of('# May\\n"a b.jpg"\\n\\nc.jpg'))
    [(2, 'a b.jpg'), (4, 'c.jpg')]
    """
    for number, line in lines_of(text):
        if line.startswith("#"):
            continue
        quoted = len(line) > 2 and line[0] == line[-1] and line[0] in "\"'"
        yield number, line[1:-1] if quoted else line


def read_list(path: Path, findings: Findings) -> Iterator[tuple[int, str]]:
    """Read a list file and yield (line, entry).

    Raises:
        DataError: the file cannot be read, is not text, or is too large.
    """
    text = read_text(path, findings, most=MAX_LIST_BYTES)
    if "\0" in text:
        raise DataError("the list cannot be read: not a text file", file=path)
    return entries_of(text)


def is_list(content: bytes) -> bool:
    """True if the bytes are text, such as a list, rather than an image.

    >>> is_list(b"a.jpg"), is_list("a.jpg".encode("utf-16")), is_list(bytes((0xFF, 0xD8, 0xFF, 0)))
    (True, True, False)
    """
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return True
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return False
    return "\0" not in text and not re.match(r"P[1-6]\s", text)  # PNM images may be text


def spellings(path: str) -> list[str]:
    """The path as written, then with slashes for backslashes.

    >>> spellings("images\\\\a.jpg")
    ['images\\\\a.jpg', 'images/a.jpg']
    """
    return [path, path.replace("\\", "/")] if "\\" in path else [path]


def tails(path: str) -> list[str]:
    """Trailing parts of a path from another machine, longest first.

    >>> tails("/home/x/images/a.jpg")
    ['home/x/images/a.jpg', 'x/images/a.jpg', 'images/a.jpg', 'a.jpg']
    >>> tails("data/a.jpg")
    ['a.jpg']
    """
    if len(path) > _MAX_PATH:
        return []
    windows = PureWindowsPath(path)
    parts = [part for part in windows.parts[bool(windows.anchor) :] if part not in (".", "..")]
    whole = not windows.anchor and ".." not in windows.parts
    return ["/".join(parts[first:]) for first in range(int(whole), len(parts))]


def in_home(path: str) -> Path:
    """Expand ``~`` to the home folder."""
    try:
        return Path(path).expanduser()
    except RuntimeError:  # no such user
        return Path(path)


def find_listed(entry: str, folders: Iterable[Path]) -> Path | None:
    """Find the file or folder of an entry in the first of `folders` that has it; None if none does."""
    for name in spellings(entry):
        for folder in folders:
            if exists(folder / name):
                return folder / name
    return None
