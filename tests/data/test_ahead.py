"""Work done ahead: order, bound, errors and end."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from yolov7.data.ahead import map_ahead


def test_results_are_in_order_and_bounded() -> None:
    asked: list[int] = []

    def items() -> Iterator[int]:
        for number in range(30):
            asked.append(number)
            yield number

    done = [threading.Event() for _ in range(30)]

    def work(number: int) -> int:
        """Those with even numbers are done after the next one."""
        assert number % 2 or done[number + 1].wait(30)
        done[number].set()
        return number * number

    for expected, result in enumerate(map_ahead(work, items(), threads=4, ahead=5)):
        assert result == expected * expected
        assert len(asked) <= expected + 6


def test_error_is_raised_in_place_of_its_result() -> None:
    results = map_ahead(lambda number: 1 / (3 - number), range(9), threads=2, ahead=4)
    assert [next(results) for _ in range(3)] == [1 / 3, 1 / 2, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_closing_stops_the_threads() -> None:
    before, done = threading.active_count(), []

    def work(number: int) -> int:
        done.append(number)
        return number

    with closing(map_ahead(work, range(1000), threads=2, ahead=3)) as results:
        next(results)
    assert threading.active_count() == before
    assert len(done) <= 4
