"""Text and drawings made safe to stand in a page: escaped, and without a say in what is beside them."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from xml.etree import ElementTree

_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_DROPPED = frozenset({"metadata", "style", "script", "foreignObject"})
"""Elements of a drawing that a page has no use for: descriptions, rules for the whole page, code."""
_COLOUR = re.compile(r"#[0-9a-f]{6}\b")
_LOCAL_LINK = re.compile(r"url\(#")


def printable(text: str) -> str:
    """The text without what neither HTML nor XML can hold: control characters and halves of characters."""
    return _UNPRINTABLE.sub("\ufffd", re.sub(r"[\t\r\n]", " ", text))


def escaped(text: str) -> str:
    """Text as it stands in HTML, in attributes too."""
    return html.escape(printable(text))


def inline_svg(svg: str, *, prefix: str, label: str, colours: Mapping[str, str]) -> str:
    """An SVG file as an element of an HTML page.

    Args:
        svg: the file.
        prefix: goes before every id, so that drawings of one page do not take each other's.
        label: what a reader who cannot see it is told.
        colours: what stands for a colour (#rrggbb) of its styles, such as a variable of the page.
    """
    root = ElementTree.fromstring(svg)
    for parent in root.iter():
        for child in [child for child in parent if _local(child.tag) in _DROPPED]:
            parent.remove(child)
    for element in root.iter():
        attributes = {_local(name): value for name, value in element.attrib.items()}
        element.tag = _local(element.tag)
        element.attrib.clear()
        element.attrib.update(
            (name, _adapted(name, value, prefix, colours))
            for name, value in attributes.items()
            if not name.startswith("on")
        )
    for name in ("width", "height", "version"):  # the page decides how large it is
        root.attrib.pop(name, None)
    root.attrib.update({"role": "img", "aria-label": printable(label)})
    return ElementTree.tostring(root, encoding="unicode")


def _adapted(name: str, value: str, prefix: str, colours: Mapping[str, str]) -> str:
    if name == "id":
        return prefix + value
    if name == "href" and value.startswith("#"):
        return f"#{prefix}{value[1:]}"
    if name == "style":
        value = _COLOUR.sub(lambda found: colours.get(found[0], found[0]), value)
    return _LOCAL_LINK.sub(f"url(#{prefix}", value)


def _local(name: str) -> str:
    """The name of an element or attribute without its namespace, which HTML knows without being told."""
    return name.rpartition("}")[2]
