"""One page for everything: a single HTML file that asks nothing of any server.

Names of classes and files may hold anything: all text is escaped, and the page's own security policy allows
pictures inside it, its style and its one script, and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from yolov7.reports.markup import escaped, inline_svg
from yolov7.reports.style import SCRIPT, VARIABLES, style_sheet
from yolov7.types import Image

_JPEG_QUALITY = 88
_TALL = 24
"""Rows from which a table scrolls in a box of its own."""


@dataclass(frozen=True)
class Cell:
    """A number in a table.

    Attributes:
        text: as it is read.
        value: by which the column is sorted; None where it is not known.
        bar: length of a bar beside it, 0 to 1, in a column of its own; None for none.
    """

    text: str
    value: float | None = None
    bar: float | None = None


@dataclass(frozen=True)
class Tile:
    """A number to be seen first: what it is, its value with unit, and what to know about it."""

    label: str
    value: str
    unit: str = ""
    note: str = ""


def number(value: float, digits: int = 0, *, bar: float | None = None) -> Cell:
    """A number with its thousands apart; a dash for NaN."""
    if math.isnan(value):
        return Cell("–", None, None if bar is None else 0.0)
    return Cell(f"{value:,.{digits}f}", float(value), bar)


def percent(fraction: float, *, bar: bool = False) -> Cell:
    """A fraction as percent with one decimal; a dash for NaN."""
    return number(100 * fraction, 1, bar=fraction if bar else None)


@dataclass
class _Section:
    heading: str
    text: str
    layout: str
    parts: list[str] = field(default_factory=list)


class Page:
    """A report that grows from top to bottom.

    Args:
        title: what it is about.
        subtitle: a sentence below.
        kind: a word or two above the title: what sort of report it is.
    """

    def __init__(self, title: str, subtitle: str = "", *, kind: str = "open-yolov7") -> None:
        self.title, self.subtitle, self.kind = title, subtitle, kind
        self._sections: list[_Section] = []
        self._figures = 0

    def section(self, heading: str, text: str = "", *, gallery: bool = False) -> None:
        """Begin a section; what follows belongs to it.

        Args:
            heading: also its name in the navigation.
            text: what it is about.
            gallery: pictures of different shapes are stacked in columns, without gaps.
        """
        self._sections.append(_Section(heading, text, "gallery" if gallery else "grid"))

    def tiles(self, tiles: Sequence[Tile]) -> None:
        """The numbers to be seen first."""
        inner = "".join(
            f'<div class="tile"><dt>{escaped(tile.label)}</dt><dd>{escaped(tile.value)}'
            f"{_wrapped('small', _unit(tile.unit))}</dd>{_wrapped('dd', tile.note, 'note')}</div>"
            for tile in tiles
        )
        self._add(f'<dl class="card wide tiles">{inner}</dl>')

    def facts(self, facts: Mapping[str, Any]) -> None:
        """Names and values; mappings within are written as ``outer.inner``."""
        inner = "".join(
            f'<div class="fact"><dt>{escaped(name)}</dt><dd>{escaped(value)}</dd></div>'
            for name, value in _flat(facts)
        )
        self._add(f'<dl class="card wide facts">{inner}</dl>')

    def figure(
        self,
        picture: str | Image,
        caption: str,
        *,
        title: str = "",
        alt: str = "",
        wide: bool = False,
        fine: bool = False,
    ) -> None:
        """A drawing or a photo; opens large at a click.

        Args:
            picture: an SVG file, or uint8 (H, W, 3) RGB.
            caption: what to look for.
            title: what it shows, in bold before the caption.
            alt: for readers who cannot see it; title and caption where not given.
            wide: over the whole width; else two go side by side where there is room.
            fine: full of small letters: scrolls sideways where the screen is narrow.
        """
        self._figures += 1
        label = alt or ". ".join(text for text in (title, caption) if text)
        if isinstance(picture, str):
            inner = inline_svg(picture, prefix=f"f{self._figures}-", label=label, colours=VARIABLES)
        else:
            height, width = picture.shape[:2]
            inner = (
                f'<img src="{data_uri(picture)}" alt="{escaped(label)}" width="{width}" height="{height}">'
            )
        caption = f"{_wrapped('strong', title)} {escaped(caption)}"
        self._add(
            f'<figure class="card{" wide" * wide}"><div class="picture{" fine" * fine}">{inner}</div>'
            f"<figcaption>{caption}</figcaption></figure>"
        )

    def key(self, entries: Sequence[tuple[str, str, bool]]) -> None:
        """What the frames in the pictures below mean: (text, colour, whether dashed)."""
        inner = "".join(
            f'<li><i style="--c:{escaped(colour)}"{" class=dashed" * dashed}></i>{escaped(text)}</li>'
            for text, colour, dashed in entries
        )
        self._add(f'<ul class="key wide">{inner}</ul>')

    def table(
        self,
        headings: Sequence[str],
        rows: Sequence[Sequence[str | Cell]],
        caption: str = "",
        *,
        wide: bool = True,
        sortable: bool = True,
    ) -> None:
        """A table; a click on a heading sorts it.

        Args:
            headings: of the columns.
            rows: text, or :class:`Cell` for numbers, which stand at the right.
            caption: what to look for.
            wide: over the whole width.
            sortable: whether another order makes sense.
        """
        columns = list(zip(*rows, strict=True)) or [()] * len(headings)
        numeric = [any(isinstance(cell, Cell) for cell in column) for column in columns]
        bars = [any(isinstance(c, Cell) and c.bar is not None for c in column) for column in columns]
        head = "".join(
            f"<th scope=col{' class=number' * n}>{escaped(heading)}</th>" + '<th class="bar"></th>' * b
            for heading, n, b in zip(headings, numeric, bars, strict=True)
        )
        body = "".join(
            "<tr>" + "".join(_cell(cell, bar=b) for cell, b in zip(row, bars, strict=True)) + "</tr>"
            for row in rows
        )
        sort = " data-sortable" * (sortable and len(rows) > 1)
        tall = " tall" * (len(rows) > _TALL)
        self._add(
            f'<div class="card{" wide" * wide}"><div class="scroll{tall}"><table{sort}>'
            f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
            f"{_wrapped('p', caption, 'caption')}</div>"
        )

    def to_html(self) -> str:
        """The whole file."""
        links = "".join(
            f'<a href="#s{index}">{escaped(section.heading)}</a>'
            for index, section in enumerate(self._sections)
            if section.heading
        )
        sections = "\n".join(
            f'<section id="s{index}">{_wrapped("h2", section.heading)}'
            f"{_wrapped('p', section.text, 'lead')}"
            f'<div class="{section.layout}">{"".join(section.parts)}</div></section>'
            for index, section in enumerate(self._sections)
        )
        policy = (
            "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
            f"script-src 'sha256-{_sha256(SCRIPT)}'; base-uri 'none'; form-action 'none'"
        )
        return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="generator" content="open-yolov7">
<link rel="icon" href="data:,">
<title>{escaped(self.title)}</title>
<style>{style_sheet()}</style>
</head>
<body>
<header>
<p class="over">{escaped(self.kind)}</p>
<h1>{escaped(self.title)}</h1>
{_wrapped("p", self.subtitle, "subtitle")}
<nav aria-label="sections">{links}</nav>
</header>
<main>
{sections}
</main>
<footer>Made by open-yolov7. This page is one file: pictures and all, it needs no network.</footer>
<script>{SCRIPT}</script>
</body>
</html>
"""

    def _add(self, part: str) -> None:
        if not self._sections:
            self.section("")
        self._sections[-1].parts.append(part)


