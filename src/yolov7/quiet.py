"""Other libraries, heard for their errors alone."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def errors_only(library: str, *, warned_by: str = "") -> Iterator[None]:
    """While it lasts, a library tells of choices that were made here on purpose to nobody; its errors pass.

    Its own logger alone is touched, and set back: a library's handlers may be those of the whole process.

    Args:
        library: name of its logger.
        warned_by: pattern of the modules whose Python warnings are not wanted; by default all.
    """
    logger = logging.getLogger(library)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=warned_by)
            yield
    finally:
        logger.setLevel(level)


def ignore_damage_warnings() -> None:
    """For a process of ours: Pillow does not tell of damage in images, which is an error or did no harm."""
    logging.getLogger("PIL").setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
