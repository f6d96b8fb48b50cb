"""Processes of their own that fail."""

from __future__ import annotations

import sys

import pytest

from yolov7.benchmark.fresh import fresh
from yolov7.errors import Yolov7Error


def test_a_process_that_dies_is_an_error_with_its_last_words(tmp_path, monkeypatch):
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\necho first >&2\necho 'out of memory' >&2\nexit 137\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    with pytest.raises(Yolov7Error, match="its process ended with status 137: out of memory"):
        fresh("w.pt", ["a.jpg"], 1, {})


def test_an_error_over_there_is_one_line_here(tmp_path):
    (tmp_path / "bad.pt").write_text("hello")
    with pytest.raises(Yolov7Error) as error:
        fresh(str(tmp_path / "bad.pt"), ["a.jpg"], 1, {"device": "cpu"})
    assert str(error.value).startswith(f"{tmp_path / 'bad.pt'}: ")
    assert "\n" not in str(error.value)
