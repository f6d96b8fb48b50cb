"""Reading ahead: the next images are decoded in the background while the network works on this one.

Decoding (OpenCV, Pillow, PyAV) and the network release Python's lock, so threads are enough.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar, overload

from yolov7.errors import UsageError

Item = TypeVar("Item")
Ready = TypeVar("Ready")
Weight = int | Callable[[], int]

_POLL = 0.5
"""Seconds after which a waiting consumer looks up: on Windows a lock that is waited for hides Ctrl-C."""
_PATIENCE = 2.0
"""Seconds that an early exit waits for a thread; one that hangs in a network read ends by its own timeout."""


MAX_AHEAD_BYTES = 1_200_000_000
"""Memory that items may take, together, which are read ahead; one at least is, whatever it takes."""


@overload
def prefetch(
    items: Iterable[Item],
    depth: int = ...,
    *,
    workers: int = ...,
    weigh: Callable[[Item], Weight] | None = ...,
) -> Iterator[Item]: ...


@overload
def prefetch(
    items: Iterable[Item],
    depth: int = ...,
    *,
    prepare: Callable[[Item], Ready],
    workers: int = ...,
    weigh: Callable[[Item], Weight] | None = ...,
) -> Iterator[Ready]: ...


def prefetch(
    items: Iterable[Any],
    depth: int = 4,
    *,
    prepare: Callable[[Any], Any] | None = None,
    workers: int = 1,
    weigh: Callable[[Any], Weight] | None = None,
) -> Iterator[Any]:
    """The items, taken and prepared in the background, in their order.

    Nothing is read before the first item is asked for, and at most `depth` items are ahead of the consumer.
    An exception of `items` or `prepare` is raised at its place in the order and ends the iteration. Leaving
    early (`break`, an exception, Ctrl-C) stops the threads and closes `items`.

    Args:
        items: what to read; taken by one thread at a time.
        depth: how many items may be read ahead.
        prepare: what to do with each item in the background, such as letterboxing; with several workers to
            several items at once.
        workers: how many threads.
        weigh: bytes of memory that an item takes, or what finds out (opens a file, downloads it), with
            several workers for several items at once; an item waits while it and those before it that the
            consumer has not got yet would take more than MAX_AHEAD_BYTES.

    Raises:
        UsageError: depth or workers below 1.
    """
    if depth < 1 or workers < 1:
        raise UsageError(
            "cannot read ahead",
            expected="depth >= 1, workers >= 1",
            found=f"depth {depth}, workers {workers}",
        )
    return _consume(_ReadAhead(items, depth, prepare, workers, weigh or (lambda _: 0)))


def newest(items: Iterable[Item]) -> Iterator[Item]:
    """The items as they come; a consumer that is slower gets the newest and misses those between.

    For live sources, read in the background. Exceptions, the end and leaving early are as with `prefetch`.
    """
    return _consume(_Newest(items))


class _Exhausted(Exception):  # noqa: N818 - a signal, not an error
    """There are no more items."""


class _Background(ABC, Generic[Ready]):
    """Threads that run `_work` until `_stopped`, and a consumer that waits for what they put down."""

    def __init__(self, items: Iterable[Any], workers: int) -> None:
        self._items = items
        self._iterator: Iterator[Any] | None = None
        self._stopped = False
        self._changed = threading.Condition()
        self._threads = [
            threading.Thread(target=self._work, name=f"yolov7-{type(self).__name__}-{number}", daemon=True)
            for number in range(workers)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End the threads, close the items. Waits for what is being read now, though not forever."""
        self._stopped = True
        for thread in self._threads:
            thread.join(_PATIENCE)

    @abstractmethod
    def next(self) -> Ready:
        """What the consumer gets next. Raises _Exhausted at the end, and what the background raised."""

    @abstractmethod
    def _work(self) -> None:
        """What each thread does until it is told to stop."""

    def _take(self) -> tuple[Any, BaseException | None]:
        """The next of the items, or why there is none."""
        try:
            if self._iterator is None:
                self._iterator = iter(self._items)
            return next(self._iterator), None
        except StopIteration:
            return None, _Exhausted()
        except BaseException as error:
            return None, error

    def _close(self) -> None:
        """Let a generator clean up, in the thread that ran it."""
        close = getattr(self._iterator, "close", None)
        if close is not None:
            close()


