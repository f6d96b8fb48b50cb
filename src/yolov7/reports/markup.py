"""Jinja templates, and SVG drawings made safe for a page."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from markupsafe import Markup

from yolov7.text import printable

if TYPE_CHECKING:
    from jinja2 import Environment

_DROPPED = frozenset({"metadata", "style", "script", "foreignObject"})
"""SVG elements that are removed: descriptions, rules for the whole page, code."""
_COLOUR = re.compile(r"#[0-9a-f]{6}\b")
_LOCAL_LINK = re.compile(r"url\(#")


@cache
def templates() -> Environment:
    """Environment of templates/, which escapes every text but :class:`Markup`, control characters too."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("yolov7.reports"),
        autoescape=True,
        finalize=lambda value: value if isinstance(value, Markup) else printable(value),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def source(name: str) -> Markup:
    """Content of a file in templates/, unescaped."""
    return Markup(files(__package__).joinpath("templates", name).read_text(encoding="utf-8"))


def inline_svg(svg: str, *, prefix: str, label: str, colours: Mapping[str, str]) -> Markup:
    """Turn the content of an SVG file into an element of an HTML page.

    Args:
        prefix: prefix of every id, which keeps the ids of several drawings apart.
        label: description for screen readers.
        colours: colour (#rrggbb) in a style -> replacement, such as a CSS variable.
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
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def _adapted(name: str, value: str, prefix: str, colours: Mapping[str, str]) -> str:
    if name == "id":
        return prefix + value
    if name == "href" and value.startswith("#"):
        return f"#{prefix}{value[1:]}"
    if name == "style":
        value = _COLOUR.sub(lambda found: colours.get(found[0], found[0]), value)
    return _LOCAL_LINK.sub(f"url(#{prefix}", value)


def _local(name: str) -> str:
    """Name of an element or attribute without its namespace, which HTML implies."""
    return name.rpartition("}")[2]
