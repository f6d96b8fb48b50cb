"""Operations and peaks."""

from __future__ import annotations

import pytest
import torch

from yolov7.benchmark import floor
from yolov7.benchmark.floor import flops_per_pixel, peak, peak_of, peaks
from yolov7.inference.backend import has_bfloat16
from yolov7.models.architecture import YOLOV7, YOLOV7_TINY, YOLOV7_W6
from yolov7.models.detector import Detector
from yolov7.reproduce.counting import complexity


@pytest.mark.parametrize("variant", [YOLOV7_TINY, YOLOV7, YOLOV7_W6], ids=lambda variant: variant.name)
def test_operations_grow_with_the_pixels(variant):
    with torch.device("meta"):
        model = Detector(variant)
    gflop = flops_per_pixel(model) * variant.size**2 / 1e9
    assert gflop == pytest.approx(complexity(variant).conv_gflops, rel=1e-9)


def test_peaks_are_those_of_the_processor(monkeypatch):
    monkeypatch.setattr(floor, "SIDE", 256)
    found = peaks(torch.device("cpu"))
    assert set(found) == {"float32", *(["bfloat16"] if has_bfloat16() else [])}
    assert all(1e8 < speed < 1e15 for speed in found.values())
    assert 1e8 < peak(torch.float32) < 1e15


def test_what_a_runtime_is_held_against():
    known = {"float32": 1.0, "bfloat16": 2.0}
    assert [peak_of(precision, known) for precision in ("float32", "bfloat16", "int8")] == [1.0, 2.0, 2.0]
    assert peak_of("float16", known) == 1.0  # weights in 16 bits, computed in 32
