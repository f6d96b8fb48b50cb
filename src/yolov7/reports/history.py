"""Epochs of a run as rows of numbers, and the best of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any, TypeVar

Row = TypeVar("Row", bound=Mapping[str, float])


def value(row: Mapping[str, Any], key: str) -> float:
    """Number in a row; NaN if it is missing or None.

    >>> value({"epoch": 1, "AP": None}, "AP")
    nan
    """
    number = row.get(key)
    return float(number) if isinstance(number, Real) else math.nan


def best_epoch(history: Sequence[Row]) -> Row | None:
    """First row with the highest AP; None if no epoch was evaluated.

    The console, ``best.safetensors`` and the report of a run all use this one.

    >>> best_epoch([{"epoch": 1}, {"epoch": 2, "AP": 0.3}, {"epoch": 3, "AP": 0.3}])
    {'epoch': 2, 'AP': 0.3}
    """
    measured = [row for row in history if not math.isnan(value(row, "AP"))]
    return max(measured, key=lambda row: row["AP"], default=None)