def data_uri(image: Image) -> str:
    """A picture as a ``data:`` address: JPEG; PNG where few colours make that the smaller one."""
    import cv2

    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    encodings = [
        ("jpeg", cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1]),
        ("png", cv2.imencode(".png", bgr)[1]),
    ]
    kind, content = min(encodings, key=lambda encoding: len(encoding[1]))
    return f"data:image/{kind};base64,{base64.b64encode(content.tobytes()).decode()}"


def _cell(cell: str | Cell, *, bar: bool) -> str:
    if isinstance(cell, str):
        return f"<td>{escaped(cell)}</td>" + "<td></td>" * bar
    value = "" if cell.value is None else f"{cell.value:.9g}"
    text = f'<td class=number data-value="{value}">{escaped(cell.text)}</td>'
    length = 100 * min(1.0, max(0.0, cell.bar or 0.0))
    return text + f'<td class="bar"><i style="--w:{length:.1f}%"></i></td>' * bar


def _wrapped(tag: str, text: str, kind: str = "") -> str:
    """The text in an element; nothing where there is no text."""
    opening = f'{tag} class="{kind}"' if kind else tag
    return f"<{opening}>{escaped(text)}</{tag}>" if text else ""


def _unit(unit: str) -> str:
    """A unit as it follows its number: words stand apart."""
    return f" {unit}" if unit and unit != "%" else unit


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


def _sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
