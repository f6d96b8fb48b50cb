"""From a cell's logits to its box: for detection, assignment and losses alike."""

from __future__ import annotations

import torch
from torch import Tensor


def decode_in_cells(s: Tensor, anchors: Tensor, upper_bound: bool = True) -> Tensor:
    """Boxes of single cells: sigmoids of x, y, w, h -> cx, cy from each cell's origin in cells, w, h.

    centre = 2 s - 0.5, size = (2 s)^2 anchor. So a centre reaches from -0.5 to 1.5. Without that bound it is
    3 s - 1, from -1 to 2: as far as coarse labels lie.

    Args:
        s: (..., 4) sigmoids of the logits, float32.
        anchors: (..., 2) width and height, in the unit that the size is to have.
        upper_bound: the detector's own decoder.

    Paper: Sec. 4.2, Table 7.
    """
    centre = 2 * s[..., :2] - 0.5 if upper_bound else 3 * s[..., :2] - 1
    size = (2 * s[..., 2:]).square() * anchors
    return torch.cat((centre, size), dim=-1)
