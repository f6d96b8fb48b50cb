"""Every network and NMS against the released implementation."""

from __future__ import annotations

import pytest

from tests.golden.compare import NETWORKS, NMS_CASES, compare_network, compare_nms
from yolov7.models.architecture import Architecture

EVERY_BLOCK = (
    *("yolov7-tiny", "yolov7-tiny-silu", "yolov7", "yolov7-e6e"),
    *("yolor-csp", "yolov4-csp", "yolor-p6"),
)
"""Networks that hold each block and each kind of head; the others are wider and deeper ones of these."""


def marked(network: Architecture):
    return pytest.param(
        network, id=network.name, marks=[pytest.mark.slow] * (network.name not in EVERY_BLOCK)
    )


@pytest.mark.parametrize("network", [*map(marked, NETWORKS)])
def test_same_numbers_as_the_released_network(network: Architecture):
    comparisons = list(compare_network(network))
    assert len(comparisons) == (9 if network.auxiliary else 8)
    assert [c for c in comparisons if not c.agrees] == []


@pytest.mark.parametrize("case", NMS_CASES)
def test_same_detections_as_the_released_nms(case: str):
    comparisons = list(compare_nms(case))
    assert len(comparisons) == 4
    assert [c for c in comparisons if not c.agrees] == []
