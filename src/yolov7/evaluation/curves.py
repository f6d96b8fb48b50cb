"""Precision, recall and F1: against each other, and against the confidence that one asks for."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from yolov7.data.labels import LabelledImage
from yolov7.evaluation.matching import IGNORED, evaluated, match
from yolov7.types import Detections

Curve = npt.NDArray[np.float64]

IOUS = np.linspace(0.5, 0.95, 10)
"""The protocol's IoU thresholds."""
RECALLS = np.linspace(0, 1, 101)
"""The protocol's recall points."""
CONFIDENCES = np.linspace(0, 1, 501)


@dataclass(frozen=True, eq=False)
class PrecisionRecall:
    """Precision that is reached at each recall or beyond, as the COCO protocol measures it.

    Attributes:
        names: names of the C classes that have an object; the first class where none has.
        precision: (10, 101, C), by :data:`IOUS`, :data:`RECALLS` and class; NaN where a class has no object.
    """

    names: tuple[str, ...]
    precision: Curve

    def at(self, iou: float) -> Curve:
        """Each class at one of the protocol's IoU thresholds, (101, C)."""
        return self.precision[int(np.abs(IOUS - iou).argmin())]

    def mean(self, iou: float | None = None) -> Curve:
        """Mean over the classes that have objects, (101,): at one IoU threshold, or over all of them."""
        curves = np.moveaxis(self.precision, 1, 0) if iou is None else self.at(iou)
        return _mean(curves.reshape(len(RECALLS), -1), axis=1)


@dataclass(frozen=True, eq=False)
class ConfidenceCurves:
    """What remains when detections below a confidence are dropped, at one IoU threshold.

    Attributes:
        names: class names by label.
        confidence: (K,) rising from 0 to 1; detections with a higher score count.
        precision: (C, K) share of the detections that are right; NaN where there is none.
        recall: (C, K) share of the objects that are found; NaN where a class has none.
        f1: (C, K) harmonic mean of both; NaN where a class has no object.
    """

    names: tuple[str, ...]
    confidence: Curve
    precision: Curve
    recall: Curve
    f1: Curve

    @property
    def mean_precision(self) -> Curve:
        """(K,) over the classes that have objects and detections."""
        return _mean(np.where(np.isnan(self.recall), np.nan, self.precision), axis=0)

    @property
    def mean_recall(self) -> Curve:
        """(K,) over the classes that have objects."""
        return _mean(self.recall, axis=0)

    @property
    def mean_f1(self) -> Curve:
        """(K,) over the classes that have objects."""
        return _mean(self.f1, axis=0)

    @property
    def best(self) -> tuple[float, float]:
        """The confidence of the best mean F1, and that F1; NaN without any object.

        Where several confidences do equally well, the middle of the first run of them.
        """
        mean = self.mean_f1
        if np.isnan(mean).all():
            return math.nan, math.nan
        top = float(np.nanmax(mean))
        first = int(np.nanargmax(mean))
        equal = mean[first:] >= top - 1e-12
        length = int(np.argmin(equal)) if not equal.all() else len(equal)
        return float(self.confidence[first + (length - 1) // 2]), top


def confidence_curves(
    images: Sequence[LabelledImage],
    detections: Mapping[int | str, Detections],
    names: Sequence[str],
    *,
    iou: float = 0.5,
) -> ConfidenceCurves:
    """Precision, recall and F1 of each class against confidence.

    Detections are matched within their class, as in the COCO protocol; those on crowds do not count.

    Args:
        images: the ground truth.
        detections: by image id; images without an entry are left out.
        names: class names by label.
        iou: overlap from which a detection can stand for an object.
    """
    scores: list[npt.NDArray[np.float32]] = []
    labels: list[npt.NDArray[np.int64]] = []
    right: list[npt.NDArray[np.bool_]] = []
    objects = np.zeros(len(names), np.int64)
    for image, found in evaluated(images, detections):
        taken = match(image, found, iou=iou)
        counted = taken != IGNORED
        scores.append(found.scores[counted])
        labels.append(found.labels[counted])
        right.append(taken[counted] >= 0)
        objects += np.bincount(image.labels[~image.crowds], minlength=len(names))
    all_scores = np.concatenate(scores) if scores else np.zeros(0, np.float32)
    all_labels = np.concatenate(labels) if labels else np.zeros(0, np.int64)
    all_right = np.concatenate(right) if right else np.zeros(0, np.bool_)
    found_count, right_count = np.zeros((2, len(names), len(CONFIDENCES)))
    for label in range(len(names)):
        mine = all_labels == label
        found_count[label] = _count_above(all_scores[mine])
        right_count[label] = _count_above(all_scores[mine & all_right])
    truth = np.where(objects > 0, objects, np.nan)[:, None]
    with np.errstate(invalid="ignore"):
        precision = right_count / found_count  # 0 / 0 is NaN
    return ConfidenceCurves(
        names=tuple(names),
        confidence=CONFIDENCES,
        precision=precision,
        recall=right_count / truth,
        f1=2 * right_count / (found_count + truth),
    )


def _count_above(scores: npt.NDArray[np.float32]) -> Curve:
    """How many scores exceed each confidence, (K,)."""
    ordered = np.sort(scores.astype(np.float64))
    return len(ordered) - np.searchsorted(ordered, CONFIDENCES, side="right").astype(np.float64)


def _mean(values: Curve, axis: int) -> Curve:
    """Mean of what is not NaN; NaN where all is."""
    known = ~np.isnan(values)
    count = known.sum(axis=axis)
    total = np.where(known, values, 0).sum(axis=axis)
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
