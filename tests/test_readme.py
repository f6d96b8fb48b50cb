"""The README's examples run as they stand."""

from __future__ import annotations

import re
import runpy
import shlex
from pathlib import Path

import pytest

from tests.runtimes.lively import lively
from yolov7.benchmark import floor
from yolov7.cli import main
from yolov7.runtimes.description import ExportOptions
from yolov7.runtimes.openvino import OpenVino

README = Path(__file__).parents[1] / "README.md"
TEXT = README.read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
COMMANDS = re.findall(r"^(yolov7 .*?)\s*(?:#.*)?$", TEXT, re.MULTILINE)


@pytest.fixture(autouse=True)
def _quick(users_folder, monkeypatch):
    monkeypatch.setattr(floor, "SIDE", 256)  # the peak in a hundredth of the time, though less well measured


def test_there_are_examples():
    assert len(EXAMPLES) == 4
    assert len(COMMANDS) == 14


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_example(example):
    Path("example.py").write_text(
        example.replace("epochs=100, size=640", "epochs=1, size=64, out='runs/example'")
    )
    runpy.run_path("example.py", run_name="__main__")


@pytest.mark.parametrize("command", COMMANDS)
def test_command(command):
    if "--resume" in command:  # which needs a run to go on with
        with pytest.raises(SystemExit):
            main(shlex.split("yolov7 train data.yaml --model yolov7-tiny --size 64 --epochs 1")[1:])
    if "artefacts/" in command:  # which an export has written
        OpenVino().write(lively(), Path("artefacts/best.openvino"), ExportOptions())
    command = command.replace("--epochs 100", "--epochs 1 --size 64").replace(
        "benchmark best.pt", "benchmark best.pt --rounds 1 --count 2"
    )
    with pytest.raises(SystemExit) as stop:
        main(shlex.split(command)[1:])
    assert stop.value.code == 0


def test_links_lead_somewhere():
    links = [link for link in re.findall(r"\]\((?!http)([^)#]+)\)", TEXT) if link]
    assert links
    assert [link for link in links if not (README.parent / link).exists()] == []


def test_numbers_of_the_table_are_those_that_the_command_counts():
    from yolov7.models.architecture import VARIANTS
    from yolov7.reproduce.counting import complexity

    for variant in VARIANTS:
        counts = complexity(variant)
        row = next(line for line in TEXT.splitlines() if line.startswith(f"| {variant.name} "))
        assert f"| {counts.parameters_training:,} | {counts.parameters_deployed:,} |" in row
        assert f"| {counts.paper_gflops} |" in row
