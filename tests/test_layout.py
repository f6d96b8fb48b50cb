"""Columns of rows, and what reads rows that have extras."""

from __future__ import annotations

import pytest
import torch

from tests.golden.compare import keyed_rows
from yolov7.errors import UsageError
from yolov7.layout import BOX, OBJECTNESS, RowLayout
from yolov7.nms import non_max_suppression


@pytest.mark.parametrize("layout", [RowLayout(1), RowLayout(80), RowLayout(3, extras=51)])
def test_every_column_belongs_to_one_part_in_order(layout: RowLayout):
    columns = list(range(layout.size))
    parts = [columns[BOX], [OBJECTNESS], columns[layout.class_columns], columns[layout.extra_columns]]
    assert [column for part in parts for column in part] == columns
    assert [len(part) for part in parts] == [4, 1, layout.classes, layout.extras]
    assert RowLayout.of_size(layout.size, layout.extras) == layout


@pytest.mark.parametrize("multi_label", [False, True])
def test_extras_are_no_classes(multi_label: bool):
    rows = keyed_rows("layout", n=500, nc=4, size=320, clusters=12)[None]
    extras = torch.full((1, 500, 6), 9.0)  # would win over every class
    (expected,) = non_max_suppression(rows, 0.1, 0.5, multi_label=multi_label)
    (found,) = non_max_suppression(
        torch.cat((rows, extras), dim=2), 0.1, 0.5, multi_label=multi_label, layout=RowLayout(4, extras=6)
    )
    assert len(expected.scores) > 10
    assert all(map(torch.equal, found, expected))


@pytest.mark.parametrize(("size", "layout"), [(5, None), (4, None), (85, RowLayout(81)), (86, RowLayout(80))])
def test_rows_of_another_layout_are_refused(size: int, layout: RowLayout | None):
    with pytest.raises(UsageError, match="not decoded rows"):
        non_max_suppression(torch.zeros(1, 3, size), 0.25, 0.45, layout=layout)
