"""Reading ahead: order, errors, leaving early, memory."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
import weakref
from collections.abc import Iterator
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yolov7.errors import UsageError
from yolov7.prefetch import MAX_AHEAD_BYTES, Weight, newest, prefetch

as_it_is = partial(prefetch, prepare=lambda item: item)


def background_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("yolov7-")]


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    assert background_threads() == []


@given(st.lists(st.integers(), max_size=30), st.integers(1, 5), st.integers(1, 4))
@settings(max_examples=40, deadline=None)
def test_order_is_kept_whatever_the_number_of_threads(items: list[int], depth: int, workers: int) -> None:
    assert list(prefetch(items, depth, prepare=lambda item: 2 * item, workers=workers)) == [
        2 * i for i in items
    ]


def test_order_is_kept_when_the_first_takes_longest() -> None:
    third = threading.Event()

    def slowly(item: int) -> int:
        if item == 2:
            third.set()
        assert item or third.wait(30)
        return item

    assert list(prefetch(range(12), 4, prepare=slowly, workers=3)) == list(range(12))


def test_nothing_is_read_before_the_first_is_asked_for_and_no_more_than_depth_ahead() -> None:
    taken: list[int] = []
    all_ahead = threading.Event()

    def items() -> Iterator[int]:
        for item in range(100):
            taken.append(item)
            if item == 3:
                all_ahead.set()
            yield item

    ahead = as_it_is(items(), depth=3)
    assert background_threads() == []
    assert taken == []
    assert next(ahead) == 0
    assert all_ahead.wait(30)
    for expected in range(1, 50):
        assert next(ahead) == expected
        assert len(taken) <= expected + 4  # one is out, three are ahead
    ahead.close()


def test_work_overlaps() -> None:
    read = [threading.Event() for _ in range(5)]

    def items() -> Iterator[int]:
        for item in range(5):
            read[item].set()
            yield item

    for item in as_it_is(items()):  # the next is read while this one is worked on
        assert item == 4 or read[item + 1].wait(30)


@pytest.mark.parametrize("later", [False, True])  # weighed by each thread, or when the item is taken
@pytest.mark.parametrize("workers", [1, 3])
def test_what_is_read_ahead_takes_no_more_than_its_memory(workers: int, later: bool) -> None:
    weights = [MAX_AHEAD_BYTES // 2, 5 * MAX_AHEAD_BYTES, 10, MAX_AHEAD_BYTES, 10, 10]
    lock, ahead = threading.Lock(), []

    def prepare(item: int) -> int:
        with lock:
            ahead.append(item)
            waiting = sorted(ahead)[1:]  # the first may be with the consumer already
        assert sum(weights[other] for other in waiting) <= MAX_AHEAD_BYTES or len(waiting) == 1
        return item

    def weigh(item: int) -> Weight:
        return partial(weights.__getitem__, item) if later else weights[item]

    for number, item in enumerate(prefetch(range(6), 4, prepare=prepare, workers=workers, weigh=weigh)):
        assert item == number
        with lock:
            ahead.remove(item)


def test_several_workers_prepare_at_once() -> None:
    together = threading.Barrier(3, timeout=10)
    assert len(list(prefetch(range(9), 3, prepare=lambda _: together.wait(), workers=3))) == 9


@pytest.mark.parametrize("workers", [1, 3])
def test_an_exception_comes_at_its_place(workers: int) -> None:
    def prepare(item: int) -> int:
        if item == 5:
            raise ValueError("five")
        return item

    seen: list[int] = []
    with pytest.raises(ValueError, match="five"):
        seen.extend(prefetch(range(20), 4, prepare=prepare, workers=workers))
    assert seen == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("later", [False, True])
@pytest.mark.parametrize("workers", [1, 3])
def test_an_exception_of_weighing_comes_at_its_place(workers: int, later: bool) -> None:
    def weigh(item: int) -> Weight:
        if later:
            return lambda: 1 // item
        return 1 // item

    got = prefetch([2, 1, 0, 3], 4, prepare=lambda item: item, workers=workers, weigh=weigh)
    assert [next(got), next(got)] == [2, 1]
    with pytest.raises(ZeroDivisionError):
        next(got)
    assert list(got) == []


def test_a_stop_iteration_of_weighing_is_not_taken_for_the_end() -> None:
    def weigh(item: int) -> Weight:
        return next(weight for weight in (5, 6) if weight == item)

    with pytest.raises(RuntimeError, match="StopIteration"):
        list(prefetch([5, 6, 7], prepare=lambda item: item, weigh=weigh))


@pytest.mark.parametrize("read_ahead", [as_it_is, newest])
def test_an_exception_of_the_items_is_raised(read_ahead: type) -> None:
    def items() -> Iterator[int]:
        yield 1
        raise OSError("unplugged")

    with pytest.raises(OSError, match="unplugged"):
        list(read_ahead(items()))


@pytest.mark.parametrize("read_ahead", [as_it_is, newest])
def test_leaving_early_stops_the_threads_and_closes_the_items(read_ahead: type) -> None:
    closed = threading.Event()

    def items() -> Iterator[int]:
        try:
            while True:
                time.sleep(0.001)
                yield 0
        finally:
            closed.set()

    for _ in read_ahead(items()):
        break
    gc.collect()  # closes the abandoned generator where reference counting does not
    assert background_threads() == []
    assert closed.is_set()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT of another process")
def test_ctrl_c_reaches_a_consumer_that_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("yolov7.prefetch._JOIN_SECONDS", 0.1)
    release = threading.Event()

    def items() -> Iterator[int]:
        os.kill(os.getpid(), signal.SIGINT)
        release.wait(30)
        yield 0

    with pytest.raises(KeyboardInterrupt):
        list(as_it_is(items()))
    assert not release.is_set(), "the thread still hangs in its read"
    release.set()
    for thread in threading.enumerate():
        if thread.name.startswith("yolov7-"):
            thread.join(30)


def test_items_are_let_go() -> None:
    class Big:
        pass

    kept: list[weakref.ref[Big]] = []

    def items() -> Iterator[Big]:
        for _ in range(50):
            item = Big()
            kept.append(weakref.ref(item))
            yield item
            del item

    for item in as_it_is(items(), depth=2, workers=2):
        del item
        assert sum(ref() is not None for ref in list(kept)) <= 6


def test_newest_leaves_out_what_a_slow_consumer_misses_but_not_the_last() -> None:
    first_is_out, all_read = threading.Event(), threading.Event()

    def items() -> Iterator[int]:
        yield 0
        first_is_out.wait(30)
        yield from range(1, 40)
        all_read.set()

    seen = []
    for item in newest(items()):
        seen.append(item)
        first_is_out.set()
        assert all_read.wait(30)
    assert seen == [0, 39]


@pytest.mark.parametrize(("depth", "workers"), [(0, 1), (1, 0)])
def test_numbers_below_one_are_refused(depth: int, workers: int) -> None:
    with pytest.raises(UsageError, match="depth >= 1, workers >= 1"):
        as_it_is([1], depth, workers=workers)
