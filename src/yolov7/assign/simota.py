"""SimOTA: each ground truth takes its k cheapest candidates, and its k follows from how well it is found.

    candidates ─┬─ IoU with every ground truth of the image ── k = sum of the q best ─┐
                └─ cost = class + 3 (-log IoU) ─────────────── the k cheapest ────────┴─ one owner each

The whole batch at once: a row for each ground truth, a column for each candidate of its image. Rows are taken
in portions, so that memory stays bounded however crowded an image is.

Source: OTA [arXiv 2103.14259] and, simplified, YOLOX [21, arXiv 2107.08430].
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from yolov7.assign.candidates import Candidates, find_candidates
from yolov7.boxes import cxcywh_to_xyxy, iou
from yolov7.models.decode import decode_in_cells
from yolov7.types import Assignment, Targets

IOU_WEIGHT = 3.0
PAIRS_AT_ONCE = 2**22
"""Pairs of a ground truth and a candidate that are compared at once: some 300 MB of working memory."""
INDEX = 2**32 - 1
"""The lower half of a rank, where an index has room."""
NEVER = torch.iinfo(torch.int64).max
"""The rank of what must not be taken."""


@dataclass(frozen=True)
class HeadOutput:
    """What a head predicts, and what it takes to read it. All tensors are on one device.

    Attributes:
        logits: (B, A, H, W, 5 + C) for each level.
        anchors: (L, A, 2) width and height in pixels.
        strides: (L,) pixels per cell.
        q: how many of its best IoUs tell how many candidates a ground truth takes.
        upper_bound: of the decoder, see :func:`yolov7.models.decode.decode_in_cells`.
    """

    logits: tuple[Tensor, ...]
    anchors: Tensor
    strides: Tensor
    q: int
    upper_bound: bool = True

    @property
    def grids(self) -> list[tuple[int, int]]:
        """(rows, columns) of each level."""
        return [(level.shape[2], level.shape[3]) for level in self.logits]

    def at(self, places: Candidates) -> tuple[Tensor, Tensor]:
        """Boxes (P, 4) in pixels, logits of objectness and classes (P, 1 + C), at some places; float32."""
        width = self.logits[0].shape[-1]
        rows = self.strides.new_zeros((len(places), width))
        for level, logits in enumerate(self.logits):
            (here,) = (places.level == level).nonzero(as_tuple=True)
            place = (values[here] for values in (places.image, places.anchor, places.row, places.column))
            rows[here] = logits[tuple(place)].float()
        stride = self.strides[places.level, None]
        anchors = self.anchors[places.level, places.anchor] / stride
        boxes_cxcywh = decode_in_cells(rows[:, :4].sigmoid(), anchors, self.upper_bound)
        boxes_cxcywh[:, :2] += torch.stack((places.column, places.row), dim=-1)
        return cxcywh_to_xyxy(boxes_cxcywh * stride), rows[:, 4:]


@torch.no_grad()
def simota(head: HeadOutput, targets: Targets, reach: float) -> Assignment:
    """Positives of a batch: without gradient, in float32 whatever the type of the logits.

    Every ground truth is compared with every candidate of its image, whoever proposed it. Of equal costs the
    earlier candidate, or the earlier ground truth, counts as the cheaper, on every device.

    Args:
        head: the predictions that decide.
        targets: ground truths, in any order of images.
        reach: of the candidates, see :func:`yolov7.assign.candidates.find_candidates`.
    """
    with torch.autocast(head.logits[0].device.type, enabled=False):
        candidates = find_candidates(targets, head.anchors, head.strides, head.grids, reach)
        by_image = targets.image_index.argsort(stable=True)
        sorted_targets = Targets(
            targets.image_index[by_image], targets.boxes[by_image], targets.labels[by_image]
        )
        owner = _owners(head, candidates, sorted_targets)
        (taken,) = (owner >= 0).nonzero(as_tuple=True)
        taken = taken[candidates.level[taken].argsort(stable=True)]
        return Assignment(
            level=candidates.level[taken],
            image=candidates.image[taken],
            anchor=candidates.anchor[taken],
            row=candidates.row[taken],
            column=candidates.column[taken],
            target=by_image[owner[taken]],
            order=taken,
        )


def _owners(head: HeadOutput, candidates: Candidates, targets: Targets) -> Tensor:
    """The ground truth that each candidate belongs to, -1 for none: (P,). Both lists are sorted by image."""
    owner = torch.full_like(candidates.level, -1)
    if not len(candidates):
        return owner
    first = torch.searchsorted(candidates.image, targets.image_index)
    count = torch.searchsorted(candidates.image, targets.image_index, right=True) - first
    widest = max(head.q, int(count.max()))
    pairs = Pairs.between(targets, candidates, head, room=widest)
    claims = torch.zeros_like(owner)
    cheapest_owner = torch.full((len(owner) + widest,), NEVER, device=owner.device)

    ground_truths = torch.arange(len(first), device=owner.device)
    for rows in torch.split(ground_truths, max(1, PAIRS_AT_ONCE // widest)):
        width = max(head.q, int(count[rows].max()))
        offset = torch.arange(width, device=owner.device)
        exists = offset < count[rows, None]  # (R, W), as all below
        columns = first[rows, None] + offset
        ious, costs = pairs(rows, first[rows], width)

        k = ious.where(exists, 0).topk(head.q).values.sum(1).long().clamp(min=1)
        rank = _rank(costs).where(exists, NEVER)
        cheapest = (rank | columns).topk(head.q, largest=False).values
        takes = (cheapest != NEVER) & (torch.arange(head.q, device=k.device) < k[:, None])
        taken = cheapest[takes] & INDEX
        owner[taken] = rows[:, None].expand_as(takes)[takes]
        claims += taken.bincount(minlength=len(claims))
        cheapest_owner.scatter_reduce_(0, columns.flatten(), (rank | rows[:, None]).flatten(), "amin")

    # What several claim goes to the ground truth of the image with the least cost, be it one of them or not.
    return torch.where(claims > 1, cheapest_owner[: len(owner)] & INDEX, owner)


def _rank(costs: Tensor) -> Tensor:
    """Integers that sort as the costs do, with their lower halves left free: float32 -> int64.

    Filled with an index, they make equal costs differ in a way that any device sorts alike. A float32 that is
    not negative sorts as the integer of the same bits does.
    """
    return costs.clamp(min=0).view(torch.int32).long() << 32


@dataclass(frozen=True)
class Pairs:
    """IoU and cost of ground truths with candidates, from what is known of each alone.

    The class cost is a BCE summed over classes, -log(1 - score) but for the right one's -log(score). So it is
    the sum as if no class were right, less the logit of the one that is.
    """

    target_boxes: Tensor  # (T, 4)
    labels: Tensor  # (T,)
    boxes: Tensor  # (4, P + room)
    cost_of_no_class: Tensor  # (P + room,)
    scores: Tensor  # (C, P + room)

    @classmethod
    def between(cls, targets: Targets, candidates: Candidates, head: HeadOutput, room: int) -> Pairs:
        """All pairs of two lists, with room for windows that run over the end of the candidates."""
        boxes, logits = head.at(candidates)
        probabilities = logits.sigmoid()
        # A score of exactly 0 or 1 would cost infinitely much.
        limits = torch.finfo(torch.float32)
        scores = (probabilities[:, 1:] * probabilities[:, :1]).sqrt_().clamp_(limits.tiny, 1 - limits.eps)
        cost_of_no_class = -scores.neg().log1p_().sum(1)
        tables = (F.pad(table, (0, room)) for table in (boxes.T, cost_of_no_class, scores.T))
        return cls(targets.boxes.float(), targets.labels, *tables)

    def __call__(self, rows: Tensor, first: Tensor, width: int) -> tuple[Tensor, Tensor]:
        """IoU and cost (R, W) of some ground truths, each with `width` candidates from its `first`."""
        boxes = self.boxes.unfold(1, width, 1)[:, first]  # (4, R, W): windows are copied as wholes
        ious = iou(self.target_boxes[rows, None], boxes.movedim(0, -1))
        cost_of_no_class = self.cost_of_no_class.unfold(0, width, 1)[first]
        score = self.scores.unfold(1, width, 1)[self.labels[rows], first]
        return ious, cost_of_no_class - score.logit() - IOU_WEIGHT * (ious + 1e-8).log()
