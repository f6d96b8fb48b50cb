"""Thresholds: ranges, types, classes by name and number."""

from __future__ import annotations

import numpy as np
import pytest

from yolov7.errors import UsageError
from yolov7.thresholds import Thresholds

NAMES = ("cat", "dog", "cat", "7")


@pytest.mark.parametrize(
    ("classes", "labels"),
    [
        (None, None),
        ("dog", [1]),
        (1, [1]),
        (np.int64(1), [1]),
        (["cat"], [0, 2]),  # two classes of one name
        (["1", "cat"], [0, 1, 2]),
        (["7"], [3]),  # a name comes before a number
        ([], []),
        (np.array([3, 0]), [0, 3]),
    ],
)
def test_classes_by_name_and_number(classes, labels):
    assert Thresholds(classes=classes).labels(NAMES) == labels


@pytest.mark.parametrize("wrong", ["pink", "4", -1, 4, True, 1.0, None, "9" * 5000, "²"])
def test_a_class_that_does_not_exist_is_an_error(wrong):
    with pytest.raises(UsageError, match="no such class"):
        Thresholds(classes=[wrong]).labels(NAMES)


def test_the_error_suggests_a_near_name_and_lists_few():
    with pytest.raises(UsageError, match="did you mean dog") as raised:
        Thresholds(classes="dgo").labels(NAMES)
    assert "cat, dog, cat, 7" in str(raised.value)
    for classes, more in ((1000, " and 980 more"), (21, " and 1 more"), (20, "")):
        with pytest.raises(UsageError) as raised:
            Thresholds(classes="x").labels([f"class {n}" for n in range(classes)])
        assert raised.value.expected == ", ".join(f"class {n}" for n in range(20)) + more


@pytest.mark.parametrize("conf", [-0.1, 1.1, 25, float("nan"), "0.3", None, True, [0.5]])
def test_values_outside_the_range_or_of_another_type(conf):
    with pytest.raises(UsageError, match=r"(?s)invalid confidence threshold.*a number from 0 to 1"):
        Thresholds(conf=conf)
    with pytest.raises(UsageError, match="invalid IoU threshold"):
        Thresholds().but(iou=conf)


@pytest.mark.parametrize("limit", [0, -1, 1.5, "300", None, True])
def test_a_limit_is_a_whole_number(limit):
    with pytest.raises(UsageError, match="invalid limit of detections"):
        Thresholds(max_detections=limit)


def test_the_ends_of_the_ranges_are_within():
    least, most = Thresholds(conf=0, iou=0, max_detections=1), Thresholds(conf=1, iou=1.0)
    assert (least.conf, least.iou, least.max_detections, most.conf, most.iou) == (0, 0, 1, 1, 1)


def test_numbers_of_numpy_are_numbers():
    assert Thresholds(conf=np.float32(0.5), max_detections=np.int64(3)).conf == 0.5


def test_but_changes_what_is_named():
    assert Thresholds(iou=0.6).but(conf=0.9) == Thresholds(conf=0.9, iou=0.6)
    with pytest.raises(UsageError, match="did you mean conf"):
        Thresholds().but(confidence=0.9)


def test_a_comma_inside_of_a_name_is_pointed_out():
    names = ("cat", "small, red")
    with pytest.raises(UsageError) as raised:
        Thresholds(classes=("small", "red")).labels(names)
    assert r"a comma inside of a name is written \," in str(raised.value)
    with pytest.raises(UsageError) as raised:
        Thresholds(classes=("dog",)).labels(names)
    assert "comma" not in str(raised.value)
