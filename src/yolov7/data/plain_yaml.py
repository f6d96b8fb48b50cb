"""YAML parser that keeps every scalar as text: ``no`` does not become False, nor ``1e3`` a number.

The events of PyYAML's parser become strings, lists and dicts; no objects are constructed. Files mean the same
in YAML 1.1 and 1.2, and the limits below bound the cost of tags, aliases and nesting.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from yaml.reader import Reader

from yolov7.errors import DataError
from yolov7.text import printable

MAX_CHARACTERS = 2_000_000
"""Maximum length of a document."""
MAX_NODES = 200_000
"""Maximum number of scalars, lists, mappings, aliases and merged keys in a document."""
MAX_DEPTH = 32
"""Maximum nesting of lists and mappings."""

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times faster, if libyaml is installed
_TAG = "tag:yaml.org,2002:"
_SCALAR_TAGS = frozenset(_TAG + kind for kind in ("str", "int", "float", "bool", "null", "timestamp"))
_ALLOWED_TAGS = {
    yaml.ScalarEvent: _SCALAR_TAGS,
    yaml.SequenceStartEvent: frozenset((_TAG + "seq",)),
    yaml.MappingStartEvent: frozenset((_TAG + "map",)),
}


@dataclass(frozen=True)
class Document:
    """A YAML document.

    Attributes:
        content: str, None for an empty value, or lists and dicts of these.
        lines: line of each top-level key, from 1.
    """

    content: Any
    lines: dict[str, int]


def read_yaml(text: str, file: Path) -> Document:
    """Parse a document.

    Raises:
        DataError: the text is not YAML, or exceeds a limit; with file and line.

    >>> read_yaml("names: [no, 1e3, null, 0o17]", Path("data.yaml")).content
    {'names': ['no', '1e3', 'null', '0o17']}
    """
    if len(text) > MAX_CHARACTERS:
        raise DataError(
            "too long for a data.yaml",
            file=file,
            expected=f"at most {MAX_CHARACTERS:,} characters",
            found=f"{len(text):,}",
        )
    if invalid := Reader.NON_PRINTABLE.search(text):
        raise DataError(
            "not yaml: invalid character; is the file encoded in UTF-8?",
            file=file,
            line=text.count("\n", 0, invalid.start()) + 1,
            found=ascii(invalid[0]),
        )
    try:
        return _Builder(file).build(text)
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or type(error).__name__
        raise DataError(f"not yaml: {problem}", file=file, line=mark and mark.line + 1) from error


@dataclass
class _Open:
    """List or mapping whose end has not been read yet."""

    value: list[Any] | dict[str, Any]
    anchor: str | None
    key: str | None = None
    lines: dict[str, int] = field(default_factory=dict)
    merged: list[tuple[int, Any]] = field(default_factory=list)


class _Builder:
    """Builder of values from parser events."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.open: list[_Open] = []
        self.anchors: dict[str, Any] = {}
        self.nodes = 0
        self.documents = 0
        self.content: Any = None
        self.lines: dict[str, int] = {}

    def build(self, text: str) -> Document:
        for event in yaml.parse(text, Loader=_LOADER):
            line = event.start_mark.line + 1 if event.start_mark else 1
            if isinstance(event, yaml.DocumentStartEvent):
                self.documents += 1
                if self.documents > 1:
                    raise self._error("a second document begins", line, expected="one document")
            elif isinstance(event, yaml.AliasEvent):
                if event.anchor not in self.anchors:
                    raise self._error(
                        f"the alias *{printable(event.anchor, 60)} has no anchor before it", line
                    )
                self._take(self.anchors[event.anchor], line)
            elif isinstance(event, yaml.ScalarEvent):
                self._check(event, line)
                plain = event.style is None or event.style == ""
                value = None if plain and not event.value and event.tag is None else event.value
                self._remember(event.anchor, value)
                self._take(value, line, is_merge=plain and value == "<<")
            elif isinstance(event, yaml.SequenceStartEvent | yaml.MappingStartEvent):
                self._check(event, line)
                if len(self.open) == MAX_DEPTH:
                    raise self._error(f"more than {MAX_DEPTH} nested lists and mappings", line)
                kind: list[Any] | dict[str, Any] = [] if isinstance(event, yaml.SequenceStartEvent) else {}
                self.open.append(_Open(kind, event.anchor))
            elif isinstance(event, yaml.SequenceEndEvent | yaml.MappingEndEvent):
                self._close(line)
        return Document(self.content, self.lines)

    def _check(self, event: yaml.NodeEvent, line: int) -> None:
        """Refuse tags that would change the meaning of the text."""
        tag = getattr(event, "tag", None)
        if tag is not None and tag != "!" and tag not in _ALLOWED_TAGS[type(event)]:
            raise self._error(
                f"the tag {printable(tag, 100)} is not supported", line, expected="plain values"
            )

    def _remember(self, anchor: str | None, value: Any) -> None:
        if anchor is not None:
            self.anchors[anchor] = value

    def _take(self, value: Any, line: int, *, is_merge: bool = False) -> None:
        """Add a value to the innermost open list or mapping, or set it as the document's content."""
        self._count(1, line)
        if not self.open:
            self.content = value
            return
        parent = self.open[-1]
        if isinstance(parent.value, list):
            parent.value.append(value)
        elif parent.key is None:
            if not isinstance(value, str):
                raise self._error("invalid key: not text", line)
            if value in parent.lines and not is_merge:
                raise self._error(
                    f"the key {printable(value, 60)!r} is repeated",
                    line,
                    found=f"first used in line {parent.lines[value]}",
                )
            parent.key = value
            parent.lines[value] = line
        elif parent.key == "<<":
            parent.merged.append((line, value))
            parent.key = None
        else:
            parent.value[parent.key] = value
            parent.key = None

    def _close(self, line: int) -> None:
        ended = self.open.pop()
        if isinstance(ended.value, dict):
            for place, merged in ended.merged:
                self._merge(ended.value, merged, place)
        self._remember(ended.anchor, ended.value)
        if not self.open:
            self.lines = ended.lines
        self._take(ended.value, line)

    def _merge(self, target: dict[str, Any], merged: Any, line: int) -> None:
        """Apply ``<<``: copy keys of other mappings that `target` lacks."""
        for mapping in merged if isinstance(merged, list) else [merged]:
            if not isinstance(mapping, dict):
                raise self._error("<< can merge mappings only", line)
            self._count(len(mapping), line)
            for key, value in mapping.items():
                target.setdefault(key, value)

    def _count(self, nodes: int, line: int) -> None:
        self.nodes += nodes
        if self.nodes > MAX_NODES:
            raise self._error(f"more than {MAX_NODES:,} values", line)

    def _error(self, message: str, line: int, *, expected: object = None, found: object = None) -> DataError:
        return DataError(message, file=self.file, line=line, expected=expected, found=found)
