"""Whether two networks find the same in an image: detections paired one to one, and the rest judged.

Two networks that differ by rounding alone find the same objects, except where a decision is close: a score
near the confidence threshold, two boxes around one object, an overlap near the IoU threshold. Detections that
a close decision explains are *on the threshold*: they say nothing about the networks, and are counted apart.

    paired   a box of both, in the same row; of an artefact with NMS inside, which has no rows of the network,
             the nearest box within the tolerance
    lost     by the candidate. On the threshold if its score is within a margin of the lowest that the
             candidate keeps, or if a box that the candidate keeps suppresses it, give or take a margin
    gained   by the candidate. On the threshold if its score is within a margin of the lowest that the
             reference keeps, or if it is a box of the reference that no box of both clearly suppresses
    moved    a lost and a gained box of one object that are not both on the threshold: a pair after all

Suppression is judged by the reference's own boxes, including those that it does not keep.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from yolov7.artefacts.tolerance import Mask, Tolerance
from yolov7.boxes import pairwise_iou
from yolov7.inference.pipeline import ImageRows
from yolov7.layout import BOX, OBJECTNESS
from yolov7.nms import ScoredBoxes, select_candidates, suppress
from yolov7.thresholds import PREDICTION, Thresholds
from yolov7.types import Detections, FloatArray, IntArray, Letterbox

ALL_ROWS = -1.0
"""Objectness threshold that every row exceeds, so that the rows of two backends have the same indices."""
FOREGROUND = 0.05
"""Objectness above which the box of a row is compared; boxes of background may be anywhere."""
SAME = 0.5
"""Least IoU of two boxes with the same label that may be of one object."""


@dataclass(frozen=True)
class ImageResult:
    """Everything that a network finds in one image.

    Attributes:
        boxes: N boxes with scores above the confidence threshold less a margin, best first, in pixels of the
            network's image.
        kept: (N,) True for detections; the rest is suppressed, or at most a margin below the threshold.
        letterbox: mapping to the source image.
        rows: (N,) number of each box's row; None if the network has NMS inside.
    """

    boxes: ScoredBoxes
    kept: Mask
    letterbox: Letterbox
    rows: IntArray | None = None

    @classmethod
    def of(
        cls, found: ImageRows, thresholds: Thresholds, margin: float, *, suppressed: bool = False
    ) -> ImageResult:
        """Apply prediction's NMS to all rows (R, 5 + C) of an image; none if they are suppressed already."""
        candidates, numbers = select_candidates(found.rows, max(0, thresholds.conf - margin))
        boxes = ScoredBoxes(*(values.cpu() for values in candidates))
        above = boxes.scores > thresholds.conf
        best = ScoredBoxes(*(values[above] for values in boxes))
        iou = 1.0 if suppressed else thresholds.iou
        detections = suppress(*best, iou, max_detections=PREDICTION.max_detections)
        kept = _mask(len(above), detections.numpy())  # those above the threshold come first
        return cls(boxes, kept, found.letterbox, None if suppressed else numbers.cpu().numpy())

    @classmethod
    def at_once(cls, found: ScoredBoxes, size: tuple[int, int]) -> ImageResult:
        """Wrap detections that came without rows, in pixels of an image of (height, width)."""
        return cls(found, np.ones(len(found.scores), bool), Letterbox(size, size, (1.0, 1.0), (0, 0)))

    def lowest_score(self, conf: float) -> float:
        """Score that a detection had to exceed: the threshold, or the last score of a full list."""
        full = self.kept.sum() == PREDICTION.max_detections
        return float(self.boxes.scores[np.flatnonzero(self.kept)[-1]]) if full else conf

    def in_source(self) -> Detections:
        """Convert the N boxes to pixels of the source."""
        return Detections.from_tensors(*self.boxes, names=()).to_source(self.letterbox)


@dataclass(frozen=True)
class Agreement:
    """Two networks on one image; boxes in pixels of the source.

    Attributes:
        pairs: the reference's detections that the candidate has too, P of them.
        box: (P,) largest difference of the four sides of each pair, pixels.
        score: (P,) difference of the scores of each pair.
        lost: the reference's detections that the candidate does not have.
        gained: the candidate's detections that the reference does not have.
        on_threshold: number of detections of either that a close decision explains.
        found: number of detections (of the reference, of the candidate).
    """

    pairs: Detections
    box: FloatArray
    score: FloatArray
    lost: Detections
    gained: Detections
    on_threshold: int
    found: tuple[int, int]


def agree(
    reference: ImageResult, candidate: ImageResult, thresholds: Thresholds, tolerance: Tolerance
) -> Agreement:
    """Compare what two networks find in the same image, with the tolerance of the candidate's precision."""
    conf, iou, margin = thresholds.conf, thresholds.iou, tolerance.margin
    boxes, kept = reference.boxes, (reference.kept, candidate.kept)
    ours, theirs = reference.in_source(), candidate.in_source()
    (i, j), steady = _same_boxes(reference, candidate, ours, theirs, tolerance)
    same = np.full(len(theirs), -1)  # index of the reference's box that each detection equals
    same[j] = i
    shared, both = _mask(len(ours), i), kept[0][i]
    i, j = i[both], j[both]
    lost = np.flatnonzero(kept[0] & ~shared)
    gained = np.flatnonzero(kept[1] & ~_mask(len(theirs), j))

    close_lost = steady[lost] & _suppressed(boxes, lost, shared, iou, margin)
    close_gained = same[gained] >= 0
    known = same[gained[close_gained]]
    close_gained[close_gained] = steady[known] & ~_suppressed(boxes, known, shared & kept[0], iou, -margin)

    moved = match(ours[lost], theirs[gained], ~(close_lost[:, np.newaxis] & close_gained)).T
    left = ~_mask(len(lost), moved[0]), ~_mask(len(gained), moved[1])
    close_lost |= ours.scores[lost] <= candidate.lowest_score(conf) + margin
    close_gained |= theirs.scores[gained] <= reference.lowest_score(conf) + margin

    i, j = np.append(i, lost[moved[0]]), np.append(j, gained[moved[1]])
    box, score = _differences(ours[i], theirs[j])
    return Agreement(
        pairs=ours[i],
        box=box,
        score=score,
        lost=ours[lost[left[0] & ~close_lost]],
        gained=theirs[gained[left[1] & ~close_gained]],
        on_threshold=int((left[0] & close_lost).sum() + (left[1] & close_gained).sum()),
        found=(int(kept[0].sum()), int(kept[1].sum())),
    )


