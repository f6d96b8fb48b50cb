"""Boxes: conversions, areas, overlaps."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from yolov7.boxes import (
    area,
    complete_iou,
    cxcywh_to_xyxy,
    intersection,
    iou,
    pairwise_iou,
    xyxy_to_cxcywh,
)

coordinates = st.floats(-1000, 1000, width=32)
many = arrays.arrays("float32", st.tuples(st.integers(0, 8), st.just(4)), elements=coordinates)


def sorted_corners(array) -> torch.Tensor:
    """Any numbers as boxes: top left before bottom right."""
    pairs = torch.from_numpy(array).view(-1, 2, 2)
    return torch.cat((pairs.amin(1), pairs.amax(1)), dim=-1)


@given(many)
def test_conversions_are_inverse(array):
    boxes = sorted_corners(array)
    torch.testing.assert_close(cxcywh_to_xyxy(xyxy_to_cxcywh(boxes)), boxes, rtol=1e-5, atol=1e-3)


@given(many, many)
def test_iou_is_symmetric_and_between_0_and_1(one, other):
    a, b = sorted_corners(one), sorted_corners(other)
    overlaps = pairwise_iou(a, b)
    assert overlaps.shape == (len(a), len(b))
    assert torch.equal(overlaps, pairwise_iou(b, a).T)
    assert ((overlaps >= 0) & (overlaps <= 1)).all()


@given(many)
def test_a_box_overlaps_itself_wholly_unless_it_is_empty(array):
    boxes = sorted_corners(array)
    found = iou(boxes, boxes)
    assert torch.equal(found, (area(boxes) > 0).float())


def test_by_hand():
    a, b = torch.tensor([0.0, 0, 4, 4]), torch.tensor([2.0, 1, 6, 3])
    assert intersection(a, b) == 4
    assert iou(a, b) == pytest.approx(4 / (16 + 8 - 4))
    assert area(torch.tensor([5.0, 5, 1, 9])) == 0
    assert cxcywh_to_xyxy(torch.tensor([5.0, 6, 2, 4])).tolist() == [4, 4, 6, 8]


@given(many, many)
def test_complete_iou_is_symmetric_and_at_most_the_iou(one, other):
    a, b = sorted_corners(one)[:, None], sorted_corners(other)
    found = complete_iou(a, b)
    torch.testing.assert_close(found, complete_iou(b, a), rtol=1e-4, atol=1e-5)
    assert (found <= iou(a, b) + 1e-5).all()
    assert (found > -1.5 - 1e-5).all()


def test_complete_iou_by_hand():
    box = torch.tensor([10.0, 10, 14, 18])
    assert complete_iou(box, box) == pytest.approx(1)
    moved = torch.tensor([16.0, 10, 20, 18])  # the same shape 6 to the right: no overlap, hull 10 x 8
    assert complete_iou(box, moved) == pytest.approx(-36 / 164)
    square = torch.tensor([8.0, 10, 16, 18])  # the same centre, as wide as high
    shape = 4 / math.pi**2 * (math.atan(1 / 2) - math.atan(1)) ** 2
    assert complete_iou(box, square) == pytest.approx(0.5 - shape**2 / (shape - 0.5 + 1))


def test_complete_iou_moves_boxes_that_do_not_overlap_towards_each_other():
    box = torch.tensor([0.0, 0, 4, 4], requires_grad=True)
    complete_iou(box, torch.tensor([10.0, 0, 14, 4])).backward()
    assert box.grad is not None
    assert box.grad[0::2].sum() > 0 == box.grad[1::2].sum()
