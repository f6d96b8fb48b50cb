"""Exact non-maximum suppression (NMS), on any device, without a Python loop over boxes.

The definition, box by box: visit the candidates best score first (of equal scores the earlier candidate
first); keep one unless its IoU with an already kept box of its class is above the threshold; stop when as
many as wanted are kept. ``suppress`` gives the same boxes, but visits many candidates at once::

    candidates, best first   [ block | block  block | block  block  block  block | ...
                               window    window                window
    a window, twice as large as the one before:
        drop what the boxes kept so far suppress, the best of them first: they suppress most
        until the window is empty: settle its first block among itself (_greedy), keep what survives,
                                   drop from the rest of the window what that suppresses

So no more candidates are visited than about twice what the wanted number needs, most are compared with a few
boxes only, and memory is a window's length times ``CHUNK``, or ``BLOCK`` squared. Classes are compared as
numbers: shifting each class's boxes to a place of its own, the usual way, makes boxes collide in float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from yolov7.boxes import cxcywh_to_xyxy, pairwise_iou
from yolov7.errors import UsageError
from yolov7.thresholds import check_fraction, check_whole

BLOCK = 256
"""Candidates that are settled among themselves at once: their overlaps stay in a processor's cache."""
CHUNK = 32
"""Kept boxes that others are compared with at once: more are wasted on what the first few suppress."""


class ScoredBoxes(NamedTuple):
    """Boxes of one image, best first: boxes float32 (N, 4), scores float32 (N,), labels int64 (N,)."""

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
) -> list[ScoredBoxes]:
    """Decoded rows of a batch -> the detections of each image, on the same device.

    Args:
        rows: (B, N, 5 + C), or for each image its (N, 5 + C); see ``select_candidates``.
        conf: confidence that objectness and score must exceed, in [0, 1].
        iou: overlap above which the lesser of two boxes goes, in [0, 1].
        multi_label: a row may become a candidate of each of its classes (evaluation), not of its best alone.
        classes: the only labels wanted; all where not given.
        agnostic: boxes suppress those of other classes too.
        max_candidates: candidates of an image that are looked at, best first.
        max_detections: detections of an image, best first over all classes.

    Raises:
        UsageError: a threshold outside [0, 1], a limit below 1, a label or a shape that cannot be.
    """
    detections = []
    for image_rows in rows:
        candidates = select_candidates(
            image_rows, conf, multi_label=multi_label, classes=classes, max_candidates=max_candidates
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
) -> ScoredBoxes:
    """The boxes of one image that are worth a look, best first; of equal scores the earlier row, then class.

    A row whose objectness exceeds ``conf`` has for each class the score objectness x class probability (with
    one class: objectness alone), which must exceed ``conf`` too. A box or score that is not finite is no
    candidate, and harms no other.

    Args:
        rows: (N, 5 + C) of any float type: cx, cy, w, h in pixels, objectness, class probabilities.
        conf, multi_label, classes, max_candidates: as in ``non_max_suppression``.

    Raises:
        UsageError: as in ``non_max_suppression``.
    """
    check_fraction("confidence threshold", conf)
    check_whole("limit of candidates", max_candidates)
    if rows.ndim != 2 or rows.shape[1] < 6:
        raise UsageError("not decoded rows", expected="(N, 5 + classes)", found=tuple(rows.shape))
    num_classes = rows.shape[1] - 5

    rows = rows.index_select(0, (rows[:, 4].float() > conf).nonzero().squeeze(1)).float()
    boxes = cxcywh_to_xyxy(rows[:, :4])
    objectness, probabilities = rows[:, 4:5], rows[:, 5:]
    scores = objectness if num_classes == 1 else objectness * probabilities  # (N, C)
    # 0 never exceeds a threshold: from here on it marks what is no candidate.
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
    return ScoredBoxes(boxes[row], scores[best], labels)


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
    """Indices (K,) of the boxes that greedy suppression keeps, best first; of equal scores the earlier first.

    Args:
        boxes: (N, 4) finite ``xyxy``.
        scores: (N,) finite, in any order.
        labels: (N,) integers; only boxes of one label suppress each other.
        iou: overlap above which the lesser of two boxes goes, in [0, 1].
        agnostic: disregard the labels.
        max_detections: indices wanted, at most.

    Raises:
        UsageError: a threshold outside [0, 1] or a limit below 1.
    """
    check_fraction("IoU threshold", iou)
    check_whole("limit of detections", max_detections)
    boxes = boxes.float()

    def overlaps(a: Tensor, b: Tensor) -> Tensor:
        """Whether boxes a (N,) and b (M,) are so close that one of them must go. (N, M)"""
        close = pairwise_iou(boxes[a], boxes[b]) > iou
        return close if agnostic else close & (labels[a].unsqueeze(1) == labels[b])

    def not_suppressed(group: Tensor, kept: Tensor) -> Tensor:
        """What is left of a group (N,) of worse boxes. (K,)"""
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
    """Which boxes survive among themselves, given who overlaps whom, best first. bool (N, N) -> bool (N,).

    Box i survives unless a better one that survives overlaps it. From any guess, applying this rule to all
    boxes at once settles the first box in round 1, then in each round at least the boxes that depend on
    settled ones alone; what no longer changes is the sequential answer, because each box depends on better
    ones only. Rounds: the longest chain of boxes that suppress each other, seldom more than ten.
    """
    by_better = overlaps.tril(diagonal=-1).float()  # [i, j] = 1: a better box j overlaps i
    survives = by_better.new_ones(len(overlaps))
    while True:
        before = survives
        survives = (by_better @ before == 0).float()
        if torch.equal(survives, before):
            return survives.bool()


def _best_above(scores: Tensor, conf: float, limit: int) -> Tensor:
    """Indices of at most ``limit`` scores that exceed conf, best first; equal ones in order. (N,) -> (K,)."""
    above = scores > conf
    if len(scores) > limit:
        # To sort millions is slow. The upper half of a positive float's bits, as an integer, grows with
        # the number: its histogram tells where the best ``limit`` end, to within 1 %. (topk() would take ten
        # times as long, and break ties as it likes.)
        bins = torch.where(above, scores, 0).view(torch.int32) >> 16
        as_good = bins.bincount().flip(0).cumsum(0).flip(0)  # scores in this bin or a better one
        above &= bins >= (as_good >= limit).sum() - 1
    found = above.nonzero().squeeze(1)
    return found[scores[found].argsort(descending=True, stable=True)[:limit]]


def _wanted(classes: Sequence[int], num_classes: int, device: torch.device) -> Tensor:
    """bool (C,): the labels that are wanted."""
    wrong = [label for label in classes if not 0 <= label < num_classes]
    if wrong:
        raise UsageError("unknown class", expected=f"labels 0 to {num_classes - 1}", found=wrong)
    wanted = torch.zeros(num_classes, dtype=torch.bool)
    wanted[list(classes)] = True
    return wanted.to(device)
