"""Parser of one Pascal VOC xml file; limits keep small files from taking much time or memory."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import NamedTuple
from xml.etree.ElementTree import Element, SubElement
from xml.parsers import expat

from yolov7.data.findings import Defect, Findings
from yolov7.data.text_files import decode_text, read_bytes
from yolov7.errors import DataError

_MAX_BYTES = 64 << 20
_MAX_DEPTH = 100
_MAX_ELEMENTS = 1_000_000  # of about 500 bytes each
_MAX_TEXT = 4096  # characters of a name or a number
_LINE = "line"
_CORNERS = ("xmin", "ymin", "xmax", "ymax")


class VocObject(NamedTuple):
    """Object of an annotation."""

    name: str
    corners: dict[str, str] | None  # texts of xmin, ymin, xmax and ymax; None without a bndbox
    line: int
    box_line: int  # line of its bndbox


class VocAnnotation(NamedTuple):
    """Content of an xml file."""

    filename: str  # of the image
    size: tuple[float | None, float | None] | None  # (height, width) of the image as written, or None
    size_line: int
    objects: tuple[VocObject, ...]


class Document(NamedTuple):
    """Result of reading an xml file: its annotation, None if it cannot be read, and its defects."""

    annotation: VocAnnotation | None
    defects: tuple[Defect, ...]


def read_document(file: Path) -> Document:
    """Read one file; problems become defects with line numbers."""
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


def _annotation(root: Element) -> VocAnnotation:
    objects = []
    for item in root.findall("object"):
        box = item.find("bndbox")
        corners = None if box is None else {key: _text(box, key) for key in _CORNERS}
        objects.append(
            VocObject(_text(item, "name"), corners, _line(item), _line(item if box is None else box))
        )
    size = root.find("size")
    return VocAnnotation(
        _text(root, "filename"),
        None if size is None else (number(_text(size, "height")), number(_text(size, "width"))),
        0 if size is None else _line(size),
        tuple(objects),
    )


def _text(element: Element, tag: str) -> str:
    return element.findtext(tag, "").strip()


def _line(element: Element) -> int:
    return int(element.attrib[_LINE])


def _parse(text: str) -> Element:
    """Parse an xml text into its root element; elements have their line as an attribute.

    Document types, and with them entities, are refused.
    """
    parser = expat.ParserCreate()
    stack = [Element("")]
    count = itertools.count(1)

    def start(tag: str, _: object) -> None:
        if next(count) > _MAX_ELEMENTS:
            raise DataError(f"more than {_MAX_ELEMENTS:,} elements", line=parser.CurrentLineNumber)
        if len(stack) > _MAX_DEPTH:
            raise DataError(f"elements are nested deeper than {_MAX_DEPTH}", line=parser.CurrentLineNumber)
        stack.append(SubElement(stack[-1], tag, {_LINE: str(parser.CurrentLineNumber)}))

    def end(_: str) -> None:
        stack.pop()

    def characters(content: str) -> None:
        element = stack[-1]
        if len(element.text or "") < _MAX_TEXT:
            element.text = (element.text or "") + content[:_MAX_TEXT]

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
    return stack[0][0]
