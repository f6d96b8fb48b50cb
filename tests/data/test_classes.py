"""Matching of the classes of a data set with those of a model."""

from __future__ import annotations

import pytest

from yolov7.data.classes import match_classes
from yolov7.errors import DataError


@pytest.mark.parametrize(
    ("dataset", "model", "mapping"),
    [
        (["cat", "dog"], ["cat", "dog"], (0, 1)),
        (["cat", "dog"], ["dog", "cat"], (1, 0)),
        (["cat", "dog"], ["dog", "bird", "cat"], (1, -1, 0)),
        (["Hot Dog", "TV"], ["tv", "hot_dog"], (1, 0)),
        (["cat", "dog"], ["0", "1"], (0, 1)),
        (["a", "a"], ["a", "a"], (0, 1)),
    ],
)
def test_classes_are_matched_by_name(dataset: list[str], model: list[str], mapping: tuple[int, ...]) -> None:
    assert match_classes(dataset, model) == mapping


@pytest.mark.parametrize(
    ("dataset", "model", "message"),
    [
        (
            ["cat", "dog", "cow"],
            ["cat", "bird"],
            r"2 of the data set's 3 classes.*\s.*cat, bird\s.*only: dog, cow",
        ),
        (["cat"], [], "1 of the data set's 1 classes"),
        (["cat"], ["0", "1"], "1 of the data set's 1 classes"),
        (["a", "a"], ["a", "b"], r"several classes share.*\s+found:    a"),
        (["a", "b"], ["b", "a", "A"], r"several classes share.*\s+found:    A, a"),
    ],
)
def test_unknown_or_ambiguous_classes_are_refused(dataset: list[str], model: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        match_classes(dataset, model)


def test_a_class_without_boxes_need_not_be_known() -> None:
    assert match_classes(["shapes", "cat"], ["cat", "dog"], [False, True]) == (1, -1)
    with pytest.raises(DataError, match=r"1 of the data set's 2 classes.*\s.*\s.*only: shapes"):
        match_classes(["shapes", "cat"], ["cat", "dog"], [True, True])
