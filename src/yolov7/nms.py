"""Exact non-maximum suppression (NMS), on any device, without a Python loop over boxes.

By definition, NMS visits candidates by descending score (in a tie the earlier candidate first), keeps one
unless its IoU with a kept box of its class is above the threshold, and stops at the maximum number.
``suppress`` keeps the same boxes, but visits many candidates at once::

    candidates, best first   [ block | block  block | block  block  block  block | ...
                               window    window                window
    a window, twice as large as the one before:
        remove the candidates that the kept boxes suppress, with the best boxes first: they suppress most
        until the window is empty: run NMS within its first block (_greedy), keep the survivors,
                                   remove the candidates that they suppress from the rest of the window

At most about twice the necessary candidates are visited, most are compared with a few boxes only, and memory
is a window's length times ``CHUNK``, or ``BLOCK`` squared. Labels are compared as numbers: the usual offset
of boxes by class makes boxes collide in float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from yolov7.boxes import cxcywh_to_xyxy, pairwise_iou
from yolov7.errors import UsageError
from yolov7.layout import BOX, OBJECTNESS, RowLayout
from yolov7.thresholds import check_fraction, check_whole

BLOCK = 256
"""Candidates that are compared with each other at once: their overlaps fit into a processor's cache."""
CHUNK = 32
"""Kept boxes that candidates are compared with at once: the first few suppress most."""


class ScoredBoxes(NamedTuple):
    """Scored boxes of one image, best first: boxes float32 (N, 4), scores float32 (N,), labels int64 (N,)."""

    boxes: Tensor
    scores: Tensor
    labels: Tensor


@torch.no_grad()
def non_max_suppression(
    rows: Tensor | Sequence[Tensor],
    conf: float,
    iou: float,
    *,
    multi_label: bool = False,
    classes: Sequence[int] | None = None,
    agnostic: bool = False,
    max_candidates: int = 30_000,
    max_detections: int = 300,
    layout: RowLayout | None = None,
) -> list[ScoredBoxes]:
    """Detections of each image of a batch, from decoded rows, on the same device.

    Args:
        rows: (B, N, 5 + C), or per image its (N, 5 + C); see ``select_candidates``.
        conf: confidence threshold of objectness and score, in [0, 1].
        iou: IoU threshold above which the box with the lower score is removed, in [0, 1].
        multi_label: whether a row is a candidate of each of its classes (evaluation), not of the best alone.
        classes: wanted labels; all by default.
        agnostic: whether boxes of different classes suppress each other.
        max_candidates: maximum number of candidates per image, best first.
        max_detections: maximum number of detections per image, best first over all classes.
        layout: columns of the rows; without extras by default.

    Raises:
        UsageError: a threshold outside [0, 1], a limit below 1, an unknown label or rows of the wrong shape.

    >>> box, elsewhere = [10.0, 10, 8, 8], [40.0, 40, 8, 8]
    >>> rows = torch.tensor([[[*box, 0.9, 1.0], [*box, 0.8, 1.0], [*elsewhere, 0.7, 1.0]]])
    >>> non_max_suppression(rows, conf=0.25, iou=0.45)[0].scores
    tensor([0.9000, 0.7000])
    """
    detections = []
    for image_rows in rows:
        candidates, _ = select_candidates(
            image_rows,
            conf,
            multi_label=multi_label,
            classes=classes,
            max_candidates=max_candidates,
            layout=layout,
        )
        kept = suppress(*candidates, iou, agnostic=agnostic, max_detections=max_detections)
        detections.append(ScoredBoxes(*(values[kept] for values in candidates)))
    return detections


@torch.no_grad()
def select_candidates(
    rows: Tensor,
    conf: float,
    *,
    multi_label: bool = False,
    classes: Sequence[int] | None = None,
    max_candidates: int = 30_000,
    layout: RowLayout | None = None,
) -> tuple[ScoredBoxes, Tensor]:
    """Candidates of one image and the row (K,) of each, best first.

    Ties go to the earlier row, then to the lower class.

    A row whose objectness exceeds ``conf`` has for each class the score objectness x class probability (with
    one class: objectness alone), which must exceed ``conf`` too. Rows with a NaN or infinite box or score are
    left out.

    Args:
        rows: (N, 5 + C) of any float dtype: cx, cy, w, h in pixels, objectness, class probabilities.
        conf, multi_label, classes, max_candidates, layout: as in ``non_max_suppression``.

    Raises:
        UsageError: as in ``non_max_suppression``.
    """
    check_fraction("confidence threshold", conf)
    check_whole("limit of candidates", max_candidates)
    layout = layout or RowLayout.of_size(rows.shape[-1])
    if rows.ndim != 2 or rows.shape[1] != layout.size or not layout.classes:
        extras = f" + {layout.extras}" if layout.extras else ""
        raise UsageError("not decoded rows", expected=f"(N, 5 + classes{extras})", found=tuple(rows.shape))
    num_classes = layout.classes

    passing = (rows[:, OBJECTNESS].float() > conf).nonzero().squeeze(1)
    rows = rows.index_select(0, passing).float()
    boxes = cxcywh_to_xyxy(rows[:, BOX])
    objectness, probabilities = rows[:, OBJECTNESS, None], rows[:, layout.class_columns]
    scores = objectness if num_classes == 1 else objectness * probabilities  # (N, C)
    # A score of 0 never exceeds a threshold.
    scores = scores.nan_to_num(nan=0, posinf=0) * boxes.isfinite().all(dim=1, keepdim=True)

    if multi_label:
        if classes is not None:
            scores = scores * _wanted(classes, num_classes, rows.device)
        scores = scores.flatten()
        best = _best_above(scores, conf, max_candidates)
        row = best.div(num_classes, rounding_mode="floor")
        labels = best - row * num_classes
    else:
        scores, label_of_row = scores.max(dim=1)
        if classes is not None:
            scores = scores * _wanted(classes, num_classes, rows.device)[label_of_row]
        row = best = _best_above(scores, conf, max_candidates)
        labels = label_of_row[row]
    return ScoredBoxes(boxes[row], scores[best], labels), passing[row]


