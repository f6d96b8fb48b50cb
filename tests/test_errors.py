"""Messages that a person can act on."""

from __future__ import annotations

from pathlib import Path

from yolov7.errors import DataError, MissingDependencyError, UsageError, Yolov7Error


def test_place_expected_and_found_are_in_the_message():
    error = DataError("a class that is not there", file=Path("a.txt"), line=3, expected="0 to 2", found=7)
    assert str(error) == "a.txt:3: a class that is not there\n  expected: 0 to 2\n  found:    7"
    assert (error.file, error.line, error.found) == ("a.txt", 3, 7)
    assert str(Yolov7Error("simply wrong")) == "simply wrong"
    assert str(Yolov7Error("wrong", file="a.txt")) == "a.txt: wrong"


def test_a_missing_library_is_wrong_usage_with_a_remedy():
    error = MissingDependencyError("av", purpose="video")
    assert isinstance(error, UsageError)
    assert "pip install 'av'" in str(error)
