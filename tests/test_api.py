"""The examples of the docstrings run, everything public has one, and docs/api.md is what they say."""

from __future__ import annotations

import doctest
import inspect
from importlib import import_module
from pathlib import Path

import pytest

import yolov7
from tests.api_page import PAGE, page

SOURCE = Path(yolov7.__file__).parent
MODULES = sorted(
    ".".join(path.relative_to(SOURCE.parent).with_suffix("").parts)
    for path in SOURCE.rglob("*.py")
    if ">>> " in path.read_text()
)
SHOWN_ELSEWHERE = {"Evaluation": "evaluate", "Metrics": "evaluate", "Predictions": "Detector"}
"""Results, by the name whose example makes one."""


@pytest.mark.parametrize("module", MODULES)
def test_examples(module, users_folder):
    failed, attempted = doctest.testmod(import_module(module))
    assert attempted > 0
    assert failed == 0


def test_everything_public_has_an_example():
    without = {name for name in yolov7.__all__ if ">>> " not in inspect.getdoc(getattr(yolov7, name))}
    assert without == set(SHOWN_ELSEWHERE)


def test_the_page_is_what_the_code_says():
    assert PAGE.read_text() == page(), "run scripts/api-page"
