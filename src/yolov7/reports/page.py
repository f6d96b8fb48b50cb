"""A report as a single HTML file that loads nothing.

Names of classes and files may contain anything: all text is escaped, and the page's content security policy
allows embedded pictures, its style and its one script only.
"""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup

from yolov7.reports.colours import PALETTE, VARIABLES
from yolov7.reports.markup import inline_svg, source, templates
from yolov7.types import Image

_JPEG_QUALITY = 88
_TALL = 24
"""Rows above which a table scrolls in a box of its own."""


@dataclass(frozen=True)
class Cell:
    """A number in a table, as the text that is shown."""

    text: str
    value: float | None = None
    """Sort key of the column; None if unknown."""
    bar: float | None = None
    """Length of a bar beside the number, 0 to 1; None for no bar."""


Row = Sequence[str | Cell]
"""Cells of a table row: text, or numbers, which are right-aligned."""


@dataclass(frozen=True)
class Tile:
    """A headline number: name, value, unit and remark."""

    label: str
    value: str
    unit: str = ""
    note: str = ""


def number(value: float, digits: int = 0, *, bar: float | None = None) -> Cell:
    """Format a number with thousands separators; a dash for NaN.

    >>> number(12345.678, 1)
    Cell(text='12,345.7', value=12345.678, bar=None)
    """
    if math.isnan(value):
        return Cell("–", None, None if bar is None else 0.0)
    return Cell(f"{value:,.{digits}f}", float(value), bar)


def percent(fraction: float, *, bar: bool = False) -> Cell:
    """Format a fraction in percent with one decimal; a dash for NaN.

    >>> percent(0.5).text
    '50.0'
    """
    return number(100 * fraction, 1, bar=fraction if bar else None)


@dataclass
class _Section:
    heading: str
    text: str
    layout: str
    parts: list[Markup] = field(default_factory=list)


class Page:
    """A report that grows from top to bottom, with its kind above the title, and a sentence below it."""

    def __init__(self, title: str, subtitle: str = "", *, kind: str = "open-yolov7") -> None:
        self.title, self.subtitle, self.kind = title, subtitle, kind
        self.sections: list[_Section] = []
        self._figures = 0

    def section(self, heading: str, text: str = "", *, gallery: bool = False) -> None:
        """Begin a section, to which the following parts belong; the navigation names it by its heading.

        A gallery stacks pictures of different shapes in columns, without gaps.
        """
        self.sections.append(_Section(heading, text, "gallery" if gallery else "grid"))

    def tiles(self, tiles: Sequence[Tile]) -> None:
        """Add headline numbers."""
        self._add("tiles", tiles)

    def facts(self, facts: Mapping[str, Any]) -> None:
        """Add names and values; nested mappings are written as ``outer.inner``."""
        self._add("facts", list(_flat(facts)))

    def figure(
        self,
        picture: str | Image,
        caption: str,
        *,
        title: str = "",
        wide: bool = False,
        fine: bool = False,
    ) -> None:
        """Add a drawing (SVG) or a photo (uint8 (H, W, 3) RGB), which a click enlarges.

        The title stands in bold before the caption. A wide figure takes the whole width; otherwise two stand
        side by side if there is room. A fine one scrolls sideways on narrow screens instead of shrinking.
        """
        self._figures += 1
        label = " ".join(filter(None, (title, caption)))
        if isinstance(picture, str):
            inner = inline_svg(picture, prefix=f"f{self._figures}-", label=label, colours=VARIABLES)
        else:
            height, width = picture.shape[:2]
            inner = _part("photo", data_uri(picture), label, width, height)
        self._add("figure", inner, title, caption, wide, fine)

    def key(self, entries: Sequence[tuple[str, str, bool]]) -> None:
        """Add a legend of the frames in the pictures below: (text, colour, dashed)."""
        self._add("key", entries)

    def table(
        self,
        headings: Sequence[str],
        rows: Sequence[Row],
        caption: str = "",
        *,
        wide: bool = True,
        sortable: bool = True,
    ) -> None:
        """Add a table with a cell per heading in each row; a click on a heading sorts a sortable one."""
        cells = [[row[place] for row in rows] for place in range(len(headings))]
        numbers = [[cell for cell in column if isinstance(cell, Cell)] for column in cells]
        columns = [
            (heading, bool(column), any(cell.bar is not None for cell in column))
            for heading, column in zip(headings, numbers, strict=True)
        ]
        self._add("table", columns, rows, caption, wide, sortable and len(rows) > 1, len(rows) > _TALL)

    def to_html(self) -> str:
        """Content of the HTML file."""
        script = source("script.js")
        script_hash = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        template = templates().get_template("page.html")
        return template.render(
            page=self, palette=PALETTE, style=source("style.css"), script=script, script_hash=script_hash
        )

    def _add(self, kind: str, *values: object) -> None:
        if not self.sections:
            self.section("")
        self.sections[-1].parts.append(_part(kind, *values))


def _part(kind: str, *values: object) -> Markup:
    """Call the macro of this name in parts.html."""
    return Markup(getattr(templates().get_template("parts.html").module, kind)(*values))


def data_uri(image: Image) -> str:
    """Encode a picture as a ``data:`` address: JPEG, or PNG if that is smaller."""
    import cv2

    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    encodings = [
        ("jpeg", cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1]),
        ("png", cv2.imencode(".png", bgr)[1]),
    ]
    kind, content = min(encodings, key=lambda encoding: len(encoding[1]))
    return f"data:image/{kind};base64,{base64.b64encode(content.tobytes()).decode()}"


def _flat(facts: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in facts.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", _written(value)


def _written(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}" if abs(value) >= 10_000 else str(value)
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_written, value))
    return str(value)
