"""Limits on the memory for decoding, for one image and for all that are decoded at the same time."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from yolov7.errors import SourceError

MAX_PIXELS = 300_000_000
"""Maximum pixels of an image: a small file can claim to be huge. A phone's 200 megapixels are allowed."""
MAX_DECODING_BYTES = 1_200_000_000
"""Maximum memory for decoding one image, and for all threads of a process together."""
MAX_FILE_BYTES = 1_000_000_000
"""Maximum size of an image file."""


class Budget:
    """Amount shared by threads: each takes a part for a while, and waits if too little is left.

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
        """Take a part, at most the limit, for the duration of the block."""
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
        """Start afresh in a forked process: threads of its parent may have held parts."""
        self.left = self.limit
        self._changed = threading.Condition()


DECODING = Budget(MAX_DECODING_BYTES)
"""Memory for decoding, shared by all threads of this process."""
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=DECODING.reset)


def check_amount(height: int, width: int, needed: int) -> None:
    """Raise a SourceError if an image's size, or the `needed` bytes for decoding it, exceed their limits."""
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
