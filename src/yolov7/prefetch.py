"""Reading ahead: the next images are decoded in the background while the network works on this one.

Decoding (OpenCV, Pillow, PyAV) and the network release Python's lock, so threads are enough.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any, Generic, TypeVar

from yolov7.errors import UsageError

Item = TypeVar("Item")
Ready = TypeVar("Ready")
Weight = int | Callable[[], int]
"""Bytes of memory, or a function that finds them out."""

_POLL_SECONDS = 0.5
"""Interval at which a waiting consumer wakes up: on Windows, waiting for a lock blocks Ctrl-C."""
_JOIN_SECONDS = 2.0
"""Seconds that an early exit waits for a thread. One that hangs in a network read ends by its own timeout."""
MAX_AHEAD_BYTES = 1_200_000_000
"""Memory limit of all items that are read ahead. A single item may take more."""


def prefetch(
    items: Iterable[Item],
    depth: int = 4,
    *,
    prepare: Callable[[Item], Ready],
    workers: int = 1,
    weigh: Callable[[Item], Weight] = lambda _: 0,
) -> Generator[Ready, None, None]:
    """Prepare items in the background; yield the results in order.

    Nothing is read before the first result is asked for. An exception of `items`, `weigh` or `prepare` is
    raised at its place in the order and ends the iteration. Leaving early (`break`, an exception, Ctrl-C)
    stops the threads and closes `items`.

    Args:
        items: inputs, taken by one thread at a time.
        depth: maximum number of items ahead of the consumer.
        prepare: function of one item; with several workers it runs on several items at once.
        workers: number of threads.
        weigh: memory that an item takes. A function that it returns may be slow (open a file, download it);
            with several workers it runs for several items at once. An item waits while it and the items ahead
            of it would take more than MAX_AHEAD_BYTES.

    Raises:
        UsageError: depth or workers below 1.

    >>> list(prefetch("abc", prepare=str.upper, workers=2))
    ['A', 'B', 'C']
    """
    if depth < 1 or workers < 1:
        raise UsageError(
            "cannot read ahead",
            expected="depth >= 1, workers >= 1",
            found=f"depth {depth}, workers {workers}",
        )
    return _ReadAhead(items, depth, prepare, workers, weigh).results()


def newest(items: Iterable[Item]) -> Iterator[Item]:
    """Yield items of a live source as they come; a slower consumer gets the newest and misses the others.

    Exceptions, the end and leaving early are as with `prefetch`.

    >>> list(newest([1]))
    [1]
    """
    # At most two are ahead: one waits for the consumer, and the next is being read.
    return _ReadAhead(items, 2, lambda item: item, workers=1, weigh=lambda _: 0, newest=True).results()


class _Exhausted(Exception):  # noqa: N818 - a signal, not an error
    """The end of the items."""


class _ReadAhead(Generic[Ready]):
    """Threads that take numbered items, prepare them, and leave them for the consumer by number.

    items --(one at a time)--> number, item --(in parallel)--> prepare --> ready[number] --> consumer

    With `newest`, which needs a single thread, a result replaces those that the consumer has not taken yet.
    """

    def __init__(
        self,
        items: Iterable[Any],
        depth: int,
        prepare: Callable[[Any], Ready],
        workers: int,
        weigh: Callable[[Any], Weight],
        newest: bool = False,
    ) -> None:
        self._items = _generated(items)
        self._depth = depth
        self._prepare = prepare
        self._weigh = weigh
        self._newest = newest
        name = "yolov7-newest" if newest else "yolov7-ahead"
        self._threads = [
            threading.Thread(target=self._work, name=f"{name}-{number}", daemon=True)
            for number in range(workers)
        ]
        self._taking = threading.Lock()
        self._changed = threading.Condition()
        self._taken = self._given = 0
        self._stopped = self._ended = False
        self._ready: dict[int, tuple[Any, BaseException | None]] = {}
        self._weights: dict[int, int] = {}  # by number, of items taken but not yet yielded

    def results(self) -> Generator[Ready, None, None]:
        """Yield the results. Leaving waits for reads under way, though not forever, and closes the items."""
        for thread in self._threads:
            thread.start()
        try:
            while True:
                ready = self._next()
                yield ready
                del ready  # free its memory as soon as the consumer is done with it
        except _Exhausted:
            return
        finally:
            with self._changed:
                self._stopped = True
                self._changed.notify_all()
            for thread in self._threads:
                thread.join(_JOIN_SECONDS)

    def _next(self) -> Ready:
        """Next result. Raises what the background raised: _Exhausted at the end."""
        with self._changed:
            while self._given not in self._ready:
                self._changed.wait(_POLL_SECONDS)
            value: Ready
            value, error = self._give()
        if error is not None:
            raise error
        return value

    def _give(self) -> tuple[Any, BaseException | None]:
        """Take out the first result; the caller holds the lock."""
        result = self._ready.pop(self._given)
        del self._weights[self._given]
        self._given += 1
        self._changed.notify_all()
        return result

    def _work(self) -> None:
        """Loop of each thread."""
        while True:
            with self._taking:
                self._await_room()
                if self._stopped or self._ended:
                    self._items.close()
                    return
                item, weight, error = self._take()
                if error is not None:
                    self._ended = True  # nothing comes after the end or an error
                number, self._taken = self._taken, self._taken + 1
                if isinstance(weight, int):
                    self._await_memory(number, weight)
            if not isinstance(weight, int):
                try:
                    weight = weight()
                except BaseException as problem:
                    weight, error = 0, problem
                self._await_memory(number, weight)
            if error is None:
                try:
                    item = self._prepare(item)
                except BaseException as problem:
                    error = problem
            with self._changed:
                while self._newest and error is None and self._given < number:
                    self._give()
                self._ready[number] = item, error
                self._changed.notify_all()
            del item, error

    def _take(self) -> tuple[Any, Weight, BaseException | None]:
        """Next item and its weight, or the reason why there is none."""
        try:
            item = next(self._items, _Exhausted)
            if item is _Exhausted:
                return None, 0, _Exhausted()
            return item, self._weigh(item), None
        except BaseException as error:
            return None, 0, error

    def _await_room(self) -> None:
        """Wait until fewer than `depth` items are ahead of the consumer."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._stopped or self._ended or self._taken - self._given < self._depth
            )

    def _await_memory(self, number: int, weight: int) -> None:
        """Wait until an item fits in memory beside the items before it, which must be weighed first."""

        def enough() -> bool:
            before = [other for place, other in self._weights.items() if place < number]
            weighed = len(before) == number - self._given
            return self._stopped or (weighed and (not before or sum(before) + weight <= MAX_AHEAD_BYTES))

        with self._changed:
            self._changed.wait_for(enough)
            self._weights[number] = weight
            self._changed.notify_all()


def _generated(items: Iterable[Item]) -> Generator[Item, None, None]:
    """Iterate over the items, opened by the first `next`; closing it closes a generator among them."""
    yield from items
