"""The page as text: nothing that a name holds becomes part of it, and nothing leaves it."""

from __future__ import annotations

import base64
import math
import re
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest

from tests.evaluation.scenes import HOSTILE
from yolov7.reports.markup import inline_svg
from yolov7.reports.page import Cell, Page, Tile, data_uri, number, percent
from yolov7.text import printable

SVG = (
    '<?xml version="1.0"?><!DOCTYPE svg><svg xmlns="http://www.w3.org/2000/svg" '
    'xmlns:xlink="http://www.w3.org/1999/xlink" width="9pt" height="9pt" viewBox="0 0 9 9">'
    "<metadata>made by</metadata><style>*{color:red}</style><script>alert(3)</script>"
    '<defs><clipPath id="a"><path d="M0 0"/></clipPath></defs><g clip-path="url(#a)" onclick="alert(4)">'
    '<use xlink:href="#a" style="fill: #1c2230; stroke: #123456"/>'
    '<text>id="a" &lt;url(#a)&gt;</text></g></svg>'
)


class Elements(HTMLParser):
    """All elements of a page with their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def everything_hostile() -> Page:
    page = Page(HOSTILE[0], HOSTILE[1], kind=HOSTILE[3])
    for name in HOSTILE:
        page.section(name, name)
        page.tiles([Tile(name, name, name, name)])
        page.facts({name: name, "outer": {name: [name, 1, None, True]}})
        page.key([(name, "#ffffff", True)])
        page.table([name, name], [[name, Cell(name, 1.0, 0.5)]], name)
        page.figure(np.zeros((4, 6, 3), np.uint8), name, title=name)
        page.figure(SVG, name, title=name)
    return page


def test_names_stay_text():
    text = everything_hostile().to_html()
    text.encode()  # no half of a character is left
    elements = Elements(text)
    assert [tag for tag, _ in elements.found].count("script") == 1
    assert not [tag for tag, _ in elements.found if tag in ("b", "iframe", "object", "embed", "base", "form")]
    assert not [name for _, attributes in elements.found for name in attributes if name.startswith("on")]
    for name in HOSTILE:
        assert elements.text.count(printable(name)) >= 10
    images = [attributes for tag, attributes in elements.found if tag == "img"]
    assert [image["alt"] for image in images] == [printable(f"{name} {name}") for name in HOSTILE]


def test_nothing_points_outside():
    elements = Elements(everything_hostile().to_html())
    for tag, attributes in elements.found:
        for name in ("src", "href", "srcset", "action", "poster", "data"):
            value = attributes.get(name)
            assert value is None or value.startswith(("data:", "#")), (tag, name, value)
        for value in attributes.values():
            assert not re.search(r"url\((?!#)", value or "")
    policy = next(a["content"] for t, a in elements.found if t == "meta" and "http-equiv" in a)
    assert policy is not None
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert re.search(r"script-src 'sha256-[^' ]+';", policy)


def test_without_a_section_the_first_part_opens_one():
    page = Page("title")
    page.facts({"a": 1})
    text = page.to_html()
    assert "<dt>a</dt>" in text
    assert "<h2>" not in text


def test_facts_are_flat_and_readable():
    page = Page("title")
    page.facts(
        {"lr": 0.0005, "recipe": {"gains": (0.05, 0.3), "nested": {"on": False}}, "n": 36_900_000, "x": None}
    )
    facts = re.findall("<dt>(.*?)</dt><dd>(.*?)</dd>", page.to_html())
    assert facts == [
        ("lr", "0.0005"),
        ("recipe.gains", "0.05, 0.3"),
        ("recipe.nested.on", "no"),
        ("n", "36,900,000"),
        ("x", "–"),
    ]


def test_numbers():
    assert number(12345) == Cell("12,345", 12345.0)
    assert number(0.12345, 3) == Cell("0.123", 0.12345)
    assert percent(0.5, bar=True) == Cell("50.0", 50.0, 0.5)
    assert percent(math.nan, bar=True) == Cell("–", None, 0.0)


def test_columns_of_numbers_stand_right_and_have_their_bars():
    page = Page("title")
    page.table(["name", "AP"], [["a", percent(0.25, bar=True)], ["b", percent(math.nan, bar=True)]])
    text = page.to_html()
    head = re.search("<thead>(.*?)</thead>", text)
    assert head is not None
    assert head[1].count("<th") == 3
    assert '<td class="number" data-value="25">25.0</td><td class="bar"><i style="--w:25.0%">' in text
    assert '<td class="number" data-value="">–</td><td class="bar"><i style="--w:0.0%">' in text
    assert "data-sortable" in text


def test_a_table_without_rows():
    page = Page("title")
    page.table(["name", "AP"], [])
    assert '<th scope="col">AP</th>' in page.to_html()


@pytest.mark.parametrize(("kind", "flat"), [("png", True), ("jpeg", False)])
def test_pictures_are_embedded_in_the_smaller_of_two_encodings(kind: str, flat: bool):
    image = np.zeros((64, 80, 3), np.uint8)
    image[:, 40:] = (250, 10, 120)
    if not flat:
        noise = np.random.default_rng(0).normal(0, 12, image.shape)
        image = np.clip(image + noise, 0, 255).astype(np.uint8)
    header, _, content = data_uri(image).partition(",")
    assert header == f"data:image/{kind};base64"
    decoded = cv2.imdecode(np.frombuffer(base64.b64decode(content), np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert decoded.shape == image.shape
    assert np.abs(decoded.astype(int) - image).mean() < 9


def test_drawings_keep_to_themselves():
    text = inline_svg(SVG, prefix="f7-", label='say "x"', colours={"#1c2230": "var(--ink)"})
    assert text == (
        '<svg viewBox="0 0 9 9" role="img" aria-label="say &quot;x&quot;"><defs><clipPath id="f7-a">'
        '<path d="M0 0" /></clipPath></defs><g clip-path="url(#f7-a)">'
        '<use href="#f7-a" style="fill: var(--ink); stroke: #123456" />'
        '<text>id="a" &lt;url(#a)&gt;</text></g></svg>'
    )


def test_two_drawings_of_a_page_share_no_id():
    page = Page("title")
    page.figure(SVG, "one")
    page.figure(SVG, "two")
    ids = re.findall(r'\bid="([^"]*a)"', page.to_html().replace('>id="a"', ""))
    assert ids == ["f1-a", "f2-a"]
