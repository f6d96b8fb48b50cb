"""What holds for all of the paper's networks. Exact numbers are facts: see docs/provenance.md."""

from __future__ import annotations

import pytest
import torch

from yolov7.models.architecture import VARIANTS, Architecture
from yolov7.models.detector import Detector
from yolov7.reproduce.counting import PRINTED, complexity

PARAMETERS = {  # training, deployed
    "yolov7-tiny": (6_228_762, 6_219_709),
    "yolov7-tiny-silu": (6_227_101, 6_219_709),
    "yolov7": (37_622_682, 36_905_341),
    "yolov7-x": (71_347_394, 71_311_741),
    "yolov7-w6": (82_312_436, 70_394_300),
    "yolov7-e6": (111_898_292, 97_202_940),
    "yolov7-d6": (154_709_364, 133_757_052),
    "yolov7-e6e": (166_408_884, 151_687_420),
}
CONV_GFLOPS = {
    "yolov7-tiny": 13.70,
    "yolov7-tiny-silu": 13.70,
    "yolov7": 104.51,
    "yolov7-x": 189.67,
    "yolov7-w6": 359.72,
    "yolov7-e6": 514.43,
    "yolov7-d6": 701.74,
    "yolov7-e6e": 842.18,
}
every_variant = pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)


@every_variant
def test_counts_are_exact(variant: Architecture):
    counts = complexity(variant)
    assert (counts.parameters_training, counts.parameters_deployed) == PARAMETERS[variant.name]
    assert round(counts.conv_gflops, 2) == CONV_GFLOPS[variant.name]


@every_variant
def test_counts_are_the_papers_to_the_last_digit(variant: Architecture):
    counts = complexity(variant)
    assert (round(counts.paper_parameters / 1e6, 1), counts.paper_gflops) == PRINTED[variant.name]


@every_variant
@pytest.mark.parametrize(("classes", "shape"), [(1, (2, 64, 128)), (80, (1, 192, 64)), (3, (1, 64, 64))])
def test_shapes_on_no_device(variant: Architecture, classes: int, shape: tuple[int, int, int]):
    batch, height, width = shape
    with torch.device("meta"):
        model = Detector(variant, classes).eval()
        predictions = model(torch.empty(batch, 3, height, width))
    expected = [(batch, 3, height // s, width // s, 5 + classes) for s in variant.strides]
    assert [tuple(level.shape) for level in predictions.lead] == expected
    assert [tuple(level.shape) for level in predictions.aux] == (expected if variant.auxiliary else [])
    rows = sum(3 * (height // s) * (width // s) for s in variant.strides)
    assert model.decode(predictions).shape == (batch, rows, 5 + classes)
