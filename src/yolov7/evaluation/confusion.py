"""Confusion matrix: true against predicted classes, with the background as a further class."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from yolov7.evaluation.matching import Judgement
from yolov7.types import IntArray

BACKGROUND = "background"


@dataclass(frozen=True)
class Confusion:
    """Objects of one class that were detected as another.

    Attributes:
        truth: true class.
        found: predicted class.
        count: number of such objects.
        share: fraction of the true class's objects.
    """

    truth: str
    found: str
    count: int
    share: float


@dataclass(frozen=True, eq=False)
class ConfusionMatrix:
    """Counts of true and predicted classes.

    Attributes:
        names: names of the C classes, by label.
        counts: int64 (C + 1, C + 1): true class by predicted class; the last row counts false detections on
            the background, the last column missed objects.
    """

    names: tuple[str, ...]
    counts: IntArray

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of rows and columns, the background last."""
        return (*self.names, BACKGROUND)

    @property
    def shares(self) -> npt.NDArray[np.float64]:
        """Counts divided by the sum of their row; 0 in empty rows."""
        total = self.counts.sum(axis=1, keepdims=True)
        return self.counts / np.maximum(total, 1)

    def most_frequent(self, limit: int = 10) -> list[Confusion]:
        """Most frequent confusions of two classes, without the background."""
        between = self.counts[:-1, :-1].copy()
        np.fill_diagonal(between, 0)
        order = np.argsort(-between, axis=None, kind="stable")[:limit]
        shares = self.shares
        pairs = [(int(i), int(j)) for i, j in zip(*np.unravel_index(order, between.shape), strict=True)]
        return [
            Confusion(self.names[i], self.names[j], int(between[i, j]), float(shares[i, j]))
            for i, j in pairs
            if between[i, j]
        ]


def confusion_matrix(judgements: Iterable[Judgement], names: Sequence[str]) -> ConfusionMatrix:
    """Count all objects and detections, except crowds and detections on them."""
    background = len(names)
    truth: list[IntArray] = []
    found: list[IntArray] = []
    for judgement in judgements:
        labels, shown = judgement.image.labels, judgement.detections.labels
        matched, false = judgement.target >= 0, judgement.false
        missed = labels[judgement.missed]
        truth += [labels[judgement.target[matched]], missed, np.full(int(false.sum()), background)]
        found += [shown[matched], np.full(len(missed), background), shown[false]]
    counts = np.zeros((background + 1, background + 1), np.int64)
    if truth:
        np.add.at(counts, (np.concatenate(truth), np.concatenate(found)), 1)
    return ConfusionMatrix(tuple(names), counts)
