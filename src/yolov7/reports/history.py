"""The epochs that a run has behind it, as rows of numbers; and which of them was the best."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TypeVar

Row = TypeVar("Row", bound=Mapping[str, float])


def best_epoch(history: Sequence[Row]) -> Row | None:
    """The row of the highest AP, the first of equal ones; None where nothing was measured.

    The console, ``best.safetensors`` and the run's page all mean this one.

    >>> best_epoch([{"epoch": 1}, {"epoch": 2, "AP": 0.3}, {"epoch": 3, "AP": 0.3}])
    {'epoch': 2, 'AP': 0.3}
    """
    measured = [row for row in history if not math.isnan(row.get("AP", math.nan))]
    return max(measured, key=lambda row: row["AP"], default=None)
