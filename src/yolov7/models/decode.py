"""Decoding of a head's logits to boxes, for detection, assignment and losses alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from yolov7.layout import BOX, OBJECTNESS
from yolov7.types import Places, Predictions


@dataclass(frozen=True)
class HeadOutput:
    """Logits of one head, with the settings that decode them. All tensors are on one device.

    Attributes:
        logits: (B, A, H, W, 5 + C) for each level.
        anchors: float32 (L, A, 2) width and height in pixels.
        strides: float32 (L,) pixels per cell.
        upper_bound: decoder of the head, see :func:`decode_in_cells`.
    """

    logits: tuple[Tensor, ...]
    anchors: Tensor
    strides: Tensor
    upper_bound: bool = True

    @property
    def grids(self) -> list[tuple[int, int]]:
        """(rows, columns) of each level."""
        return [(level.shape[2], level.shape[3]) for level in self.logits]

    def boxes_in_cells(self, logits: Tensor, places: Places) -> Tensor:
        """Decode boxes (P, 4) of logits (P, 5 + C) at given places: see :func:`decode_in_cells`."""
        anchors = self.anchors[places.level, places.anchor] / self.strides[places.level, None]
        return decode_in_cells(logits[:, BOX].sigmoid(), anchors, self.upper_bound)


def head_outputs(
    predictions: Predictions, anchors: Tensor, strides: Sequence[int], upper_bound: bool = True
) -> tuple[HeadOutput, HeadOutput | None]:
    """Outputs of the lead head and of the auxiliary head (None if absent).

    Args:
        predictions: output of a detector.
        anchors: (L, A, 2) width and height in pixels, on any device.
        strides: pixels per cell of each level.
        upper_bound: True if the auxiliary head has the lead head's decoder.
    """
    anchors = anchors.to(predictions.lead[0].device).float()
    on_device = anchors.new_tensor(strides)
    lead = HeadOutput(predictions.lead, anchors, on_device)
    return lead, HeadOutput(predictions.aux, anchors, on_device, upper_bound) if predictions.aux else None


def logits_at(levels: Sequence[Tensor], places: Places) -> Tensor:
    """Gather the logits at places inside the levels, in any order: float32 (P, 5 + C), with gradient.

    Levels are (B, A, H, W, 5 + C).

    >>> levels = torch.arange(4.0).view(1, 1, 2, 2, 1), torch.tensor([9.0]).view(1, 1, 1, 1, 1)
    >>> zero = torch.tensor([0, 0, 0])
    >>> places = Places(torch.tensor([0, 1, 0]), zero, zero, row=torch.tensor([1, 0, 0]), column=zero)
    >>> logits_at(levels, places).flatten()
    tensor([2., 9., 0.])
    """
    rows = levels[0].new_zeros((len(places), levels[0].shape[-1]), dtype=torch.float32)
    for index, level in enumerate(levels):
        (here,) = (places.level == index).nonzero(as_tuple=True)
        place = (p[here] for p in (places.image, places.row, places.column, places.anchor))
        rows.index_copy_(0, here, by_cell(level)[tuple(place)].float())
    return rows


def by_cell(level: Tensor) -> Tensor:
    """(B, A, H, W, 5 + C) -> (B, H, W, A, 5 + C), a view whose gradients keep the logits' memory layout."""
    return level.permute(0, 2, 3, 1, 4)


def decode_levels(levels: Sequence[Tensor], strides: Sequence[int], anchors: Tensor) -> Tensor:
    """Decode logits (B, A, H, W, 5 + C) of each level to rows (B, N, 5 + C): see :meth:`Detector.decode`.

    Levels begin with the finest. Strides are pixels per cell of each level; anchors (L, A, 2) are widths and
    heights in pixels.
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
    """Decode rows above an objectness threshold: (n, 5 + C) per image, in the order of :func:`decode_levels`.

    Boxes and classes are computed for these rows alone: typically a few hundred of 25,200.
    """
    rows: list[list[Tensor]] = [[] for _ in levels[0]]
    for logits, stride, sizes in zip(levels, strides, anchors, strict=True):
        passing = logits[..., OBJECTNESS].float().sigmoid() > objectness  # (B, A, H, W)
        for image, keep in enumerate(passing):
            a, y, x = keep.nonzero(as_tuple=True)
            cells = torch.stack((x, y), dim=-1)  # (n, 2)
            rows[image].append(decode(logits[image, a, y, x], cells, stride, sizes[a]))
    return tuple(torch.cat(found) for found in rows)


def decode(logits: Tensor, cells: Tensor, stride: int, anchors: Tensor) -> Tensor:
    """Decode logits (..., 5 + C) of one level to cx, cy, w, h in pixels and probabilities, float32.

    The logits may have any float dtype. Cells (..., 2) are column and row; the stride is pixels per cell;
    anchors (..., 2) are width and height in pixels.

    >>> decode(torch.zeros(6), torch.tensor([3, 7]), 8, torch.tensor([12.0, 16.0]))
    tensor([28.0000, 60.0000, 12.0000, 16.0000,  0.5000,  0.5000])
    """
    s = logits.float().sigmoid()
    boxes = decode_in_cells(s[..., BOX], anchors.float())
    centre = (boxes[..., :2] + cells) * stride
    return torch.cat((centre, boxes[..., 2:], s[..., OBJECTNESS:]), dim=-1)


def decode_in_cells(s: Tensor, anchors: Tensor, upper_bound: bool = True) -> Tensor:
    """Decode boxes (..., 4): cx, cy in cells from the origin of the box's own cell, and w, h.

    centre = 2 s - 0.5, size = (2 s)^2 anchor. So centres range from -0.5 to 1.5. Without the upper bound
    the centre is 3 s - 1, from -1 to 2, which reaches all coarse labels.

    Args:
        s: (..., 4) sigmoids of the x, y, w, h logits, float32.
        anchors: (..., 2) width and height, in the unit wanted for w and h.
        upper_bound: True for the detector's own decoder.

    Paper: Sec. 4.2, Table 7.

    >>> decode_in_cells(torch.full((4,), 0.5), torch.tensor([2.0, 3.0]))
    tensor([0.5000, 0.5000, 2.0000, 3.0000])
    """
    centre = 2 * s[..., :2] - 0.5 if upper_bound else 3 * s[..., :2] - 1
    twice = 2 * s[..., 2:]  # multiplied, not squared: some converters lack powers
    size = twice * twice * anchors
    return torch.cat((centre, size), dim=-1)
