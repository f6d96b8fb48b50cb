"""Memory for decoding: what one picture may take, and all that are decoded at a time together."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from yolov7.errors import SourceError

MAX_PIXELS = 300_000_000
"""Images with more are refused unread: a small file can claim to be huge. A phone's 200 megapixels pass."""
MAX_DECODING_BYTES = 1_200_000_000
"""Memory that decoding one picture may take, and that all threads of a process may decode in at a time."""
MAX_FILE_BYTES = 1_000_000_000
"""Files with more are refused unread."""


class Budget:
    """An amount that threads share: each takes a part for a while, and waits where too little is left.

    >>> budget = Budget(10)
    >>> with budget.taken(7):
    ...     budget.left
    3
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.reset()

    @contextmanager
    def taken(self, amount: int) -> Iterator[None]:
        """Have a part, at most the limit, while it lasts."""
        amount = min(amount, self.limit)
        with self._changed:
            self._changed.wait_for(lambda: self.left >= amount)
            self.left -= amount
        try:
            yield
        finally:
            with self._changed:
                self.left += amount
                self._changed.notify_all()

    def reset(self) -> None:
        """Begin anew, in a process that was forked while threads of its parent had parts."""
        self.left = self.limit
        self._changed = threading.Condition()


DECODING = Budget(MAX_DECODING_BYTES)
"""What all threads of this process decode in."""
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=DECODING.reset)


def check_amount(height: int, width: int, needed: int) -> None:
    """Refuse a picture of so many pixels whose decoding takes so many bytes.

    Raises:
        SourceError: either is beyond its limit.
    """
    if height * width > MAX_PIXELS:
        raise SourceError(
            "image too large to be decoded",
            expected=f"at most {MAX_PIXELS:,} pixels",
            found=f"{width} x {height} = {height * width:,} pixels",
        )
    if needed > MAX_DECODING_BYTES:
        raise SourceError(
            "image too large to be decoded",
            expected=f"at most {MAX_DECODING_BYTES:,} bytes of memory while it is decoded",
            found=f"{width} x {height} pixels, which take {needed:,} bytes",
        )
