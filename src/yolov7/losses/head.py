"""Loss of one head: boxes, objectness and classes, each a mean over a level and a sum over levels."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from yolov7.boxes import complete_iou, cxcywh_to_xyxy
from yolov7.errors import UsageError
from yolov7.layout import FIRST_CLASS, OBJECTNESS
from yolov7.models.decode import HeadOutput, by_cell, logits_at
from yolov7.types import Assignment, Targets

OBJECTNESS_BALANCE = {3: (4.0, 1.0, 0.4), 4: (4.0, 1.0, 0.25, 0.06)}
"""Objectness weight of each level, by number of levels: finer levels average over more cells."""


def head_losses(
    head: HeadOutput,
    positives: Assignment,
    targets: Targets,
    label_smoothing: float,
    mean_over_processes: Callable[[Tensor], Tensor],
) -> Tensor:
    """Box, objectness and class loss of a head, before any gain: float32 (3,), with gradient.

        box         1 - CIoU, mean over the level's positives
        objectness  BCE, mean over all of the level's cells and anchors; label CIoU at positives, 0 elsewhere
        classes     BCE, mean over the level's positives and classes; 0 if there is only one class

    Positives may be in any order. `label_smoothing` and `mean_over_processes` are those of
    :class:`yolov7.losses.detection.DetectionLoss`.

    Raises:
        UsageError: positives outside the logits or the ground truths.
    """
    _require_inside(head.logits, positives, targets)
    p = positives.in_order()
    logits = logits_at(head.logits, p)  # (P, 5 + C)
    count = mean_over_processes(torch.bincount(p.level, minlength=len(head.logits)).float())  # (L,)
    share = (1 / count)[p.level]  # (P,): weight of a positive in its level's mean

    boxes = cxcywh_to_xyxy(head.boxes_in_cells(logits, p))  # (P, 4)
    origin = torch.stack((p.column, p.row, p.column, p.row), dim=-1)
    overlap = complete_iou(boxes, targets.boxes[p.target] / head.strides[p.level, None] - origin)  # (P,)
    box_loss = (share * (1 - overlap)).sum()

    objectness_loss = _objectness(head.logits, p, logits[:, OBJECTNESS], label=overlap.detach().clamp(min=0))

    classes = logits[:, FIRST_CLASS:]  # (P, C)
    class_loss = torch.zeros_like(box_loss)
    if classes.shape[1] > 1:
        right = F.one_hot(targets.labels[p.target], classes.shape[1])
        label = right * (1 - label_smoothing) + label_smoothing / 2
        error = F.binary_cross_entropy_with_logits(classes, label, reduction="none")
        class_loss = (share * error.mean(1)).sum()
    return torch.stack((box_loss, objectness_loss, class_loss))


def _require_inside(logits: Sequence[Tensor], p: Assignment, targets: Targets) -> None:
    """Refuse positives outside the logits: a GPU would fail without naming them."""
    names = ("level", "target", "image", "anchor", "row", "column")
    limits = torch.tensor(
        [[len(logits), len(targets.boxes), *level.shape[:4]] for level in logits], device=p.level.device
    )  # (L, 6), as names
    limits = limits[p.level.clamp(0, len(logits) - 1)]  # (P, 6)
    places = torch.stack([getattr(p, name) for name in names], dim=1)
    outside = ((places < 0) | (places >= limits)).any(1)
    if outside.any():
        first = int(outside.nonzero()[0])
        limit, place = (
            ", ".join(f"{name} {number}" for name, number in zip(names, row[first].tolist(), strict=True))
            for row in (limits, places)
        )
        raise UsageError(
            f"{int(outside.sum())} of {len(p)} positives lie outside the predictions or ground truths",
            expected=f"from 0 to below {limit}",
            found=f"positive {first}: {place}",
        )


def _objectness(logits: Sequence[Tensor], p: Assignment, at_positives: Tensor, label: Tensor) -> Tensor:
    """Sum BCE(x, label) = softplus(x) - label x: the first over all cells, the second over positives."""
    maps = [by_cell(level)[..., OBJECTNESS].float() for level in logits]  # (B, H, W, A)
    balance = OBJECTNESS_BALANCE[len(logits)]
    weights = at_positives.new_tensor([b / m.numel() for b, m in zip(balance, maps, strict=True)])
    as_background = torch.stack([F.softplus(m).sum() for m in maps])
    discount = weights[p.level] * label * at_positives
    return (weights * as_background).sum() - discount[_last_at_each_place(p)].sum()


def _last_at_each_place(p: Assignment) -> Tensor:
    """Indices of the last positive at each cell and anchor, the same on any device."""
    place = torch.stack((p.level, p.image, p.anchor, p.row, p.column), dim=-1)  # (P, 5)
    _, which, repeats = torch.unique(place, dim=0, return_inverse=True, return_counts=True)
    numbers = torch.arange(len(p), device=which.device)
    return torch.zeros_like(repeats).scatter_reduce_(0, which, numbers, "amax")
