"""`benchmark` as a user types it."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import cv2
import pytest

from tests.runtimes.lively import lively, noise
from yolov7.benchmark import floor
from yolov7.benchmark.measure import BenchmarkSetting
from yolov7.cli import main


@pytest.fixture(autouse=True)
def _quick(tmp_path, monkeypatch):
    monkeypatch.setenv("YOLOV7_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(floor, "SIDE", 256)


@pytest.fixture
def weights(tmp_path) -> Path:
    lively(size=64).save(tmp_path / "lively.safetensors")
    return tmp_path / "lively.safetensors"


@pytest.fixture
def photos(tmp_path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(2):
        cv2.imwrite(str(folder / f"{i}.jpg"), noise(48, 64, i))
    return folder


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stop:
        main(["benchmark", *map(str, arguments)])
    assert isinstance(stop.value.code, int)
    return stop.value.code


def test_results_on_the_screen_in_files_and_in_a_page(weights, photos, tmp_path, capsys):
    page = tmp_path / "docs" / "speed.md"
    page.parent.mkdir()
    page.write_text("# Speed\n")
    options = ("--runtimes", "torch", "--images", photos, "--rounds", 1, "--sizes", 64, "--batches", "2")
    assert run(weights, *options, "--json", "--out", tmp_path / "out", "--markdown", page) == 0
    found = json.loads(capsys.readouterr().out)
    (setting,) = found["settings"]
    assert (setting["size"], setting["batch"], setting["rounds"]) == (64, 2, 1)
    assert [line["runtime"] for line in setting["lines"]] == ["torch-default", "torch"]
    assert setting["lines"][1]["stream"]["images_per_second"] > 0
    out = tmp_path / "out"
    assert json.loads((out / "benchmark.json").read_text()) == found
    assert "(benchmark.svg)" in (out / "benchmark.md").read_text()
    for picture in (out / "benchmark.svg", tmp_path / "docs/images/benchmark-yolov7-tiny.svg"):
        assert ElementTree.parse(picture).getroot().tag.endswith("svg")
    assert page.read_text().startswith("# Speed\n\n<!-- benchmark of yolov7-tiny: begin -->\n")
    assert "(images/benchmark-yolov7-tiny.svg)" in page.read_text()


def test_nothing_but_errors_is_status_1(weights, photos, capsys):
    assert run(weights, "--runtimes", "openvino-int8", "--images", photos, "--rounds", 1) == 1
    table = capsys.readouterr().out
    assert "torch-default" in table
    assert "openvino-int8: not measured: openvino-int8 needs images like those of later use;" in table


def test_ctrl_c_shows_what_there_is(weights, photos, capsys, monkeypatch):
    run_rounds = BenchmarkSetting.run

    def interrupted(self: BenchmarkSetting, *_: object) -> None:
        run_rounds(self, 1)
        raise KeyboardInterrupt

    monkeypatch.setattr(BenchmarkSetting, "run", interrupted)
    assert run(weights, "--runtimes", "torch-default", "--images", photos) == 130
    table = capsys.readouterr().out
    assert "1 round\n" in table
    assert "Ended early" in table


@pytest.mark.parametrize(
    "arguments",
    [
        ("--runtimes", "nonsense"),
        ("--sizes", "large"),
        ("--batches", "0"),
        ("--rounds", "0"),
    ],
    ids=" ".join,
)
def test_invalid_arguments_are_status_2(arguments, weights, photos, capsys):
    assert run(weights, "--images", photos, *arguments) == 2
    assert "error: " in capsys.readouterr().err
