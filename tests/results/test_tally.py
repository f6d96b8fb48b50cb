"""Counts of a run."""

from __future__ import annotations

from collections import Counter

from yolov7.errors import OutputError
from yolov7.results.tally import RunTally


def test_errors_are_reported_once_and_at_most_twenty_of_them() -> None:
    tally = RunTally()
    reported = [
        tally.fail(OutputError("full", file=f"{number}.txt")) for number in range(25) for _ in range(2)
    ]
    assert reported == [True, False] * 20 + [False] * 10
    assert str(tally) == "0 images, 0 detections, 0 skipped, 50 results not written"


def test_the_five_most_frequent_classes_are_listed() -> None:
    tally = RunTally()
    tally.images, tally.found = 1, Counter(a=1, b=7, c=2, d=6, e=5, f=4, g=1)
    assert str(tally) == "1 image, 26 detections (7 b, 6 d, 5 e, 4 f, 2 c and 2 more), 0 skipped"
