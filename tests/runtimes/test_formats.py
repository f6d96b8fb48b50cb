"""The list of formats, and finding one by a name or by an artefact's path."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from yolov7.artefacts.tolerance import TOLERANCES
from yolov7.errors import UsageError
from yolov7.runtimes.formats import FORMATS, find_format, runtime_of


def test_names_and_suffixes_are_each_ones_own():
    suffixes = [runtime.suffix for runtime in FORMATS.values()]
    assert len(set(suffixes)) == len(suffixes)
    assert all(suffix.startswith(".") for suffix in suffixes)
    assert all(name == runtime.name for name, runtime in FORMATS.items())


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_is_found_by_its_name_and_by_its_artefacts(name):
    runtime = find_format(name)
    assert runtime.name == name
    assert runtime_of(Path("somewhere") / f"best.of.all{runtime.suffix}") is runtime
    assert runtime_of(Path(f"best{runtime.suffix}.rejected")) is None


def test_the_longest_suffix_tells():
    assert runtime_of(Path("a.onnx")) is FORMATS["onnx"]
    assert runtime_of(Path("a.nms.onnx")) is FORMATS["onnx-nms"]
    assert runtime_of(Path("a.int8.openvino")) is FORMATS["openvino-int8"]


@pytest.mark.parametrize(
    "name", ["best.pt", "best.safetensors", "best.onnx.parity.json", "yolov7-tiny", "photo.jpg"]
)
def test_what_is_no_artefact(name):
    assert runtime_of(Path(name)) is None


def test_an_unknown_name_is_answered_with_those_there_are():
    with pytest.raises(UsageError, match="openvino-int8"):
        find_format("onyx")


def test_every_extra_is_one_of_the_package():
    project = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    extras = re.findall(
        r"^([a-z0-9]+) = \[", project.partition("[project.optional-dependencies]")[2], re.MULTILINE
    )
    assert {runtime.extra for runtime in FORMATS.values()} - {""} <= set(extras)


def test_the_page_names_every_format_and_every_tolerance():
    page = (Path(__file__).parents[2] / "docs" / "export.md").read_text()
    for runtime in FORMATS.values():
        assert f"| `{runtime.name}` | `NAME{runtime.suffix}" in page, runtime.name
    for tolerance in TOLERANCES.values():
        box, score = ("any" if bound is None else f"{bound:g}" for bound in (tolerance.box, tolerance.score))
        share = f"{100 * tolerance.unmatched:g} %" if tolerance.unmatched else "none"
        cells = tolerance.precision, box, score, f"{tolerance.margin:g}", share, f"{tolerance.ap:.3f}"
        row = f"| {' | '.join(cells)} |"
        assert row in page, row
