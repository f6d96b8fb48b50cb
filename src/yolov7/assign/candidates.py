"""Candidates: cells and anchors that suit the place and shape of a ground truth, whatever is predicted there.

  fine: reach 0.5         coarse: reach 1
    ┌───┐                     ┌───┐
    │ x │                     │ x │
┌───┼───┤                 ┌───┼───┼───┐          . the centre, in the upper left quarter of its cell
│ x │.  │                 │ x │.  │ x │          x the cells that may answer for it
└───┴───┘                 └───┼───┼───┘
                              │ x │
                              └───┘
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from yolov7.boxes import xyxy_to_cxcywh
from yolov7.types import Targets

MAX_RATIO = 4.0
"""An anchor fits a box when neither side of one is as many times the other's."""

DIRECTIONS = ((0, 0), (-1, 0), (0, -1), (1, 0), (0, 1))
"""The own cell, left, up, right, down: (x, y)."""


@dataclass(frozen=True)
class Candidates:
    """Places in a head's logits that may become positives, sorted by image. All int64 (P,).

    Within an image by level, then own cells before those to the left, above, to the right and below, then by
    anchor, then by the ground truth that proposed them: one entry for each, so that a place may stand in the
    list more than once.

    Attributes:
        level: index of the level, from the finest.
        image: index of the image in the batch.
        anchor, row, column: place in the level's logits (B, A, H, W, 5 + C).
    """

    level: Tensor
    image: Tensor
    anchor: Tensor
    row: Tensor
    column: Tensor

    def __len__(self) -> int:
        return len(self.level)


def find_candidates(
    targets: Targets, anchors: Tensor, strides: Tensor, grids: Sequence[tuple[int, int]], reach: float
) -> Candidates:
    """Every cell and anchor that some ground truth proposes.

    Args:
        targets: ground truths of the batch.
        anchors: (L, A, 2) width and height in pixels.
        strides: (L,) pixels per cell.
        grids: (rows, columns) of each level.
        reach: how far outside of itself, in cells, a cell still answers for a centre: 0.5 gives three cells
            as a rule, 1.0 up to five.

    Paper: Sec. 4.2: coarse labels allow "more grids to be treated as positive target".
    """
    in_cells = xyxy_to_cxcywh(targets.boxes.float()) / strides[:, None, None]  # (L, T, 4)
    centre, size = in_cells[..., :2], in_cells[..., 2:]
    grid = torch.tensor(grids, device=anchors.device).flip(-1)[:, None]  # (L, 1, 2): columns, rows

    ratio = size[:, None] / (anchors / strides[:, None, None])[:, :, None]  # (L, A, T, 2)
    fits = torch.maximum(ratio, 1 / ratio).amax(-1) < MAX_RATIO
    # A neighbour needs the centre near its side, and the centre's own cell must not be the last on that side.
    before, after = ((d % 1 < reach) & (d > 1) for d in (centre, grid - centre))
    near = torch.cat((torch.ones_like(before[..., :1]), before, after), dim=-1)  # (L, T, 5), as DIRECTIONS

    level, direction, anchor, target = (near.mT[:, :, None] & fits[:, None]).nonzero().T  # (L, 5, A, T)
    shift = reach * centre.new_tensor(DIRECTIONS)[direction]
    cell = (centre[level, target] + shift).floor().long().clamp_(min=0)
    column, row = torch.minimum(cell, grid[level, 0] - 1).T
    image = targets.image_index[target]
    by_image = image.argsort(stable=True)
    return Candidates(*(values[by_image] for values in (level, image, anchor, row, column)))
