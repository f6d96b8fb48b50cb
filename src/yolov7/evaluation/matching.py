"""Which detection stands for which object: the greedy matching that curves, confusions and mistakes share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from yolov7.boxes import area, intersection, pairwise_iou
from yolov7.data.labels import LabelledImage
from yolov7.types import Detections, IntArray

UNMATCHED = -1
"""The detection stands for no object: it is false."""
IGNORED = -2
"""The detection lies on a group (crowd) of its class: neither right nor false."""


def match(
    image: LabelledImage, detections: Detections, *, iou: float = 0.5, across_classes: bool = False
) -> IntArray:
    """The object that each detection takes: int64 (N,), an index, UNMATCHED or IGNORED.

    Best score first, each detection takes the free object that it overlaps most, if by `iou` at least. As in
    the COCO protocol, a detection left over is ignored where `iou` of its own area lies on a crowd.

    Args:
        image: the ground truth.
        detections: pixels of the image, labels of the data set.
        iou: overlap from which a detection can stand for an object.
        across_classes: objects of other classes may be taken too, where none of the detection's own is free.
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
            # Of equal ones the last, as pycocotools has it.
            best = options[::-1][preference[index, options[::-1]].argmax()]
            taken[index], free[best] = best, False
    if image.crowds.any():
        inside = intersection(found[:, None], truth) >= iou * area(found)[:, None].clamp(min=1e-9)
        on_crowd = (inside.numpy() & same & image.crowds).any(axis=1)
        taken[(taken == UNMATCHED) & on_crowd] = IGNORED
    return taken


def as_shown(detections: Detections, conf: float) -> Detections:
    """What a person would see: scores above `conf`, and of a box with several classes the best only."""
    shown = detections[detections.scores > conf]
    shown = shown[np.argsort(-shown.scores, kind="stable")]
    _, first = np.unique(shown.boxes, axis=0, return_index=True)
    return shown[np.sort(first)]


@dataclass(frozen=True, eq=False)
class Judgement:
    """One image: what was right, taken for something else, invented, or missed.

    Attributes:
        image: the ground truth.
        detections: those that a person would see, best first.
        target: (N,) the object that each detection takes, whatever its class; UNMATCHED or IGNORED.
    """

    image: LabelledImage
    detections: Detections
    target: IntArray

    @property
    def right(self) -> npt.NDArray[np.bool_]:
        """Detections on an object of their class, (N,)."""
        return (self.target >= 0) & ~self.confused

    @property
    def confused(self) -> npt.NDArray[np.bool_]:
        """Detections on an object of another class, (N,)."""
        if not len(self.image):
            return np.zeros(len(self.target), np.bool_)
        other: npt.NDArray[np.bool_] = self.image.labels[self.target] != self.detections.labels
        return other & (self.target >= 0)

    @property
    def false(self) -> npt.NDArray[np.bool_]:
        """Detections on no object, (N,)."""
        return np.equal(self.target, UNMATCHED)

    @property
    def missed(self) -> npt.NDArray[np.bool_]:
        """Objects that no detection takes, (M,); crowds are none."""
        missed = ~self.image.crowds
        missed[self.target[self.target >= 0]] = False
        return missed

    @property
    def cost(self) -> float:
        """A missed object costs 1, a false detection its score, an object taken for another both."""
        wrong = self.false | self.confused
        return float(self.missed.sum() + self.confused.sum() + self.detections.scores[wrong].sum())


def judge(
    images: Sequence[LabelledImage],
    detections: Mapping[int | str, Detections],
    *,
    conf: float = 0.25,
    iou: float = 0.5,
) -> list[Judgement]:
    """Each image that has detections (images that could not be read have none), in the given order."""
    judgements = []
    for image, found in evaluated(images, detections):
        shown = as_shown(found, conf)
        judgements.append(Judgement(image, shown, match(image, shown, iou=iou, across_classes=True)))
    return judgements


def evaluated(
    images: Sequence[LabelledImage], detections: Mapping[int | str, Detections]
) -> Iterator[tuple[LabelledImage, Detections]]:
    """The images that were evaluated, with what was found in them."""
    for image in images:
        found = detections.get(image.image_id)
        if found is not None:
            yield image, found
