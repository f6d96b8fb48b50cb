"""Boxes of single cells, with and without the upper bound."""

from __future__ import annotations

import pytest
import torch

from yolov7.models.decode import decode_in_cells

ANCHOR = torch.tensor([2.0, 3.0])


@pytest.mark.parametrize(("upper_bound", "low", "high"), [(True, -0.5, 1.5), (False, -1.0, 2.0)])
def test_how_far_a_centre_reaches(upper_bound: bool, low: float, high: float):
    logits = torch.tensor([[-50.0, 50, -50, 50], [0, 0, 0, 0]])
    smallest, middle = decode_in_cells(logits.sigmoid(), ANCHOR, upper_bound)
    assert smallest.tolist() == pytest.approx([low, high, 0, 4 * 3])
    assert middle.tolist() == [0.5, 0.5, 2, 3]
