"""Greedy matching of detections to objects, for confidence curves, confusion matrix and worst images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from yolov7.boxes import area, intersection, pairwise_iou
from yolov7.data.labels import LabelledImage
from yolov7.types import Detections, IntArray

UNMATCHED = -1
"""Target of a false detection, which has no object."""
IGNORED = -2
"""Target of a detection on a crowd of its class, which is neither right nor false."""


def match(
    image: LabelledImage, detections: Detections, *, iou: float = 0.5, across_classes: bool = False
) -> IntArray:
    """Match detections to objects: index of each detection's object, UNMATCHED or IGNORED; int64 (N,).

    By descending score, each detection takes the free object with the highest IoU. As in the COCO
    protocol, an unmatched detection is ignored if a fraction `iou` of its area lies on a crowd of its class.

    Args:
        image: ground truth.
        detections: detections in pixels of the image, with labels of the data set.
        iou: lowest IoU of a detection with its object.
        across_classes: True to match objects of other classes if no object of its own class is free.
    """
    taken = np.full(len(detections), UNMATCHED, np.int64)
    if not len(detections) or not len(image):
        return taken
    found = torch.from_numpy(detections.boxes).double()
    truth = torch.from_numpy(image.boxes).double()
    overlap = pairwise_iou(found, truth).numpy()
    same = detections.labels[:, None] == image.labels
    eligible = (overlap >= iou) & ~image.crowds
    eligible &= same | across_classes
    preference = overlap + same
    free = np.ones(len(image), np.bool_)
    for index in np.argsort(-detections.scores, kind="stable"):
        options = np.flatnonzero(eligible[index] & free)
        if options.size:
            # The last of equal IoUs, as in pycocotools.
            best = options[::-1][preference[index, options[::-1]].argmax()]
            taken[index], free[best] = best, False
    if image.crowds.any():
        inside = intersection(found[:, None], truth) >= iou * area(found)[:, None].clamp(min=1e-9)
        on_crowd = (inside.numpy() & same & image.crowds).any(axis=1)
        taken[(taken == UNMATCHED) & on_crowd] = IGNORED
    return taken


def as_shown(detections: Detections, conf: float) -> Detections:
    """Detections with a score above `conf`, best first, and only the best class of each box."""
    shown = detections[detections.scores > conf]
    shown = shown[np.argsort(-shown.scores, kind="stable")]
    _, first = np.unique(shown.boxes, axis=0, return_index=True)
    return shown[np.sort(first)]


@dataclass(frozen=True, eq=False)
class Judgement:
    """Right, confused, false and missed boxes of an image.

    Attributes:
        image: ground truth.
        detections: detections above a confidence, best first: :func:`as_shown`.
        target: (N,) index of each detection's object, of any class; UNMATCHED or IGNORED.
    """

    image: LabelledImage
    detections: Detections
    target: IntArray

    @property
    def right(self) -> npt.NDArray[np.bool_]:
        """Mask (N,) of detections on an object of their class."""
        return (self.target >= 0) & ~self.confused

    @property
    def confused(self) -> npt.NDArray[np.bool_]:
        """Mask (N,) of detections on an object of another class."""
        if not len(self.image):
            return np.zeros(len(self.target), np.bool_)
        other: npt.NDArray[np.bool_] = self.image.labels[self.target] != self.detections.labels
        return other & (self.target >= 0)

    @property
    def false(self) -> npt.NDArray[np.bool_]:
        """Mask (N,) of detections without an object."""
        return np.equal(self.target, UNMATCHED)

    @property
    def missed(self) -> npt.NDArray[np.bool_]:
        """Mask (M,) of objects without a detection, except crowds."""
        missed = ~self.image.crowds
        missed[self.target[self.target >= 0]] = False
        return missed

    @property
    def cost(self) -> float:
        """Badness: 1 per missed object, the score per false detection, both per confusion."""
        wrong = self.false | self.confused
        return float(self.missed.sum() + self.confused.sum() + self.detections.scores[wrong].sum())


def judge(
    images: Sequence[LabelledImage], detections: Mapping[int | str, Detections], *, conf: float = 0.25
) -> list[Judgement]:
    """Judge each image with an entry in `detections`, in order; images that could not be read have none.

    Detections are matched to objects by an IoU of 0.5.
    """
    judgements = []
    for image, found in evaluated(images, detections):
        shown = as_shown(found, conf)
        judgements.append(Judgement(image, shown, match(image, shown, across_classes=True)))
    return judgements


def evaluated(
    images: Sequence[LabelledImage], detections: Mapping[int | str, Detections]
) -> list[tuple[LabelledImage, Detections]]:
    """Each evaluated image with its detections."""
    return [(image, detections[image.image_id]) for image in images if image.image_id in detections]
