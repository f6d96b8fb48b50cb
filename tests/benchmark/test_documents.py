"""A benchmark for people: tables, pages, the picture."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree

import pytest

from yolov7.benchmark import documents
from yolov7.benchmark.picture import bars
from yolov7.benchmark.result import BASELINE, Benchmark, Fresh, Line, Setting, Timing
from yolov7.errors import OutputError

FAST = Line(
    "openvino",
    "openvino, cpu, float32",
    "float32",
    network=Timing(50.0, 2.5, (50.0, 49.0), 20.0, 25.0),
    single=Timing(40.0, 2.0, (40.0, 41.0), 25.0, 30.0),
    stream=Timing(1234.5, 61.7, (1234.5,)),
    reached=0.875,
    fresh=Fresh(2.5, 12.5, 512.25),
)
RESULT = Benchmark(
    weights="best.pt",
    variant="yolov7-tiny",
    classes=3,
    images="20 photos of 640 x 480 pixels",
    machine="A processor, 2 cores, Linux x86_64",
    threads=2,
    libraries={"torch": "2.13.0"},
    settings=(
        Setting(
            size=640,
            batch=1,
            parallel=2,
            rounds=2,
            gflop=10.25,
            peaks={"float32": 200.0, "bfloat16": 400.0},
            lines=(
                Line(
                    BASELINE, "torch", "float32", network=Timing(20.0, 1.0, (20.0,), 50.0, 60.0), reached=0.7
                ),
                FAST,
                Line("onnx", error="it is not installed; run: pip install 'open-yolov7[onnx]'"),
            ),
        ),
    ),
)


def test_cells_stand_below_their_headings():
    baseline, fast = documents.rows(RESULT.settings[0])
    named = dict(zip((text.replace("\n", " ") for text in documents.HEADINGS), fast, strict=True))
    assert named["runtime"] == "openvino"
    assert fast[1:5] == ("20.0", "25.0", "2.50", "88 %")
    assert fast[5:8] == ("25.0", "30.0", "2.00")
    assert (named["stream images/s"], fast[9]) == ("1,234", "61.70")
    assert (named["start s"], named["memory MB"]) == ("2.5", "512")
    assert baseline[4:] == ("70 %", *[""] * 7)


def test_the_floor_and_what_failed_are_said_below():
    notes = documents.notes(RESULT.settings[0])
    assert "51.2 ms at 200 GFLOP/s (float32) and 25.6 ms at 400 GFLOP/s (bfloat16)" in notes[0]
    assert "12.5 s to the first boxes when it had to be converted first" in notes[2]
    assert notes[3] == "onnx: not measured: it is not installed; run: pip install 'open-yolov7[onnx]'"


def test_markdown_has_the_machine_and_a_row_for_each(tmp_path):
    text = documents.to_markdown(RESULT, "a.svg")
    assert "A processor, 2 cores, Linux x86_64, torch with 2 threads" in text
    assert "At 640 pixels, batch 1, streams of 2 at a time, 2 rounds:" in text
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len(table) == 4
    assert len({line.count("|") for line in table}) == 1
    assert "![images per second, by runtime](a.svg)" in text
    assert "Ended early" not in text
    assert "Ended early" in documents.to_markdown(replace(RESULT, interrupted=True))


def test_a_page_keeps_what_is_around_the_marks(tmp_path):
    page = tmp_path / "page.md"
    begin, end = (f"<!-- benchmark of yolov7-tiny: {which} -->" for which in ("begin", "end"))
    page.write_text(f"# Ours\n\nbefore\n\n{begin}\nold\n{end}\n\nafter\n")
    documents.rewrite(page, RESULT)
    text = page.read_text()
    assert text.startswith(f"# Ours\n\nbefore\n\n{begin}\n\n```\nyolov7-tiny (best.pt)")
    assert text.endswith(f"{end}\n\nafter\n")
    assert "old" not in text
    documents.rewrite(page, RESULT)
    assert page.read_text() == text
    documents.rewrite(page, replace(RESULT, variant="yolov7"))  # which has no marks: it comes last
    assert page.read_text().startswith(text.rstrip())
    assert page.read_text().endswith("<!-- benchmark of yolov7: end -->\n")


def test_a_page_that_is_new_or_cannot_be_read(tmp_path):
    documents.rewrite(tmp_path / "new.md", RESULT)
    assert (tmp_path / "new.md").read_text().startswith("<!-- benchmark of yolov7-tiny: begin -->\n")
    with pytest.raises(OutputError):
        documents.rewrite(tmp_path, RESULT)


def test_the_picture_has_a_bar_for_each_way_and_names_what_was_measured():
    drawing = ElementTree.fromstring(bars(RESULT))
    texts = ["".join(node.itertext()).strip() for node in drawing.iter("{http://www.w3.org/2000/svg}text")]
    assert {BASELINE, "openvino"} <= set(texts)
    assert "onnx" not in texts
    shown = [text.replace("\u2002", " ").replace("\u2009", "") for text in texts]
    assert {"20.0", "50.0 2.50×", "40.0 2.00×", "1,234 61.70×"} <= set(shown)


def test_a_picture_of_nothing():
    (setting,) = RESULT.settings
    empty = replace(RESULT, settings=(replace(setting, rounds=0, lines=(Line(BASELINE),)),))
    assert ElementTree.fromstring(bars(empty)).tag.endswith("svg")
