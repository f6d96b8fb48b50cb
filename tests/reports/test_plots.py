"""Drawings: that they show what they are given, whatever it is called and however little it is."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from tests.evaluation.scenes import HOSTILE, hostile_scene
from yolov7.errors import MissingDependencyError
from yolov7.evaluation.confusion import ConfusionMatrix, confusion_matrix
from yolov7.evaluation.curves import PrecisionRecall, confidence_curves
from yolov7.evaluation.matching import judge
from yolov7.reports import plots
from yolov7.reports.colours import PALETTE
from yolov7.text import printable

HISTORY = [
    {
        "epoch": 1,
        "box": 0.1,
        "objectness": 0.05,
        "classes": 0.02,
        "total": 0.17,
        "learning_rate": 0.001,
        "images_per_second": 9.0,
    },
    {
        "epoch": 2,
        "box": 0.08,
        "objectness": 0.04,
        "classes": 0.0,
        "total": 0.12,
        "lr": 0.01,
        "AP": 0.25,
        "AP50": 0.5,
    },
    {"epoch": 3, "box": 0.07, "objectness": float("nan"), "AP": 0.2, "AP50": None},
]


def texts(svg: str) -> list[str]:
    root = ElementTree.fromstring(svg)
    return ["".join(text.itertext()).strip() for text in root.iter("{http://www.w3.org/2000/svg}text")]


def test_names_are_drawn_as_they_are(tmp_path: Path):
    dataset, outcome = hostile_scene(tmp_path)
    found = texts(plots.precision_recall_plot(outcome.precision_recall))
    for name in HOSTILE[:-1]:  # of the last class there is no object
        shown = printable(name)
        shown = shown if len(shown) <= 22 else shown[:21] + "…"
        assert any(text.startswith(f"{shown}\u2002") for text in found), name
    assert any(text.endswith(f"\u2002{100 * outcome.AP:.1f}") for text in found)
    matrix = confusion_matrix(judge(dataset.images, outcome.by_image), dataset.names)
    found = texts(plots.confusion_plot(matrix))
    assert {f"{count:,}" for count in matrix.counts.flat if count} <= set(found)
    assert found.count("background") == 2


def test_the_best_f1_is_marked(tmp_path: Path):
    dataset, outcome = hostile_scene(tmp_path)
    curves = confidence_curves(dataset.images, outcome.by_image, dataset.names)
    confidence, f1 = curves.best
    assert f"F1 {f1:.2f} at {confidence:.2f}" in texts(plots.confidence_plot(curves))


def test_eighty_classes_are_a_cloud_with_its_means_and_a_large_matrix():
    rng = np.random.default_rng(0)
    names = tuple(f"class {i}" for i in range(80))
    precision = np.sort(rng.uniform(size=(10, 101, 80)), axis=1)[:, ::-1]
    found = texts(plots.precision_recall_plot(PrecisionRecall(names, precision)))
    assert "each class, IoU 0.50" in found
    assert not [text for text in found if text.startswith("class ")]
    counts = np.diag(rng.integers(0, 50, 81))
    counts[7], counts[:, 7] = 0, 0
    counts[3, 5] = 2
    svg = plots.confusion_plot(ConfusionMatrix(names, counts))
    found = texts(svg)
    assert found.count("class 3") == 2
    assert "class 7" not in found, "neither seen nor found"
    assert len(svg) < 200_000


def test_nothing_can_be_drawn_too():
    nothing = PrecisionRecall(("cat",), np.full((10, 101, 1), np.nan))
    assert "precision" in texts(plots.precision_recall_plot(nothing))
    assert "confidence" in texts(plots.confidence_plot(confidence_curves([], {}, ("cat",))))
    assert "truth" in texts(plots.confusion_plot(confusion_matrix([], ("cat",))))
    for plot in (plots.loss_plot, plots.precision_plot, plots.rate_plot, plots.speed_plot):
        assert "epoch" in texts(plot([]))
        assert "epoch" in texts(plot(HISTORY[:1]))


def test_a_history_with_gaps():
    assert {"box", "objectness", "classes", "total"} <= set(texts(plots.loss_plot(HISTORY)))
    assert "25.0" in texts(plots.precision_plot(HISTORY)), "the best AP, not the last"
    assert "learning rate" in texts(plots.rate_plot(HISTORY))
    assert "images per second" in texts(plots.speed_plot(HISTORY))


@pytest.mark.parametrize("rising", [False, True])
def test_the_names_of_a_history_cover_none_of_its_lines(rising: bool):
    """Above the axes, whose upper edge is the highest of the grid and spines, for any course of the lines."""
    values = np.geomspace(1, 0.01, 40)[:: -1 if rising else 1]
    history = [
        {"epoch": epoch, "box": value, "objectness": 1.01 - value, "total": 1.0}
        for epoch, value in enumerate(values.tolist(), 1)
    ]
    root = ElementTree.fromstring(plots.loss_plot(history))
    space = "{http://www.w3.org/2000/svg}"
    parts = {part.get("id", ""): part for part in root.iter(f"{space}g")}

    def heights(name: str) -> list[float]:
        numbers = [re.findall(r"-?[0-9.]+", path.get("d", "")) for path in parts[name].iter(f"{space}path")]
        return [float(y) for found in numbers for y in found[1::2]]

    assert max(heights("legend_1")) <= min(heights("patch_2"))  # y grows downwards; patch_2 is the axes


def test_the_same_drawing_is_the_same_file():
    assert plots.loss_plot(HISTORY) == plots.loss_plot(HISTORY)


def test_the_page_knows_all_colours():
    """So that none stays dark on a dark page."""
    svg = (
        plots.loss_plot(HISTORY)
        + plots.precision_plot(HISTORY)
        + plots.confusion_plot(confusion_matrix([], ()))
    )
    used = set(re.findall(r"(?:fill|stroke): (#[0-9a-f]{6})", svg))
    assert used <= {light for light, _ in PALETTE.values()}
    assert len(used) > 4


def test_drawing_leaves_matplotlib_as_it_was_and_opens_no_windows():
    code = (
        "import matplotlib, sys\nfrom matplotlib import rcParams\n"
        "look = lambda: {k: rcParams[k] for k in rcParams if k != 'backend'}\nbefore = look()\n"
        "from yolov7.reports import plots\nplots.loss_plot([{'epoch': 1, 'box': 0.1}])\n"
        "assert look() == before\nassert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_without_matplotlib_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'open-yolov7\[train\]'"):
        plots.loss_plot(HISTORY)
