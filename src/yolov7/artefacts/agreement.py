"""Whether two networks see the same in an image: detections matched one to one, and what is left over.

Two networks that differ by rounding alone find the same objects, with one exception: where a decision is
close, rounding decides. A score may come to lie on the other side of the confidence threshold; of two boxes
around one object the other one may be kept; an overlap may just suffice for suppression, or just not. Such
detections are *on the threshold*: they say nothing about the networks, and are counted apart.

What is on the threshold is decided by what the reference saw, including the boxes that it passed over:

    lost by the candidate    its score is within a hair of the lowest that the candidate keeps; or by what the
                             reference saw, a box that the candidate keeps suppresses it, give or take a hair
    gained by the candidate  its score is within a hair of the lowest that the reference keeps; or the
                             reference saw the same box, and what suppressed that box overlaps it by a hair
                             too much, or was itself lost by the candidate
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from yolov7.artefacts.tolerance import Tolerance
from yolov7.boxes import pairwise_iou
from yolov7.nms import ScoredBoxes, select_candidates, suppress
from yolov7.types import Detections, FloatArray, IntArray, Letterbox

Mask = npt.NDArray[np.bool_]

MAX_DETECTIONS = 300
"""Of an image, as prediction has it."""
SAME = 0.5
"""Overlap from which two boxes with the same label may be the same object's."""


@dataclass(frozen=True)
class Look:
    """What a network sees in one image.

    Attributes:
        kept: detections, best first, in pixels of the network's image.
        passed_over: what is not among them, likewise: suppressed, or by a hair below the threshold.
        letterbox: the way to the source image.
    """

    kept: ScoredBoxes
    passed_over: ScoredBoxes
    letterbox: Letterbox

    @classmethod
    def of(cls, rows: Tensor, letterbox: Letterbox, *, conf: float, iou: float, hair: float) -> Look:
        """From decoded rows (N, 5 + C), by the same suppression that prediction uses."""
        seen = ScoredBoxes(*(values.cpu() for values in select_candidates(rows, max(0, conf - hair))))
        boxes, scores, labels = (values[: int((seen.scores > conf).sum())] for values in seen)  # sorted
        kept = suppress(boxes, scores, labels, iou, max_detections=MAX_DETECTIONS)
        others = torch.ones(len(seen.scores), dtype=torch.bool)
        others[kept] = False
        return cls(
            ScoredBoxes(*(values[kept] for values in seen)),
            ScoredBoxes(*(values[others] for values in seen)),
            letterbox,
        )

    @classmethod
    def at_once(cls, found: ScoredBoxes, size: tuple[int, int]) -> Look:
        """Of what found them without giving rows: boxes in pixels of an image of (height, width)."""
        nothing = ScoredBoxes(*(values[:0] for values in found))
        return cls(found, nothing, Letterbox(size, size, (1.0, 1.0), (0, 0)))

    def bar(self, conf: float) -> float:
        """What a score had to exceed: the threshold, or where the list is full its last one."""
        full = len(self.kept.scores) == MAX_DETECTIONS
        return float(self.kept.scores[-1]) if full else conf

    def in_source(self, boxes: ScoredBoxes) -> Detections:
        """Boxes of the network's image in pixels of the source."""
        return Detections.from_tensors(*boxes, names=()).to_source(self.letterbox)


@dataclass(frozen=True)
class Agreement:
    """Two networks on one image; boxes in pixels of the source.

    Attributes:
        pairs: the reference's detections that the candidate has too.
        box: for each pair the largest difference of the four sides, pixels. (P,)
        score: for each pair the difference of the scores. (P,)
        lost: the reference's detections that the candidate has not.
        gained: the candidate's detections that the reference has not.
        on_threshold: number of detections of either that a hair decided.
        found: number of detections (of the reference, of the candidate).
    """

    pairs: Detections
    box: FloatArray
    score: FloatArray
    lost: Detections
    gained: Detections
    on_threshold: int
    found: tuple[int, int]


def agree(reference: Look, candidate: Look, *, conf: float, iou: float, tolerance: Tolerance) -> Agreement:
    """Compare what two networks see in the same image.

    Args:
        reference, candidate: looks at it.
        conf, iou: the thresholds that both used.
        tolerance: pairs that are further apart are looked at twice: a hair may have chosen between two boxes.
    """
    ours, theirs = reference.in_source(reference.kept), candidate.in_source(candidate.kept)
    pairs = match(ours, theirs)
    box, score = _differences(ours, theirs, pairs)
    near = (box <= _limit(tolerance.box)) & (score <= _limit(tolerance.score))
    close = _suppressed_by_a_hair(
        reference,
        candidate,
        _mask(len(ours), pairs[near, 0]),
        _mask(len(theirs), pairs[near, 1]),
        iou,
        tolerance,
    )
    # Far apart, and both by a hair: two boxes of which each network chose one. Otherwise a box that moved.
    kept = near | ~(close[0][pairs[:, 0]] & close[1][pairs[:, 1]])
    left = ~_mask(len(ours), pairs[kept, 0]), ~_mask(len(theirs), pairs[kept, 1])
    alone = ~_mask(len(ours), pairs[:, 0]), ~_mask(len(theirs), pairs[:, 1])
    lost_by_a_hair = close[0] | alone[0] & (ours.scores <= candidate.bar(conf) + tolerance.hair)
    gained_by_a_hair = close[1] | alone[1] & (theirs.scores <= reference.bar(conf) + tolerance.hair)
    return Agreement(
        pairs=ours[pairs[kept, 0]],
        box=box[kept],
        score=score[kept],
        lost=ours[left[0] & ~lost_by_a_hair],
        gained=theirs[left[1] & ~gained_by_a_hair],
        on_threshold=int((left[0] & lost_by_a_hair).sum() + (left[1] & gained_by_a_hair).sum()),
        found=(len(ours), len(theirs)),
    )


