"""Precision against recall, and precision, recall and F1 against the confidence threshold."""

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
"""IoU thresholds of the COCO protocol."""
RECALLS = np.linspace(0, 1, 101)
"""Recall points of the COCO protocol."""
CONFIDENCES = np.linspace(0, 1, 501)
"""Confidence thresholds of the confidence curves; detections with a higher score count."""


@dataclass(frozen=True, eq=False)
class PrecisionRecall:
    """Highest precision at each recall or above, as in the COCO protocol.

    Attributes:
        names: names of the C classes with objects; the first class if none has any.
        precision: (10, 101, C), by :data:`IOUS`, :data:`RECALLS` and class; NaN for a class without object.
    """

    names: tuple[str, ...]
    precision: Curve

    def at(self, iou: float) -> Curve:
        """Precision (101, C) of each class at one of the protocol's IoU thresholds."""
        return self.precision[int(np.abs(IOUS - iou).argmin())]

    def mean(self, iou: float | None = None) -> Curve:
        """Mean precision (101,) over the classes with objects, at one IoU threshold or over all of them."""
        curves = np.moveaxis(self.precision, 1, 0) if iou is None else self.at(iou)
        return _mean(curves.reshape(len(RECALLS), -1), axis=1)


@dataclass(frozen=True, eq=False)
class ConfidenceCurves:
    """Precision, recall and F1 of the detections above each of the K :data:`CONFIDENCES`, at an IoU of 0.5.

    Attributes:
        names: names of the C classes, by label.
        precision: (C, K) fraction of the detections that are correct; NaN without detections.
        recall: (C, K) fraction of the objects that are found; NaN for a class without objects.
        f1: (C, K) harmonic mean of both; NaN for a class without objects.
    """

    names: tuple[str, ...]
    precision: Curve
    recall: Curve
    f1: Curve

    @property
    def mean_precision(self) -> Curve:
        """Mean precision (K,) over the classes with objects and detections."""
        return _mean(np.where(np.isnan(self.recall), np.nan, self.precision), axis=0)

    @property
    def mean_recall(self) -> Curve:
        """Mean recall (K,) over the classes with objects."""
        return _mean(self.recall, axis=0)

    @property
    def mean_f1(self) -> Curve:
        """Mean F1 (K,) over the classes with objects."""
        return _mean(self.f1, axis=0)

    @property
    def best(self) -> tuple[float, float]:
        """Confidence with the highest mean F1, and that F1; NaN without objects.

        The middle one, if several adjacent confidences are equally good.
        """
        mean = self.mean_f1
        if np.isnan(mean).all():
            return math.nan, math.nan
        top = float(np.nanmax(mean))
        first = int(np.nanargmax(mean))
        equal = mean[first:] >= top - 1e-12
        length = int(np.argmin(equal)) if not equal.all() else len(equal)
        return float(CONFIDENCES[first + (length - 1) // 2]), top


def confidence_curves(
    images: Sequence[LabelledImage], detections: Mapping[int | str, Detections], names: Sequence[str]
) -> ConfidenceCurves:
    """Precision, recall and F1 of each class against confidence.

    Detections, by image id, are matched within their class, as in the COCO protocol; those on crowds do not
    count. Images without an entry are left out.
    """
    scores, labels, right = [np.zeros(0, np.float32)], [np.zeros(0, np.int64)], [np.zeros(0, np.bool_)]
    objects = np.zeros(len(names), np.int64)
    for image, found in evaluated(images, detections):
        taken = match(image, found)
        counted = taken != IGNORED
        scores.append(found.scores[counted])
        labels.append(found.labels[counted])
        right.append(taken[counted] >= 0)
        objects += np.bincount(image.labels[~image.crowds], minlength=len(names))
    all_scores, all_labels, all_right = np.concatenate(scores), np.concatenate(labels), np.concatenate(right)
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
        precision=precision,
        recall=right_count / truth,
        f1=2 * right_count / (found_count + truth),
    )


def _count_above(scores: npt.NDArray[np.float32]) -> Curve:
    """Number of scores above each confidence, (K,)."""
    ordered = np.sort(scores.astype(np.float64))
    return len(ordered) - np.searchsorted(ordered, CONFIDENCES, side="right").astype(np.float64)


def _mean(values: Curve, axis: int) -> Curve:
    """Mean of the values that are not NaN; NaN if all are."""
    known = ~np.isnan(values)
    count = known.sum(axis=axis)
    total = np.where(known, values, 0).sum(axis=axis)
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
