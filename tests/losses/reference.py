"""The loss as one would explain it: level by level, with a map of labels, one positive after the other."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from tests.assign.scenes import ANCHORS, STRIDES
from yolov7.types import Assignment, Targets

BALANCE = {3: (4.0, 1.0, 0.4), 4: (4.0, 1.0, 0.25, 0.06)}


def complete_iou_of(a: Sequence[Tensor], b: Sequence[Tensor]) -> Tensor:
    """CIoU of two boxes, each x, y, width, height, by its definition; flat boxes are a trace higher."""
    (ax, ay, aw, ah), (bx, by, bw, bh) = a, b
    ah, bh = ah + 2e-7, bh + 2e-7

    def both(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        return torch.minimum(low, high), torch.maximum(low, high)

    left, inner_left = both(ax - aw / 2, bx - bw / 2)
    top, inner_top = both(ay - ah / 2, by - bh / 2)
    inner_right, right = both(ax + aw / 2, bx + bw / 2)
    inner_bottom, bottom = both(ay + ah / 2, by + bh / 2)
    shared = (inner_right - inner_left).clamp(min=0) * (inner_bottom - inner_top).clamp(min=0)
    iou = shared / (aw * ah + bw * bh - shared)
    distance = ((ax - bx) ** 2 + (ay - by) ** 2) / ((right - left) ** 2 + (bottom - top) ** 2)
    shape = 4 / math.pi**2 * (torch.atan(bw / bh) - torch.atan(aw / ah)) ** 2
    alpha = (shape / (1 - iou + shape)).detach()
    return iou - distance - alpha * shape


def plain_losses(
    logits: Sequence[Tensor],
    positives: Assignment,
    targets: Targets,
    *,
    upper_bound: bool,
    smoothing: float,
    anchors: Tensor = ANCHORS,
    strides: Sequence[int] = STRIDES,
) -> Tensor:
    """Box, objectness and class loss before any gain, (3,), in float64."""
    box_loss = objectness_loss = class_loss = torch.zeros((), dtype=torch.float64)
    p = positives
    for index, level in enumerate(logits):
        level = level.double()
        label = torch.zeros_like(level[..., 4])
        boxes, classes = [], []
        for i in (p.level == index).nonzero()[:, 0].tolist():
            place = (int(p.image[i]), int(p.anchor[i]), int(p.row[i]), int(p.column[i]))
            x1, y1, x2, y2 = targets.boxes[p.target[i]].double() / strides[index]
            truth = ((x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1)
            s = level[place][:4].sigmoid()
            x, y = (2 * s[:2] - 0.5 if upper_bound else 3 * s[:2] - 1) + torch.tensor([place[3], place[2]])
            w, h = (2 * s[2:]) ** 2 * anchors[index, place[1]] / strides[index]
            overlap = complete_iou_of((x, y, w, h), truth)
            boxes.append(1 - overlap)
            label[place] = overlap.detach().clamp(min=0)  # the last one of a place stands
            wanted = torch.full((level.shape[-1] - 5,), smoothing / 2, dtype=torch.float64)
            wanted[targets.labels[p.target[i]]] += 1 - smoothing
            classes.append(F.binary_cross_entropy_with_logits(level[place][5:], wanted))
        objectness_loss = objectness_loss + BALANCE[len(logits)][index] * F.binary_cross_entropy_with_logits(
            level[..., 4], label
        )
        if boxes:
            box_loss = box_loss + torch.stack(boxes).mean()
            if level.shape[-1] > 6:
                class_loss = class_loss + torch.stack(classes).mean()
    return torch.stack((box_loss, objectness_loss, class_loss))
