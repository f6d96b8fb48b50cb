"""Boxes as tensors: conversions, area, overlap.

A box is ``xyxy`` in pixels unless its name says otherwise (``boxes_cxcywh``). All functions take any leading
shape ``(..., 4)`` and keep dtype and device.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def cxcywh_to_xyxy(boxes_cxcywh: Tensor) -> Tensor:
    """Convert centre, width, height to corners. ``(..., 4) -> (..., 4)``.

    >>> cxcywh_to_xyxy(torch.tensor([5.0, 5, 4, 2]))
    tensor([3., 4., 7., 6.])
    """
    centre, half = boxes_cxcywh[..., :2], boxes_cxcywh[..., 2:] / 2
    return torch.cat((centre - half, centre + half), dim=-1)


def xyxy_to_cxcywh(boxes: Tensor) -> Tensor:
    """Convert corners to centre, width, height. ``(..., 4) -> (..., 4)``."""
    top_left, bottom_right = boxes[..., :2], boxes[..., 2:]
    return torch.cat(((top_left + bottom_right) / 2, bottom_right - top_left), dim=-1)


def area(boxes: Tensor) -> Tensor:
    """Area of each box, never negative. ``(..., 4) -> (...)``."""
    size = (boxes[..., 2:] - boxes[..., :2]).clamp(min=0)
    return size[..., 0] * size[..., 1]


def intersection(a: Tensor, b: Tensor) -> Tensor:
    """Area shared by boxes whose leading shapes broadcast. ``(..., 4), (..., 4) -> (...)``."""
    # Single coordinates are faster than pairs: memory is read in one direction.
    (ax1, ay1, ax2, ay2), (bx1, by1, bx2, by2) = a.unbind(-1), b.unbind(-1)
    width = (torch.minimum(ax2, bx2) - torch.maximum(ax1, bx1)).clamp(min=0)
    height = (torch.minimum(ay2, by2) - torch.maximum(ay1, by1)).clamp(min=0)
    return width * height


def iou(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union of boxes whose leading shapes broadcast; 0 where the union is empty.

    ``(..., 4), (..., 4) -> (...)``. No epsilon: equal boxes give exactly 1.
    """
    shared = intersection(a, b)
    union = area(a) + area(b) - shared
    return torch.where(union > 0, shared / union, torch.zeros_like(shared))


def complete_iou(a: Tensor, b: Tensor) -> Tensor:
    """Complete IoU (CIoU), in (-1.5, 1]: IoU minus penalties for the centres' distance and for aspect ratio.

    ``(..., 4), (..., 4) -> (...)``; leading shapes broadcast. Boxes that do not overlap have a gradient too.
    The weight of the aspect-ratio term is detached.

    Source: Zheng et al., Distance-IoU loss (arXiv 1911.08287), Sec. 3.
    """
    tiny = 1e-7  # avoids division by zero; the value of the published recipe
    (ax1, ay1, ax2, ay2), (bx1, by1, bx2, by2) = a.unbind(-1), b.unbind(-1)
    a_width, a_height, b_width, b_height = ax2 - ax1, ay2 - ay1 + tiny, bx2 - bx1, by2 - by1 + tiny
    shared = intersection(a, b)
    overlap = shared / (a_width * a_height + b_width * b_height - shared + tiny)

    hull_width = torch.maximum(ax2, bx2) - torch.minimum(ax1, bx1)
    hull_height = torch.maximum(ay2, by2) - torch.minimum(ay1, by1)
    distance = ((ax1 + ax2 - bx1 - bx2).square() + (ay1 + ay2 - by1 - by2).square()) / 4
    distance = distance / (hull_width.square() + hull_height.square() + tiny)

    angle = torch.atan(a_width / (a_height + tiny)) - torch.atan(b_width / (b_height + tiny))
    shape = (2 / math.pi * angle).square()
    with torch.no_grad():
        weight = shape / (shape - overlap + 1 + tiny)
    return overlap - distance - weight * shape


def pairwise_iou(a: Tensor, b: Tensor) -> Tensor:
    """IoU of every box of ``a`` with every box of ``b``. ``(..., N, 4), (..., M, 4) -> (..., N, M)``."""
    return iou(a.unsqueeze(-2), b.unsqueeze(-3))
