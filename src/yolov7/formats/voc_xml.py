"""Parser of one Pascal VOC xml file, with limits so that no small file takes much time or memory."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from xml.parsers import expat

from yolov7.data.findings import Defect, Findings
from yolov7.data.text_files import decode_text, read_bytes
from yolov7.errors import DataError

_MAX_BYTES = 64 << 20
_MAX_DEPTH = 100
_MAX_TEXT = 4096  # characters of a name or a number
_CORNERS = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True)
class VocObject:
    """Object of an annotation.

    Attributes:
        name: class name.
        corners: texts of xmin, ymin, xmax and ymax; None without a bndbox.
        line, box_line: lines of the object and of its bndbox.
    """

    name: str
    corners: dict[str, str] | None
    line: int
    box_line: int


@dataclass(frozen=True)
class VocAnnotation:
    """Content of an xml file.

    Attributes:
        filename: name of its image.
        size: (height, width) of the image as written; None if missing.
        size_line: line of the size.
        objects: objects in the image.
    """

    filename: str
    size: tuple[float | None, float | None] | None
    size_line: int
    objects: tuple[VocObject, ...]


@dataclass(frozen=True)
class Document:
    """Result of reading an xml file: its annotation, None if it cannot be read, and its defects."""

    annotation: VocAnnotation | None
    defects: tuple[Defect, ...]


def read_document(file: Path) -> Document:
    """Read one file; problems become defects with their lines."""
    findings = Findings()
    annotation = None
    try:
        data = read_bytes(file, _MAX_BYTES)
        declared = re.match(rb"\s*<\?xml[^>]{,200}encoding=[\"']([\w.-]{1,40})", data)
        text = decode_text(data, file, findings, declared[1].decode() if declared else "utf-8-sig")
        annotation = _annotation(_parse(text))
    except expat.ExpatError as error:
        message = f"not xml: {expat.ErrorString(error.code)}: image left out"
        findings.error(file, message, error.lineno)
    except DataError as error:
        findings.error(file, f"{error.brief()}: image left out", error.line)
    return Document(annotation, findings.defects)


def number(text: str) -> float | None:
    """Convert text to a float; None if it is not a number."""
    try:
        return float(text)
    except ValueError:
        return None


class _Element:
    """Xml element with its line number, which the standard library's elements lack."""

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
    """Parse an xml text into its root element. Document types, and with them entities, are refused."""
    parser = expat.ParserCreate()
    top = _Element("", 0)
    stack = [top]

    def start(tag: str, _: object) -> None:
        if len(stack) > _MAX_DEPTH:
            raise DataError(f"elements are nested deeper than {_MAX_DEPTH}", line=parser.CurrentLineNumber)
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
        if element.children is None and len(element.content) < _MAX_TEXT:  # only leaves have text
            element.content += content[:_MAX_TEXT]

    def refuse(*_: object) -> None:
        raise DataError(
            "document types are not accepted in xml: they can expand entities without limit",
            line=parser.CurrentLineNumber,
        )

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = characters
    parser.StartDoctypeDeclHandler = refuse
    parser.buffer_text = True
    parser.Parse(text, True)
    assert top.children is not None  # expat refuses text without a root
    return top.children[0]
