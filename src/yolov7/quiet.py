"""Silence log messages and warnings of other libraries; errors still get through."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def errors_only(library: str, *, warned_by: str = "") -> Iterator[None]:
    """Silence a library's log messages and warnings inside the block; errors still get through.

    Only the level of its own logger changes: its handlers may be those of the whole process.

    Args:
        library: name of the logger.
        warned_by: pattern of the modules whose Python warnings are silenced; by default all.
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
    """Silence Pillow's warnings about damaged images in this process: serious damage raises an error."""
    logging.getLogger("PIL").setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")


@contextmanager
def no_warnings() -> Iterator[None]:
    """Silence Python's warnings inside the block."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
