"""From a cell's logits to its box: for detection, assignment and losses alike."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def decode_levels(levels: Sequence[Tensor], strides: Sequence[int], anchors: Tensor) -> Tensor:
    """Logits (B, A, H, W, 5 + C) of each level -> (B, N, 5 + C): see :meth:`Detector.decode`.

    Args:
        anchors: (levels, A, 2) pixels.
    """
    rows = []
    for logits, stride, sizes in zip(levels, strides, anchors, strict=True):
        b, a, h, w, channels = logits.shape
        y, x = torch.meshgrid(
            torch.arange(h, device=logits.device), torch.arange(w, device=logits.device), indexing="ij"
        )
        cells = torch.stack((x, y), dim=-1)  # (H, W, 2)
        rows.append(decode(logits, cells, stride, sizes[:, None, None]).reshape(b, a * h * w, channels))
    return torch.cat(rows, dim=1)


def decode_levels_above(
    levels: Sequence[Tensor], strides: Sequence[int], anchors: Tensor, objectness: float
) -> tuple[Tensor, ...]:
    """The rows of :func:`decode_levels` with a higher objectness, in the same order: (n, 5 + C) for each.

    Boxes and classes are computed for these rows alone: as a rule a few hundred, not 25,200.
    """
    rows: list[list[Tensor]] = [[] for _ in levels[0]]
    for logits, stride, sizes in zip(levels, strides, anchors, strict=True):
        passing = logits[..., 4].float().sigmoid() > objectness  # (B, A, H, W)
        for image, keep in enumerate(passing):
            a, y, x = keep.nonzero(as_tuple=True)
            cells = torch.stack((x, y), dim=-1)
            rows[image].append(decode(logits[image, a, y, x], cells, stride, sizes[a]))
    return tuple(torch.cat(found) for found in rows)


def decode(logits: Tensor, cells: Tensor, stride: int, anchors: Tensor) -> Tensor:
    """(..., 5 + C) logits -> cx, cy, w, h in pixels and probabilities; cells and anchors are (..., 2)."""
    s = logits.float().sigmoid()
    boxes = decode_in_cells(s[..., :4], anchors.float())
    centre = (boxes[..., :2] + cells) * stride
    return torch.cat((centre, boxes[..., 2:], s[..., 4:]), dim=-1)


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
    twice = 2 * s[..., 2:]  # multiplied, not squared: some converters know no powers
    size = twice * twice * anchors
    return torch.cat((centre, size), dim=-1)
