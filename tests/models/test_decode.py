"""Boxes of single cells, with and without the upper bound."""

from __future__ import annotations

import pytest
import torch
from tests.assign.scenes import make_scene

from yolov7.models.decode import decode_in_cells, logits_at
from yolov7.types import Places

ANCHOR = torch.tensor([2.0, 3.0])


@pytest.mark.parametrize(("upper_bound", "low", "high"), [(True, -0.5, 1.5), (False, -1.0, 2.0)])
def test_how_far_a_centre_reaches(upper_bound: bool, low: float, high: float):
    logits = torch.tensor([[-50.0, 50, -50, 50], [0, 0, 0, 0]])
    smallest, middle = decode_in_cells(logits.sigmoid(), ANCHOR, upper_bound)
    assert smallest.tolist() == pytest.approx([low, high, 0, 4 * 3])
    assert middle.tolist() == [0.5, 0.5, 2, 3]


def test_logits_at_places_in_any_order_with_gradients():
    """Levels are mixed and some places occur twice."""
    levels = [level.bfloat16().requires_grad_() for level in make_scene([1, 1]).predictions.lead]
    g = torch.Generator().manual_seed(0)
    listed = [
        (level, *(int(torch.randint(side, (), generator=g)) for side in levels[level].shape[:4]))
        for level in (0, 2, 1, 1, 0, 2, 0)
    ]
    listed += listed[2:5]
    found = logits_at(levels, Places(*torch.tensor(listed).T))
    expected = torch.stack([levels[level][tuple(place)].float() for level, *place in listed])
    assert torch.equal(found, expected)

    weights = torch.rand(found.shape, generator=g)
    gradients = torch.autograd.grad((found * weights).sum(), levels)
    wanted = torch.autograd.grad((expected * weights).sum(), levels)
    assert all(map(torch.equal, gradients, wanted))


def test_logits_at_no_places_still_have_a_gradient():
    levels = [level.requires_grad_() for level in make_scene([1]).predictions.lead]
    found = logits_at(levels, Places(*[torch.zeros(0, dtype=torch.int64)] * 5))
    assert found.shape == (0, 9)
    assert not any(gradient.any() for gradient in torch.autograd.grad(found.sum(), levels))
