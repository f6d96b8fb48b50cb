"""Artefacts that suppress by themselves, run through the same protocol as those that do not."""

from __future__ import annotations

from abc import abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor

from yolov7.boxes import xyxy_to_cxcywh
from yolov7.inference.backend import Backend
from yolov7.layout import OBJECTNESS, RowLayout
from yolov7.nms import ScoredBoxes, non_max_suppression
from yolov7.runtimes.description import Description
from yolov7.runtimes.runtime import ArtefactBackend
from yolov7.types import Image

MAX_DETECTIONS = 300
"""Of an image, as prediction has it."""
CONF, IOU = 0.25, 0.45
"""Prediction's thresholds, for artefacts that are asked for no others."""


class SuppressingBackend(ArtefactBackend):
    """A network with suppression inside. Its detections become rows, which a second suppression leaves alone.

    A row has the detection's box, its score as objectness, and one class with probability 1. So each is a
    candidate of one class only, and what the artefact's own IoU threshold suppressed is gone: for evaluation,
    which looks at several classes of a row, a network without suppression is better.
    """

    def infer(self, images: Tensor) -> Tensor:
        return _as_rows(*self.detect(images, CONF), self.layout)

    def infer_above(self, images: Tensor, objectness: float) -> tuple[Tensor, ...]:
        found = _as_rows(*self.detect(images, objectness), self.layout)
        return tuple(rows[rows[:, OBJECTNESS] > objectness] for rows in found)

    @abstractmethod
    def detect(self, images: Tensor, conf: float) -> tuple[Tensor, Tensor, Tensor]:
        """Images (B, 3, H, W), uint8 or float in [0, 1] -> what scores higher than ``conf``.

        Returns:
            Boxes float32 (B, K, 4) ``xyxy`` in pixels of the images, scores float32 (B, K), labels int64
            (B, K); where an image has less than K, scores of 0 fill up.
        """


class EndToEndBackend(SuppressingBackend):
    """An artefact with the letterbox inside too.

    As a backend it is given what needs none: squares of its own size. It would scale anything else again.
    """

    def __init__(self, description: Description) -> None:
        super().__init__(description)
        self.shape = description.size, description.size

    @abstractmethod
    def detect_in(self, image: Image, conf: float) -> ScoredBoxes:
        """What scores higher than ``conf`` in an image of any size, uint8 (H, W, 3), in its pixels."""


class Suppressed:
    """Any network with the suppression that such artefacts have inside: what they are to be compared with.

    Args:
        backend: what runs the network.
    """

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.stride, self.layout, self.shape = backend.stride, backend.layout, backend.shape
        self.variant, self.runtime = backend.variant, backend.runtime

    def __call__(self, images: Tensor, objectness: float) -> tuple[Tensor, ...]:
        rows = self.backend(images, objectness)
        found = non_max_suppression(rows, max(0, objectness), IOU, max_detections=MAX_DETECTIONS)
        return tuple(_as_rows(*one, self.layout) for one in found)


def _as_rows(boxes: Tensor, scores: Tensor, labels: Tensor, layout: RowLayout) -> Tensor:
    """(..., K, 4), (..., K), (..., K) -> (..., K, 5 + C)"""
    one_hot = F.one_hot(labels, layout.classes).to(scores.dtype)
    return torch.cat((xyxy_to_cxcywh(boxes), scores.unsqueeze(-1), one_hot), dim=-1)
