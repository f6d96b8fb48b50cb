"""The page of an evaluation in a real browser: without network, by day and by night, large and small."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from tests.browser import act, visit
from tests.evaluation.scenes import HOSTILE, hostile_scene
from yolov7.data.findings import Defect
from yolov7.reports.evaluation import evaluation_report
from yolov7.text import printable

SECTIONS = [
    "Result",
    "Precision and recall",
    "Classes",
    "Confusions",
    "Worst images",
    "Left out",
    "Conditions",
]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    _, found = hostile_scene(folder / "data")
    defects = (Defect("/home/somebody/images/broken.png", None, "truncated: left out", "error"),)
    outcome = replace(found, defects=defects)
    path = folder / "report.html"
    text = evaluation_report(HOSTILE[0], "a subtitle", outcome, {"weights": HOSTILE[1]})
    path.write_text(text, encoding="utf-8")
    return path


def test_the_browser_has_nothing_to_complain_of_and_every_part_is_there(page: Path):
    seen = visit(page)
    assert seen.console == []
    assert re.findall("<h2>(.*?)</h2>", seen.document) == SECTIONS
    assert seen.document.count("<svg") >= 3 + 4, "three drawings, and mistakes in most of the six images"
    assert seen.document.count("broken.png") == 1
    assert "somebody" not in seen.document
    assert "<dialog" in seen.document, "the page's own script has run"


def test_names_are_shown_as_they_are_and_nothing_of_them_runs(page: Path):
    script = """(document, window) => ({
        heading: document.querySelector("h1").textContent,
        classes: [...document.querySelectorAll("#s2 td:first-child")].map(cell => cell.textContent),
        strangers: document.querySelectorAll("b, body script:not(body > script), img[src=x]").length,
        outside: window.performance.getEntriesByType("resource").map(entry => entry.name)
            .filter(name => !name.startsWith("data:")),
    })"""
    found = act(page, script)
    assert found["heading"] == HOSTILE[0]
    assert sorted(found["classes"]) == sorted(printable(name) for name in HOSTILE[:5])
    assert found["strangers"] == 0
    assert found["outside"] == []


def test_a_script_that_is_not_the_page_s_own_does_not_run(page: Path):
    """The policy holds even if something slipped through; and a complaint of the browser is seen here."""
    tampered = page.with_name("tampered.html")
    text = page.read_text(encoding="utf-8")
    intruder = '<script>document.title = "intruder"</script><img src="http://localhost:9/x.png">'
    tampered.write_text(text.replace("<main>", f"<main>{intruder}"), encoding="utf-8")
    seen = visit(tampered)
    assert "<title>intruder" not in seen.document
    assert len([message for message in seen.console if "Content Security Policy" in message]) == 2


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_wider_than_the_screen(page: Path, width: int):
    script = "d => [d.documentElement.scrollWidth, d.documentElement.clientWidth]"
    content, screen = act(page, script, width=width)
    assert screen <= width
    assert content <= screen


def test_day_and_night(page: Path):
    day, night = visit(page).picture, visit(page, dark=True).picture
    assert day.shape == night.shape == (1600, 1280, 3)
    assert day.mean() > 200
    assert night.mean() < 60
    for picture in (day, night):
        assert picture.std() > 10
    assert (night.max(axis=2) > 180).mean() > 0.005, "its letters are light"


def test_a_click_on_a_heading_sorts_and_on_a_picture_enlarges(page: Path):
    script = """(document, window) => {
        const rows = document.querySelector("#s2 tbody").rows;
        const values = () => [...rows].map(row => row.cells[1].textContent);
        const heading = document.querySelectorAll("#s2 th button")[1];
        heading.click();
        const down = values();
        heading.click();
        const up = values();
        const names = document.querySelectorAll("#s2 th button")[0];
        names.click();
        const first = document.querySelector("#s2 tbody td").textContent;
        document.querySelector("#s4 .picture svg").dispatchEvent(new window.Event("click"));
        const large = document.querySelector("dialog");
        const opened = large.open && large.querySelectorAll("svg image").length;
        large.click();
        return {down, up, first, opened, closed: !large.open};
    }"""
    found = act(page, script)
    values = [float(value) for value in found["down"]]
    assert values == sorted(values, reverse=True)
    assert len(set(values)) > 1
    assert found["up"] == found["down"][::-1]
    assert found["first"]
    assert found["opened"] == 1
    assert found["closed"]


def test_the_frames_lie_where_the_objects_are(page: Path):
    """The drawing's own pixels are those of the image: its view box is the image's size."""
    script = """document => [...document.querySelectorAll("#s4 .picture > svg")].map(svg => {
        const place = svg.getBoundingClientRect();
        return [svg.getAttribute("viewBox"), place.height / place.width];
    })"""
    found = act(page, script)
    assert found
    for box, ratio in found:
        assert box == "0 0 160 120"
        assert ratio == pytest.approx(0.75, abs=0.01)
