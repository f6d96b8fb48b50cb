"""Errors for too little memory, whichever library runs out of it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

from yolov7.errors import UsageError, Yolov7Error

_ALLOCATION = re.compile(
    r"can.t allocate|cannot allocate|not enough memory|out of memory|insufficient memory|failed to allocate"
    r"|bad.alloc|unable to allocate|array is too big|maximum allowed dimension",
    re.IGNORECASE,
)

_BYTES_PER_PIXEL = 15
"""Lower bound for an input of the network: three bytes, and three floats."""


def is_allocation(error: BaseException) -> bool:
    """Test if an error from Python, numpy, OpenCV, torch or a runtime is a failed allocation.

    >>> is_allocation(RuntimeError("DefaultCPUAllocator: can't allocate memory"))
    True
    """
    return isinstance(error, MemoryError) or (
        not isinstance(error, Yolov7Error) and _ALLOCATION.search(str(error)) is not None
    )


def installed_memory() -> int | None:
    """Memory of this machine in bytes; None if the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None


@contextmanager
def enough_for_images(height: int, width: int, count: int = 1, *, what: str = "images") -> Iterator[None]:
    """Refuse images that the machine's memory cannot hold, and explain an allocation that fails in the block.

    ``count`` images of height x width pixels are in memory at the same time; the message calls them ``what``,
    a plural noun.

    Raises:
        UsageError: too little memory; the message says how much is needed.
    """
    needed = _BYTES_PER_PIXEL * height * width * count
    together = f", {count} at a time" if count > 1 else ""

    def too_little(found: str) -> UsageError:
        return UsageError(
            f"not enough memory for {what} of {width} x {height} pixels{together}",
            expected=f"{needed / 1e9:.1f} GB or more",
            found=found,
        )

    installed = installed_memory()
    if installed is not None and needed > installed:
        raise too_little(f"{installed / 1e9:.1f} GB in this machine")
    try:
        yield
    except Exception as error:
        if not is_allocation(error):
            raise
        raise too_little("less than that is free, or allowed to this process") from error
