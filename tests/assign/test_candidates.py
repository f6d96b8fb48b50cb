"""Candidates against their definition, cell by cell."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.assign.reference import list_candidates
from tests.assign.scenes import ANCHORS, STRIDES, Scene, scenes
from yolov7.assign.candidates import find_candidates
from yolov7.types import Places, Targets

GRIDS = [(80, 80), (40, 40), (20, 20)]


def places(candidates: Places) -> list[tuple[int, ...]]:
    c = candidates
    columns = (c.image, c.level, c.anchor, c.row, c.column)
    return list(zip(*(values.tolist() for values in columns), strict=True))


def around(x: float, y: float, width: float = 12, height: float = 16) -> Targets:
    """One ground truth by its centre in pixels, of the size of the first anchor."""
    box = torch.tensor([[x - width / 2, y - height / 2, x + width / 2, y + height / 2]])
    return Targets(torch.tensor([0]), box, torch.tensor([0]))


def cells_of_first_anchor(targets: Targets, reach: float) -> list[tuple[int, int]]:
    """(row, column) of the candidates of the finest level's first anchor."""
    found = find_candidates(targets, ANCHORS, torch.tensor(STRIDES, dtype=torch.float32), GRIDS, reach)
    return [place[3:] for place in places(found) if place[1:3] == (0, 0)]


@given(scenes(0.0, 1.0, 4.0), st.sampled_from((0.5, 1.0)))
def test_candidates_are_those_of_the_definition_in_its_order(scene: Scene, reach: float):
    head = scene.lead()
    found = find_candidates(scene.targets, ANCHORS, head.strides, head.grids, reach)
    assert places(found) == list_candidates(scene.targets, head.grids, len(head.logits[0]), reach)


def test_the_figure():
    upper_left_quarter = around(8 * 5.2, 8 * 7.3)
    assert cells_of_first_anchor(upper_left_quarter, 0.5) == [(7, 5), (7, 4), (6, 5)]
    assert cells_of_first_anchor(upper_left_quarter, 1.0) == [(7, 5), (7, 4), (6, 5), (7, 6), (8, 5)]
    lower_right_quarter = around(8 * 5.8, 8 * 7.9)
    assert cells_of_first_anchor(lower_right_quarter, 0.5) == [(7, 5), (7, 6), (8, 5)]


def test_no_cell_lies_outside_the_grid():
    assert cells_of_first_anchor(around(8 * 0.2, 8 * 0.3), 0.5) == [(0, 0)]
    assert cells_of_first_anchor(around(8 * 79.8, 8 * 79.9), 1.0) == [(79, 79), (79, 78), (78, 79)]
    assert cells_of_first_anchor(around(640, 640), 0.5) == [(79, 79), (79, 79), (79, 79)]


@pytest.mark.parametrize(("width", "fits"), [(3.0, False), (3.01, True), (47.9, True), (48.0, False)])
def test_an_anchor_fits_up_to_four_times_its_size(width: float, fits: bool):
    assert bool(cells_of_first_anchor(around(100, 100, width=width), 0.5)) == fits


def test_a_box_without_area_has_no_candidates():
    assert cells_of_first_anchor(around(100, 100, width=0), 1.0) == []
