"""Candidates: cells and anchors that match a ground truth's place and shape, independent of predictions.

  fine: reach 0.5         coarse: reach 1
    ┌───┐                     ┌───┐
    │ x │                     │ x │
┌───┼───┤                 ┌───┼───┼───┐          . the centre, in the upper left quarter of its cell
│ x │.  │                 │ x │.  │ x │          x the cells that may predict it
└───┴───┘                 └───┼───┼───┘
                              │ x │
                              └───┘
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from yolov7.boxes import xyxy_to_cxcywh
from yolov7.types import Places, Targets

MAX_RATIO = 4.0
"""An anchor matches a box if their widths, and their heights, differ by less than this factor."""

DIRECTIONS = ((0, 0), (-1, 0), (0, -1), (1, 0), (0, 1))
"""(x, y) offsets: the centre's own cell, then left, up, right, down."""


def find_candidates(
    targets: Targets, anchors: Tensor, strides: Tensor, grids: Sequence[tuple[int, int]], reach: float
) -> Places:
    """Propose cells and anchors for each ground truth by the place and shape of its box.

    Args:
        targets: ground truths of the batch.
        anchors: (L, A, 2) width and height in pixels.
        strides: (L,) pixels per cell.
        grids: (rows, columns) of each level.
        reach: maximum distance, in cells, of a centre outside a cell that may predict it: 0.5 usually gives
            three cells, 1.0 up to five.

    Returns:
        Candidates sorted by image, level, direction (as DIRECTIONS), anchor and ground truth. A place that
        several ground truths propose is repeated.

    Paper: Sec. 4.2: coarse labels allow "more grids to be treated as positive target".

    >>> zero = torch.tensor([0])
    >>> box = Targets(zero, torch.tensor([[36.0, 51, 48, 67]]), zero)  # centre: 42, 59
    >>> p = find_candidates(box, torch.tensor([[[12.0, 16]]]), torch.tensor([8.0]), [(16, 16)], reach=0.5)
    >>> list(zip(p.row.tolist(), p.column.tolist()))  # the own cell, the left one, the one above
    [(7, 5), (7, 4), (6, 5)]
    """
    in_cells = xyxy_to_cxcywh(targets.boxes.float()) / strides[:, None, None]  # (L, T, 4)
    centre, size = in_cells[..., :2], in_cells[..., 2:]
    grid = torch.tensor(grids, device=anchors.device).flip(-1)[:, None]  # (L, 1, 2): columns, rows

    ratio = size[:, None] / (anchors / strides[:, None, None])[:, :, None]  # (L, A, T, 2)
    fits = torch.maximum(ratio, 1 / ratio).amax(-1) < MAX_RATIO  # (L, A, T)
    # A neighbour needs the centre near its side, and the centre's own cell must not be the last on that side.
    before, after = ((d % 1 < reach) & (d > 1) for d in (centre, grid - centre))  # (L, T, 2)
    near = torch.cat((torch.ones_like(before[..., :1]), before, after), dim=-1)  # (L, T, 5), as DIRECTIONS

    level, direction, anchor, target = (near.mT[:, :, None] & fits[:, None]).nonzero().T  # (L, 5, A, T)
    shift = reach * centre.new_tensor(DIRECTIONS)[direction]
    cell = (centre[level, target] + shift).floor().long().clamp_(min=0)  # (P, 2)
    column, row = torch.minimum(cell, grid[level, 0] - 1).T
    places = Places(level, targets.image_index[target], anchor, row, column)
    return places[places.image.argsort(stable=True)]
