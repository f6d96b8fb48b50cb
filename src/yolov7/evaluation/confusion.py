"""What objects were taken for: truth against detection, with the background as a class of its own."""

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
    """So many objects of one class that were taken for another; `share` of the class's objects."""

    truth: str
    found: str
    count: int
    share: float


@dataclass(frozen=True, eq=False)
class ConfusionMatrix:
    """How often an object of a class was found as another.

    Attributes:
        names: class names by label, C of them.
        counts: int64 (C + 1, C + 1): rows are the truth, columns what was found; the last row is background
            that was taken for an object, the last column objects that were missed.
    """

    names: tuple[str, ...]
    counts: IntArray

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of rows and columns, the background last."""
        return (*self.names, BACKGROUND)

    @property
    def shares(self) -> npt.NDArray[np.float64]:
        """Each row as fractions of its sum; rows of nothing are 0."""
        total = self.counts.sum(axis=1, keepdims=True)
        return self.counts / np.maximum(total, 1)

    def most_frequent(self, limit: int = 10) -> list[Confusion]:
        """Classes that are taken for one another, most frequent first; the background left out."""
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
    """Count what became of every object and every detection; crowds and detections on them are left out."""
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