def rows_agree(rows: Tensor, reference: Tensor, tolerance: Tolerance) -> bool:
    """Whether decoded rows (R, 5 + C) of an image agree: all scores, and the boxes of rows with an object."""
    if rows.shape != reference.shape:
        return False
    differences = (rows - reference).abs().numpy()
    moved = differences[:, BOX].max(axis=1) - tolerance.box_share * reference[:, 2:4].amax(dim=1).numpy()
    box = np.where((reference[:, OBJECTNESS] > FOREGROUND).numpy(), moved, 0)
    return bool(tolerance.agrees(box, differences[:, OBJECTNESS:].max(axis=1)).all())


def match(a: Detections, b: Detections, allowed: Mask | bool = True) -> IntArray:
    """Pair boxes of the same label, one to one: best overlap first, of equal overlaps the closest scores.

    Args:
        a, b: N and M boxes.
        allowed: (N, M) True for pairs that are allowed.

    Returns:
        Numbers (P, 2) of the boxes of each pair.
    """
    ours, theirs = (_grown(torch.from_numpy(one.boxes), 2) for one in (a, b))  # even thin boxes overlap
    overlaps = pairwise_iou(ours, theirs).numpy()
    i, j = np.nonzero((overlaps >= SAME) & (a.labels[:, np.newaxis] == b.labels) & allowed)
    order = np.lexsort((np.abs(a.scores[i] - b.scores[j]), -overlaps[i, j]))
    free = np.ones(len(a), bool), np.ones(len(b), bool)
    pairs = []
    for one, other in zip(i[order], j[order], strict=True):
        if free[0][one] and free[1][other]:
            free[0][one] = free[1][other] = False
            pairs.append((one, other))
    return np.array(pairs, np.int64).reshape(-1, 2)


def _same_boxes(
    reference: ImageResult, candidate: ImageResult, ours: Detections, theirs: Detections, tolerance: Tolerance
) -> tuple[tuple[IntArray, IntArray], Mask]:
    """Pair the candidate's detections with boxes of the reference, kept or not, that are the same.

    Returns:
        Numbers (P,) and (P,) of the boxes of each pair; and (N,) False for boxes of the reference whose row
        differs by more than the tolerance.
    """
    if reference.rows is not None and candidate.rows is not None:
        _, i, j = np.intersect1d(reference.rows, candidate.rows, return_indices=True)
        one_label = ours.labels[i] == theirs.labels[j]
        steady = np.zeros(len(ours), bool)
        steady[i] = tolerance.agrees(*_differences(ours[i], theirs[j])) & one_label
        paired = candidate.kept[j] & one_label
        return (i[paired], j[paired]), steady
    box = np.abs(ours.boxes[:, np.newaxis] - theirs.boxes).max(axis=2)  # (N, M)
    near = tolerance.agrees(box, np.abs(ours.scores[:, np.newaxis] - theirs.scores)) & candidate.kept
    pairs = match(ours, theirs, near & reference.kept[:, np.newaxis])
    near[:, pairs[:, 1]] = False
    pairs = np.concatenate((pairs, match(ours, theirs, near & ~reference.kept[:, np.newaxis])))
    return (pairs[:, 0], pairs[:, 1]), np.ones(len(ours), bool)


def _differences(a: Detections, b: Detections) -> tuple[FloatArray, FloatArray]:
    """Largest difference of the sides, and difference of the scores, of P pairs: (P,), (P,)."""
    return np.abs(a.boxes - b.boxes).max(axis=1, initial=0), np.abs(a.scores - b.scores)


def _suppressed(boxes: ScoredBoxes, targets: IntArray, by: Mask, iou: float, margin: float) -> Mask:
    """Whether others suppress some boxes: possibly, with a margin above 0; clearly, with one below.

    Args:
        boxes: N boxes.
        targets: (T,) numbers of the boxes in question.
        by: (N,) True for the boxes that may suppress them.
        iou: IoU threshold.
        margin: margin of IoUs and scores and, in pixels, of sides.

    Returns:
        (T,) True for the boxes that others suppress.
    """
    grown, others = _grown(boxes.boxes, margin), torch.from_numpy(by)
    overlaps = pairwise_iou(grown[others], grown[targets]) > iou - margin  # (K, T)
    overlaps &= boxes.labels[others, None] == boxes.labels[targets]
    overlaps &= boxes.scores[others, None] >= boxes.scores[targets] - max(0, margin)
    return overlaps.any(dim=0).numpy()


def _grown(boxes: Tensor, by: float) -> Tensor:
    """Boxes (N, 4) with all sides moved outwards by some pixels; or inwards, to the middle at most."""
    middle, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2
    half = (half + by).clamp(min=0)
    return torch.cat((middle - half, middle + half), dim=1)


def _mask(length: int, indices: IntArray) -> Mask:
    mask = np.zeros(length, bool)
    mask[indices] = True
    return mask