def _consume(background: _Background[Ready]) -> Iterator[Ready]:
    background.start()
    try:
        while True:
            try:
                ready = background.next()
            except _Exhausted:
                return
            yield ready
            del ready  # the consumer may be done with it: its memory is wanted for the next
    finally:
        background.stop()


class _ReadAhead(_Background[Ready]):
    """Each thread takes a numbered item, prepares it and puts it where the consumer finds it by number.

    items --(one at a time)--> number, item --(in parallel)--> prepare --> ready[number] --> consumer
    """

    def __init__(
        self,
        items: Iterable[Any],
        depth: int,
        prepare: Callable[[Any], Ready] | None,
        workers: int,
        weigh: Callable[[Any], Weight],
    ) -> None:
        super().__init__(items, workers)
        self._prepare = prepare
        self._room = threading.Semaphore(depth)  # given back by the consumer
        self._taking = threading.Lock()
        self._taken = 0
        self._given = 0
        self._ended = False
        self._ready: dict[int, tuple[Any, BaseException | None]] = {}
        self._weigh = weigh
        self._weights: dict[int, int] = {}  # of what is taken and not yet given

    def next(self) -> Ready:
        with self._changed:
            while self._given not in self._ready:
                self._changed.wait(_POLL)
            value: Ready
            value, error = self._ready.pop(self._given)
            self._weights.pop(self._given, None)
            self._given += 1
            self._changed.notify_all()
        self._room.release()
        if error is not None:
            raise error
        return value

    def stop(self) -> None:
        self._stopped = True
        for _ in self._threads:
            self._room.release()
        with self._changed:
            self._changed.notify_all()
        super().stop()

    def _work(self) -> None:
        while True:
            self._room.acquire()
            with self._taking:
                if self._stopped or self._ended:
                    self._close()
                    return
                item, error = self._take()
                if error is not None:
                    self._ended = True  # nothing comes after the end or an error
                number, self._taken = self._taken, self._taken + 1
                weight = 0 if error is not None else self._weigh(item)
                if isinstance(weight, int):
                    self._await_memory(number, weight)
            if not isinstance(weight, int):
                self._await_memory(number, weight())
            if error is None and self._prepare is not None:
                try:
                    item = self._prepare(item)
                except BaseException as problem:
                    error = problem
            with self._changed:
                self._ready[number] = item, error
                self._changed.notify_all()
            del item, error

    def _await_memory(self, number: int, weight: int) -> None:
        """Wait until there is memory for an item beside those before it, which must be weighed first."""

        def enough() -> bool:
            before = [other for place, other in self._weights.items() if place < number]
            weighed = len(before) == number - self._given
            return self._stopped or (weighed and (not before or sum(before) + weight <= MAX_AHEAD_BYTES))

        with self._changed:
            self._changed.wait_for(enough)
            self._weights[number] = weight
            self._changed.notify_all()


class _Newest(_Background[Ready]):
    """One thread that reads without pause, and a shelf for one item: a newer one takes its place."""

    def __init__(self, items: Iterable[Ready]) -> None:
        super().__init__(items, workers=1)
        self._shelf: list[Ready] = []
        self._end: BaseException | None = None

    def next(self) -> Ready:
        with self._changed:
            while not self._shelf and self._end is None:
                self._changed.wait(_POLL)
            if self._shelf:
                return self._shelf.pop()
        assert self._end is not None
        raise self._end

    def _work(self) -> None:
        while not self._stopped:
            item, error = self._take()
            with self._changed:
                if error is None:
                    self._shelf[:] = [item]
                else:
                    self._end = error
                    self._stopped = True
                self._changed.notify()
            del item
        self._close()
