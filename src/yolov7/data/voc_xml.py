"""One Pascal VOC xml file -> what it says, within bounds: a small file cannot take much time or memory."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from xml.parsers import expat

from yolov7.data.labels import Defect, decode_text, read_bytes
from yolov7.errors import DataError

_MOST_BYTES = 64 << 20
_MOST_DEPTH = 100
_LONGEST = 4096
"""Characters of a name or a number."""
_CORNERS = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True)
class VocObject:
    """An object: the texts of its corners by their names, None without a bndbox; and lines in the file."""

    name: str
    corners: dict[str, str] | None
    line: int
    box_line: int


@dataclass(frozen=True)
class VocAnnotation:
    """What a file says: the name of its image, (height, width) and the line of that, and objects."""

    filename: str
    size: tuple[float | None, float | None] | None
    size_line: int
    objects: tuple[VocObject, ...]


@dataclass(frozen=True)
class Document:
    """An xml file: what it says, or None where it cannot be read; and what is wrong with it."""

    annotation: VocAnnotation | None
    defects: tuple[Defect, ...]


def read_document(file: Path) -> Document:
    """Read one file; what is wrong with it is a defect, with its line."""
    defects: list[Defect] = []
    line: int | None
    try:
        data = read_bytes(file, _MOST_BYTES)
        declared = re.match(rb"\s*<\?xml[^>]{,200}encoding=[\"']([\w.-]{1,40})", data)
        text = decode_text(data, file, defects, declared[1].decode() if declared else "utf-8-sig")
        return Document(_annotation(_parse(text)), tuple(defects))
    except expat.ExpatError as error:
        line, message = error.lineno, f"not xml: {expat.ErrorString(error.code)}"
    except DataError as error:
        detail = f" ({error.found}, expected: {error.expected})" if error.found is not None else ""
        line, message = error.line, error.message + detail
    defects.append(Defect(str(file), line, f"{message}: image left out", "error"))
    return Document(None, tuple(defects))


def number(text: str) -> float | None:
    """A number; None for what is none."""
    try:
        return float(text)
    except ValueError:
        return None


class _Element:
    """An xml element that knows its line, which the standard library's do not."""

    __slots__ = ("children", "content", "line", "tag")

    def __init__(self, tag: str, line: int) -> None:
        self.tag, self.line, self.content = tag, line, ""
        self.children: list[_Element] | None = None

    def all(self, tag: str) -> list[_Element]:
        return [child for child in self.children or () if child.tag == tag]

    def first(self, tag: str) -> _Element | None:
        return next((child for child in self.children or () if child.tag == tag), None)

    def text(self, tag: str) -> str:
        child = self.first(tag)
        return child.content.strip() if child else ""


def _annotation(root: _Element) -> VocAnnotation:
    objects = []
    for item in root.all("object"):
        box = item.first("bndbox")
        corners = None if box is None else {key: box.text(key) for key in _CORNERS}
        objects.append(VocObject(item.text("name"), corners, item.line, box.line if box else item.line))
    size = root.first("size")
    return VocAnnotation(
        root.text("filename"),
        None if size is None else (number(size.text("height")), number(size.text("width"))),
        size.line if size else 0,
        tuple(objects),
    )


def _parse(text: str) -> _Element:
    """The root of an xml text. Document types, and with them entities, are refused."""
    parser = expat.ParserCreate()
    top = _Element("", 0)
    stack = [top]

    def start(tag: str, _: object) -> None:
        if len(stack) > _MOST_DEPTH:
            raise DataError(f"elements are nested deeper than {_MOST_DEPTH}", line=parser.CurrentLineNumber)
        element = _Element(tag, parser.CurrentLineNumber)
        parent = stack[-1]
        if parent.children is None:
            parent.children = []
        parent.children.append(element)
        stack.append(element)

    def end(_: str) -> None:
        stack.pop()

    def characters(content: str) -> None:
        element = stack[-1]
        if element.children is None and len(element.content) < _LONGEST:  # the text of leaves alone is read
            element.content += content[:_LONGEST]

    def refuse(*_: object) -> None:
        raise DataError(
            "a document type is not accepted in xml: it can hide bombs of entities",
            line=parser.CurrentLineNumber,
        )

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = characters
    parser.StartDoctypeDeclHandler = refuse
    parser.buffer_text = True
    parser.Parse(text, True)
    assert top.children is not None  # expat refuses a text without a root
    return top.children[0]
