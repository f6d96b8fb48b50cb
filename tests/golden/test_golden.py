"""Every network and NMS against the released implementation."""

from __future__ import annotations

import pytest

from tests.golden.compare import NMS_CASES, compare_network, compare_nms
from yolov7.models.architecture import VARIANTS, Architecture


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_same_numbers_as_the_released_network(variant: Architecture):
    comparisons = list(compare_network(variant))
    assert len(comparisons) == (9 if variant.auxiliary else 8)
    assert [c for c in comparisons if not c.agrees] == []


@pytest.mark.parametrize("case", NMS_CASES)
def test_same_detections_as_the_released_nms(case: str):
    comparisons = list(compare_nms(case))
    assert len(comparisons) == 4
    assert [c for c in comparisons if not c.agrees] == []
