"""Memory that does not suffice, told as such, whichever library found out."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from yolov7.errors import UsageError, Yolov7Error

_ALLOCATION = re.compile(
    r"can.t allocate|cannot allocate|not enough memory|out of memory|insufficient memory|failed to allocate"
    r"|bad.alloc|unable to allocate|array is too big|maximum allowed dimension",
    re.IGNORECASE,
)

_BYTES_A_PIXEL = 15
"""Least memory for an input of the network: a pixel of three bytes, and the same as three floats."""


def is_allocation(error: BaseException) -> bool:
    """Whether an error of Python, numpy, OpenCV, torch or a runtime says that memory does not suffice.

    >>> is_allocation(RuntimeError("DefaultCPUAllocator: can't allocate memory"))
    True
    """
    return isinstance(error, MemoryError) or (
        not isinstance(error, Yolov7Error) and _ALLOCATION.search(str(error)) is not None
    )


def installed_memory() -> int | None:
    """Bytes of memory of this machine; None where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None


@contextmanager
def enough_memory(purpose: str, needed: int) -> Iterator[None]:
    """Refuse what the machine cannot hold, and explain an allocation that fails inside.

    Args:
        purpose: what it is for, such as "images of 640 x 640 pixels".
        needed: bytes that it takes at least.

    Raises:
        UsageError: memory does not suffice; it says how much is needed.
    """
    installed = installed_memory()
    if installed is not None and needed > installed:
        raise _too_little(purpose, needed, f"{installed / 1e9:.1f} GB in this machine")
    try:
        yield
    except Exception as error:
        if not is_allocation(error):
            raise
        raise _too_little(purpose, needed, "less than that is free, or allowed to this process") from error


def enough_for_images(
    height: int, width: int, count: int = 1, *, what: str = "images"
) -> AbstractContextManager[None]:
    """The same for images of so many pixels on their way into a network, `count` at a time."""
    together = f", {count} at a time" if count > 1 else ""
    purpose = f"{what} of {width} x {height} pixels{together}"
    return enough_memory(purpose, _BYTES_A_PIXEL * height * width * count)


def _too_little(purpose: str, needed: int, found: str) -> UsageError:
    return UsageError(
        f"not enough memory for {purpose}", expected=f"{needed / 1e9:.1f} GB or more", found=found
    )
