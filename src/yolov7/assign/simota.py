"""SimOTA: each ground truth takes its k cheapest candidates; the better their IoUs, the larger its k.

    candidates ─┬─ IoU with every ground truth of the image ── k = sum of the q best ─┐
                └─ cost = class + 3 (-log IoU) ─────────────── the k cheapest ────────┴─ one owner each

The batch is one table: a row per ground truth, a column per candidate of its image. Rows are processed in
chunks, so that memory stays bounded however crowded an image is.

Source: OTA [arXiv 2103.14259] and, simplified, YOLOX [21, arXiv 2107.08430].
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from yolov7.assign.candidates import find_candidates
from yolov7.boxes import cxcywh_to_xyxy, iou
from yolov7.layout import FIRST_CLASS, OBJECTNESS
from yolov7.models.decode import HeadOutput, logits_at
from yolov7.types import Assignment, Places, Targets

IOU_WEIGHT = 3.0
PAIRS_AT_ONCE = 2**22
"""Maximum number of pairs compared at once: about 300 MB of working memory."""
INDEX_BITS = 32
NEVER = torch.iinfo(torch.int64).max
"""Key of a pair that must not be taken."""


@torch.no_grad()
def simota(head: HeadOutput, targets: Targets, reach: float, q: int = 20) -> Assignment:
    """Assign a batch's ground truths, without gradient, in float32 for any dtype of the logits.

    Every ground truth is compared with every candidate of its image, whichever ground truth proposed it. Ties
    go to the earlier candidate or ground truth, on every device.

    Args:
        head: predictions to assign by.
        targets: ground truths, in any order of images.
        reach: reach of a cell, see :func:`yolov7.assign.candidates.find_candidates`.
        q: dynamic k is the sum of a ground truth's q highest IoUs.
    """
    with torch.autocast(head.logits[0].device.type, enabled=False):
        candidates = find_candidates(targets, head.anchors, head.strides, head.grids, reach)
        by_image = targets.image_index.argsort(stable=True)
        sorted_targets = Targets(
            targets.image_index[by_image], targets.boxes[by_image], targets.labels[by_image]
        )
        owner = _owners(head, candidates, sorted_targets, q)
        (taken,) = (owner >= 0).nonzero(as_tuple=True)
        taken = taken[candidates.level[taken].argsort(stable=True)]
        return Assignment(**vars(candidates[taken]), target=by_image[owner[taken]], order=taken)


def _owners(head: HeadOutput, candidates: Places, targets: Targets, q: int) -> Tensor:
    """Index of each candidate's ground truth, -1 for none: (P,). Both lists are sorted by image."""
    owner = torch.full_like(candidates.level, -1)
    if not len(candidates):
        return owner
    first = torch.searchsorted(candidates.image, targets.image_index)
    count = torch.searchsorted(candidates.image, targets.image_index, right=True) - first
    widest = max(q, int(count.max()))
    pairs = Pairs.between(targets, candidates, head, room=widest)
    claims = torch.zeros_like(owner)
    cheapest_truth = torch.full((len(owner) + widest,), NEVER, device=owner.device)

    ground_truths = torch.arange(len(first), device=owner.device)
    for rows in torch.split(ground_truths, max(1, PAIRS_AT_ONCE // widest)):
        width = max(q, int(count[rows].max()))
        offset = torch.arange(width, device=owner.device)
        exists = offset < count[rows, None]  # (R, W), as are all below
        columns = first[rows, None] + offset
        ious, costs = pairs(rows, first[rows], width)

        k = ious.where(exists, 0).topk(q).values.sum(1).long().clamp(min=1)  # (R,)
        keys = sort_keys(costs).where(exists, NEVER)
        cheapest = with_index(keys, columns).topk(q, largest=False).values  # (R, q)
        takes = (cheapest != NEVER) & (torch.arange(q, device=k.device) < k[:, None])
        taken = index_of(cheapest[takes])
        owner[taken] = rows[:, None].expand_as(takes)[takes]
        claims += taken.bincount(minlength=len(claims))
        by_truth = with_index(keys, rows[:, None])
        cheapest_truth.scatter_reduce_(0, columns.flatten(), by_truth.flatten(), "amin")

    # A candidate with several claims goes to the cheapest ground truth of its image, even a non-claimant.
    return torch.where(claims > 1, index_of(cheapest_truth[: len(owner)]), owner)


def sort_keys(costs: Tensor) -> Tensor:
    """Integers in the order of the costs, with room for an index: float32 -> int64.

    A non-negative float32 sorts like the integer with the same bits.
    """
    return costs.clamp(min=0).view(torch.int32).long() << INDEX_BITS


def with_index(keys: Tensor, index: Tensor) -> Tensor:
    """Make equal keys sort by index, on any device. ``NEVER`` is unchanged: all its low bits are set."""
    return keys | index


def index_of(keys: Tensor) -> Tensor:
    """Extract the index from each key."""
    return keys & ((1 << INDEX_BITS) - 1)


@dataclass(frozen=True)
class Pairs:
    """IoU and cost of pairs of a ground truth and a candidate, computed from a table of each.

    The class cost is a BCE summed over classes: -log(score) of the ground truth's class, -log(1 - score) of
    the others. This is the sum of -log(1 - score) over all classes, minus the logit of the right class.
    """

    target_boxes: Tensor  # (T, 4)
    labels: Tensor  # (T,)
    boxes: Tensor  # (4, P + room)
    cost_of_no_class: Tensor  # (P + room,)
    scores: Tensor  # (C, P + room)

    @classmethod
    def between(cls, targets: Targets, candidates: Places, head: HeadOutput, room: int) -> Pairs:
        """Tabulate both lists, with room for windows that run past the last candidate."""
        logits = logits_at(head.logits, candidates)  # (P, 5 + C)
        probabilities = logits.sigmoid()
        objectness, classes = probabilities[:, OBJECTNESS, None], probabilities[:, FIRST_CLASS:]
        # A score of exactly 0 or 1 would have infinite cost.
        limits = torch.finfo(torch.float32)
        scores = (classes * objectness).sqrt_().clamp_(limits.tiny, 1 - limits.eps)
        cost_of_no_class = -scores.neg().log1p_().sum(1)
        boxes = candidate_boxes(head, logits, candidates)
        tables = (F.pad(table, (0, room)) for table in (boxes.T, cost_of_no_class, scores.T))
        return cls(targets.boxes.float(), targets.labels, *tables)

    def __call__(self, rows: Tensor, first: Tensor, width: int) -> tuple[Tensor, Tensor]:
        """IoU and cost (R, W) of ground truths `rows`, each with `width` candidates from its `first`."""
        boxes = self.boxes.unfold(1, width, 1)[:, first]  # (4, R, W): each window is copied as a whole
        cost_of_no_class = self.cost_of_no_class.unfold(0, width, 1)[first]
        score = self.scores.unfold(1, width, 1)[self.labels[rows], first]

        ious = iou(self.target_boxes[rows, None], boxes.movedim(0, -1))
        class_cost = cost_of_no_class - score.logit()
        iou_cost = -IOU_WEIGHT * (ious + 1e-8).log()
        return ious, class_cost + iou_cost


def candidate_boxes(head: HeadOutput, logits: Tensor, places: Places) -> Tensor:
    """``xyxy`` in pixels (P, 4) from logits (P, 5 + C) at given places."""
    boxes_cxcywh = head.boxes_in_cells(logits, places)
    boxes_cxcywh[:, :2] += torch.stack((places.column, places.row), dim=-1)
    return cxcywh_to_xyxy(boxes_cxcywh * head.strides[places.level, None])