def match(a: Detections, b: Detections) -> IntArray:
    """Pairs of the same label, one to one, best overlap first, of equal ones the closest scores. -> (P, 2)"""
    overlaps = _overlaps(a.boxes, b.boxes) * (a.labels[:, np.newaxis] == b.labels)
    i, j = np.nonzero(overlaps >= SAME)
    order = np.lexsort((np.abs(a.scores[i] - b.scores[j]), -overlaps[i, j]))
    free = np.ones(len(a), bool), np.ones(len(b), bool)
    pairs = []
    for one, other in zip(i[order], j[order], strict=True):
        if free[0][one] and free[1][other]:
            free[0][one] = free[1][other] = False
            pairs.append((one, other))
    return np.array(pairs, np.int64).reshape(-1, 2)


def _suppressed_by_a_hair(
    reference: Look, candidate: Look, paired: Mask, paired_theirs: Mask, iou: float, tolerance: Tolerance
) -> tuple[Mask, Mask]:
    """Which of the reference's detections (N,), and of the candidate's (M,), suppression took by a hair.

    Args:
        paired, paired_theirs: (N,), (M,): detections of each that the other has too.
    """
    hair = tolerance.hair
    kept, passed_over = reference.kept, reference.passed_over
    lost, gained = np.zeros_like(paired), np.zeros_like(paired_theirs)

    twins = []  # what the candidate has and the reference has not: and passed over
    for j in np.flatnonzero(~paired_theirs):
        if (twin := _twin(reference, candidate, int(j), tolerance)) is None:
            continue
        twins.append(twin)
        box, score, label = (values[twin] for values in passed_over)
        overlaps = pairwise_iou(kept.boxes, box[None])[:, 0]
        by = (overlaps > iou) & (kept.labels == label) & (kept.scores >= score)
        least = pairwise_iou(_grown(kept.boxes, -hair), _grown(box[None], -hair))[:, 0]
        barely = (least <= iou + hair) | torch.from_numpy(~paired)
        gained[j] = bool(by.any() and barely[by].all())

    # What the candidate has, as the reference saw it.
    common = ScoredBoxes(
        *(
            torch.cat((mine[torch.from_numpy(paired)], other[twins]))
            for mine, other in zip(kept, passed_over, strict=True)
        )
    )
    for i in np.flatnonzero(~paired):
        box, score, label = (values[i] for values in kept)
        most = pairwise_iou(_grown(common.boxes, hair), _grown(box[None], hair))[:, 0]
        by = (most > iou - hair) & (common.labels == label) & (common.scores >= score - hair)
        lost[i] = bool(by.any())
    return lost, gained


def _twin(reference: Look, candidate: Look, index: int, tolerance: Tolerance) -> int | None:
    """Among what the reference passed over, the box that is one of the candidate's detections."""
    seen = reference.in_source(reference.passed_over)
    wanted = candidate.in_source(candidate.kept)[[index]]
    of_label = np.flatnonzero(seen.labels == wanted.labels[0])
    pairs = np.stack((of_label, np.zeros_like(of_label)), axis=1)
    box, score = _differences(seen, wanted, pairs)
    overlaps = _overlaps(seen.boxes[pairs[:, 0]], wanted.boxes)[:, 0]
    same = (overlaps >= SAME) & (score <= tolerance.hair) & (box <= _limit(tolerance.box))
    return int(pairs[np.where(same, overlaps, 0).argmax(), 0]) if same.any() else None


def _differences(a: Detections, b: Detections, pairs: IntArray) -> tuple[FloatArray, FloatArray]:
    """Of each pair (P, 2) the largest difference of the sides, and that of the scores. (P,), (P,)"""
    i, j = pairs[:, 0], pairs[:, 1]
    return np.abs(a.boxes[i] - b.boxes[j]).max(axis=1, initial=0), np.abs(a.scores[i] - b.scores[j])


def _overlaps(a: FloatArray, b: FloatArray) -> FloatArray:
    """IoU (N, M) of boxes two pixels larger on every side: even those without area overlap when near."""
    return pairwise_iou(*(_grown(torch.from_numpy(boxes), 2) for boxes in (a, b))).numpy()


def _grown(boxes: Tensor, by: float) -> Tensor:
    """Boxes (N, 4) that reach further by so many pixels on each side; or less far, down to their middle."""
    middle, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2
    half = (half + by).clamp(min=0)
    return torch.cat((middle - half, middle + half), dim=1)


def _mask(length: int, indices: IntArray) -> Mask:
    mask = np.zeros(length, bool)
    mask[indices] = True
    return mask


def _limit(allowed: float | None) -> float:
    return math.inf if allowed is None else allowed
