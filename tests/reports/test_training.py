"""The page of a run: complete at the end, and no less sound when the run was broken off."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from tests.browser import visit
from tests.evaluation.scenes import HOSTILE, hostile_scene
from yolov7.reports.training import class_counts, training_report

ROW = {"box": 0.1, "objectness": 0.05, "classes": 0.02, "total": 0.17, "lr": 0.01}
HISTORY = [
    {"epoch": 1, **ROW, "images_per_second": 80.0, "seconds": 100.0},
    {"epoch": 2, **ROW, "AP": 0.31, "AP50": 0.5, "images_per_second": 100.0, "seconds": 80.0},
    {"epoch": 3, **ROW, "AP": 0.29, "AP50": 0.6, "images_per_second": 102.0, "seconds": 78.0},
]
CONFIGURATION = {"seed": 0, "recipe": {"learning_rate": 0.01, "name": HOSTILE[0]}}


def headings(text: str) -> list[str]:
    return re.findall("<h2>(.*?)</h2>", text)


def tiles(text: str) -> dict[str, str]:
    found = re.findall('<div class="tile"><dt>(.*?)</dt><dd>(.*?)</dd>', text)
    return {name: re.sub("<.*?>", "", value) for name, value in found}


def test_a_whole_run_in_a_browser(tmp_path: Path):
    dataset, outcome = hostile_scene(tmp_path / "data")
    picture = np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)
    text = training_report(
        f"a network on {HOSTILE[0]}",
        "a subtitle",
        facts={"network": "yolov7-tiny", "parameters": 6_200_000},
        configuration=CONFIGURATION,
        history=HISTORY,
        evaluation=outcome,
        training=dataset,
        validation=dataset,
        pictures=[(HOSTILE[1], HOSTILE[0], picture), ("Objectness", "Where the heads look.", picture)],
    )
    path = tmp_path / "report.html"
    path.write_text(text, encoding="utf-8")
    seen = visit(path)
    assert seen.console == []
    assert seen.picture.std() > 10
    assert headings(seen.document) == [
        *("Run", "Course", "Result", "Precision and recall", "Classes", "Confusions", "Worst images"),
        *("Looking inside", "Data", "Epochs", "Configuration"),
    ]
    assert seen.document.count("<img ") == 2
    shown = tiles(text)
    assert shown["Best AP"] == "31.0%"
    assert shown["Epochs"] == "3"
    assert shown["Time"] == "4.3 minutes"
    assert shown["Speed"] == "100 images/s"
    assert shown["Training"] == "6 images"
    assert "<dt>recipe.learning_rate</dt><dd>0.01</dd>" in text


def test_a_run_that_was_broken_off_in_its_first_epoch():
    text = training_report("a run", facts={"network": "x"}, configuration=CONFIGURATION, history=[])
    assert headings(text) == ["Run", "Configuration"]
    assert "No epoch was completed." in text
    assert tiles(text) == {}


def test_a_run_that_was_broken_off_before_its_first_evaluation(tmp_path: Path):
    dataset, _ = hostile_scene(tmp_path)
    text = training_report(
        "a run", facts={}, configuration={}, history=HISTORY[:1], training=dataset, validation=None
    )
    assert headings(text) == ["Run", "Course", "Data", "Epochs", "Configuration"]
    assert set(tiles(text)) == {"Epochs", "Time", "Speed", "Training"}
    assert "Average precision." not in text
    assert "Losses." in text


@pytest.mark.parametrize(("seconds", "shown"), [(5, "5 seconds"), (90, "1.5 minutes"), (9000, "2.5 hours")])
def test_time_in_a_unit_that_suits_it(seconds: float, shown: str):
    history = [{"epoch": 1, "seconds": seconds}]
    assert tiles(training_report("a run", facts={}, configuration={}, history=history))["Time"] == shown


def test_classes_are_counted_without_crowds(tmp_path: Path):
    dataset, _ = hostile_scene(tmp_path)
    assert class_counts(dataset).tolist() == [6, 6, 6, 6, 6, 0]
    dataset.images[0].crowds[2] = True
    assert class_counts(dataset).tolist() == [6, 6, 5, 6, 6, 0]
