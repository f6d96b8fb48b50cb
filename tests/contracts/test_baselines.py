"""Sizes of the paper's baselines. Exact numbers are facts: see docs/provenance.md."""

from __future__ import annotations

import pytest

from yolov7.models.architecture import Architecture
from yolov7.models.baselines import BASELINES
from yolov7.reproduce.counting import complexity

SIZES = {  # parameters in training, GFLOPs of the deployed convolutions, side of the input
    "yolor-csp": (52_923_994, 120.24, 640),
    "yolor-csp-x": (96_943_410, 226.52, 640),
    "yolov4-csp": (52_921_437, 120.24, 640),
    "yolor-p6": (37_265_016, 325.12, 1280),
    "yolor-w6": (79_873_400, 452.65, 1280),
    "yolor-e6": (115_899_960, 682.12, 1280),
    "yolor-d6": (151_773_240, 934.43, 1280),
}


@pytest.mark.parametrize("baseline", BASELINES, ids=lambda baseline: baseline.name)
def test_counts_are_exact(baseline: Architecture):
    counts = complexity(baseline)
    found = (counts.parameters_training, round(counts.conv_gflops, 2), baseline.size)
    assert found == SIZES[baseline.name]
