"""Assignment and losses against the released implementation."""

from __future__ import annotations

import pytest

from tests.golden.compare import LOSS_CASES, compare_losses


@pytest.mark.parametrize("case", LOSS_CASES)
def test_same_positives_losses_and_gradients_as_the_released_ones(case: str):
    comparisons = list(compare_losses(case))
    assert len(comparisons) == (8 if LOSS_CASES[case]["kind"] == "aux" else 7)
    assert [c for c in comparisons if not c.agrees] == []