@torch.no_grad()
def suppress(
    boxes: Tensor,
    scores: Tensor,
    labels: Tensor,
    iou: float,
    *,
    agnostic: bool = False,
    max_detections: int = 300,
) -> Tensor:
    """Indices (K,) of the boxes that NMS keeps, best first; ties go to the earlier box.

    Args:
        boxes: (N, 4) finite ``xyxy``.
        scores: (N,) finite, in any order.
        labels: (N,) integers; only boxes of one label suppress each other.
        iou, agnostic, max_detections: as in ``non_max_suppression``.

    Raises:
        UsageError: a threshold outside [0, 1] or a limit below 1.
    """
    check_fraction("IoU threshold", iou)
    check_whole("limit of detections", max_detections)
    boxes = boxes.float()

    def overlaps(a: Tensor, b: Tensor) -> Tensor:
        """Mask (N, M): boxes a (N,) and b (M,) that suppress each other."""
        close = pairwise_iou(boxes[a], boxes[b]) > iou
        return close if agnostic else close & (labels[a].unsqueeze(1) == labels[b])

    def not_suppressed(group: Tensor, kept: Tensor) -> Tensor:
        """Members (K,) of a group (N,) that no kept box (M,) suppresses."""
        for start in range(0, len(kept), CHUNK):
            if len(group) == 0:
                break
            group = group[~overlaps(group, kept[start : start + CHUNK]).any(dim=1)]
        return group

    waiting = scores.argsort(descending=True, stable=True)
    kept, length = waiting[:0], BLOCK
    while len(waiting) and len(kept) < max_detections:
        window, waiting = not_suppressed(waiting[:length], kept), waiting[length:]
        while len(window) and len(kept) < max_detections:
            block, window = window[:BLOCK], window[BLOCK:]
            block = block[_greedy(overlaps(block, block))]
            kept, window = torch.cat((kept, block)), not_suppressed(window, block)
        length *= 2
    return kept[:max_detections]


def _greedy(overlaps: Tensor) -> Tensor:
    """Mask of the boxes that survive NMS within a block, best first: bool (N, N) -> bool (N,).

    Box i survives unless a better box that survives overlaps it. The rule is applied to all boxes at once
    until nothing changes. Round 1 is right for the first box, and each later round for at least the boxes
    that depend on right ones only. As boxes depend on better ones only, the fixed point is exact NMS.
    There are as many rounds as the longest chain of suppressions, seldom more than ten:

        a overlaps b, b overlaps c       guess 1 1 1 -> 1 0 0 -> 1 0 1 -> 1 0 1
    """
    by_better = overlaps.tril(diagonal=-1).float()  # [i, j] = 1: a better box j overlaps i
    survives = by_better.new_ones(len(overlaps))
    while True:
        before = survives
        survives = (by_better @ before == 0).float()
        if torch.equal(survives, before):
            return survives.bool()


def _best_above(scores: Tensor, conf: float, limit: int) -> Tensor:
    """Indices (K,) of the ``limit`` best scores (N,) above conf, best first; ties go to the earlier."""
    above = scores > conf
    if len(scores) > limit:
        # Sorting millions is slow: a histogram gives a threshold that keeps the best ``limit`` and at most a
        # bin more. A bin is the upper half of a float's bits, 1 % wide. (topk takes ten times as long, and
        # breaks ties differently on each device.)
        bins = torch.where(above, scores, 0).view(torch.int32) >> 16  # (N,)
        counts = bins.bincount()  # by bin
        at_least = counts.flip(0).cumsum(0).flip(0)  # by bin: number of scores in it or in a higher one
        lowest_bin = (at_least >= limit).sum() - 1
        above &= bins >= lowest_bin
    found = above.nonzero().squeeze(1)
    return found[scores[found].argsort(descending=True, stable=True)[:limit]]


def _wanted(classes: Sequence[int], num_classes: int, device: torch.device) -> Tensor:
    """Mask (C,) of the wanted labels."""
    wrong = [label for label in classes if not 0 <= label < num_classes]
    if wrong:
        raise UsageError("unknown class", expected=f"labels 0 to {num_classes - 1}", found=wrong)
    wanted = torch.zeros(num_classes, dtype=torch.bool)
    wanted[list(classes)] = True
    return wanted.to(device)
