"""YAML parser that keeps every scalar as text: ``no`` does not become False, nor ``1e3`` a number.

The events of PyYAML's parser become strings, lists and dicts; no objects are constructed. Files mean the
same in YAML 1.1 and 1.2; the limits below bound the cost of tags, aliases and nesting.
"""

from __future__ import annotations

from collections.abc import Iterator
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


def read_yaml(text: str, file: Path) -> tuple[Any, dict[str, int]]:
    """Parse a document. -> (content, line of each top-level key from 1).

    The content is str, None for an empty value, or lists and dicts of these.

    Raises:
        DataError: the text is not YAML, or exceeds a limit; with file and line.

    >>> read_yaml("names: [no, 1e3, null, 0o17]", Path("data.yaml"))[0]
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
        parser = _Parser(text, file)
        return parser.document(), parser.lines
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or type(error).__name__
        raise DataError(f"not yaml: {problem}", file=file, line=mark and mark.line + 1) from error


class _Parser:
    """Recursive parser of a document; `MAX_DEPTH` bounds the recursion."""

    def __init__(self, text: str, file: Path) -> None:
        self.events: Iterator[Any] = yaml.parse(text, Loader=_LOADER)
        self.file = file
        self.anchors: dict[str, Any] = {}
        self.nodes = 0
        self.lines: dict[str, int] = {}

    def document(self) -> Any:
        content, documents = None, 0
        for event in self.events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise self._error("a second document begins", event, expected="one document")
                content = self._value(next(self.events), 0)
        return content

    def _value(self, event: Any, depth: int) -> Any:
        """Parse the value that begins with an event."""
        self._count(1, event)
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in self.anchors:
                message = f"the alias *{printable(event.anchor, 60)} has no anchor before it"
                raise self._error(message, event)
            return self.anchors[event.anchor]
        if event.tag not in (None, "!", *_ALLOWED_TAGS[type(event)]):  # it would change the text's meaning
            message = f"the tag {printable(event.tag, 100)} is not supported"
            raise self._error(message, event, expected="plain values")
        value: Any
        if isinstance(event, yaml.ScalarEvent):
            value = event.value if event.value or event.style or event.tag else None
        elif depth == MAX_DEPTH:
            raise self._error(f"more than {MAX_DEPTH} nested lists and mappings", event)
        elif isinstance(event, yaml.SequenceStartEvent):
            value = [self._value(item, depth + 1) for item in self._until(yaml.SequenceEndEvent)]
        else:
            value = self._mapping(depth)
        if event.anchor is not None:
            self.anchors[event.anchor] = value
        return value

    def _until(self, end: type) -> Iterator[Any]:
        """Yield events up to the end of the list or mapping; the consumer takes those of nested values."""
        while not isinstance(event := next(self.events), end):
            yield event

    def _mapping(self, depth: int) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        lines: dict[str, int] = {}
        merged = []
        for event in self._until(yaml.MappingEndEvent):
            key = self._value(event, depth + 1)
            if not isinstance(key, str):
                raise self._error("invalid key: not text", event)
            if key in mapping:
                message = f"the key {printable(key, 60)!r} is repeated"
                raise self._error(message, event, found=f"first used in line {lines[key]}")
            value = self._value(next(self.events), depth + 1)
            if key == "<<":
                merged.append((event, value))
            else:
                mapping[key], lines[key] = value, _line_of(event)
        for event, value in merged:
            self._merge(mapping, value, event)
        if depth == 0:
            self.lines = lines
        return mapping

    def _merge(self, target: dict[str, Any], merged: Any, event: Any) -> None:
        """Apply ``<<``: copy keys of other mappings that `target` lacks."""
        for mapping in merged if isinstance(merged, list) else [merged]:
            if not isinstance(mapping, dict):
                raise self._error("<< can merge mappings only", event)
            self._count(len(mapping), event)
            for key, value in mapping.items():
                target.setdefault(key, value)

    def _count(self, nodes: int, event: Any) -> None:
        self.nodes += nodes
        if self.nodes > MAX_NODES:
            raise self._error(f"more than {MAX_NODES:,} values", event)

    def _error(self, message: str, event: Any, *, expected: object = None, found: object = None) -> DataError:
        return DataError(message, file=self.file, line=_line_of(event), expected=expected, found=found)


def _line_of(event: Any) -> int:
    return event.start_mark.line + 1 if event.start_mark else 1
