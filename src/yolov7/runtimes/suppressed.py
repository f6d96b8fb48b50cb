"""Artefacts with NMS inside, run through the same protocol as those without."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor

from yolov7.boxes import xyxy_to_cxcywh
from yolov7.inference.backend import Backend
from yolov7.layout import OBJECTNESS, RowLayout
from yolov7.nms import non_max_suppression
from yolov7.runtimes.runtime import ArtefactBackend
from yolov7.thresholds import PREDICTION


class SuppressingBackend(ArtefactBackend, ABC):
    """A network with NMS inside. Its detections become rows, which the caller's NMS leaves unchanged.

    A row has the detection's box, its score as objectness, and one class with probability 1. Boxes below the
    artefact's own IoU threshold and the other classes of a row are gone, which costs AP in evaluation.
    """

    def infer_above(self, images: Tensor, objectness: float) -> tuple[Tensor, ...]:
        found = _as_rows(*self.detect(images, objectness), self.layout)
        return tuple(rows[rows[:, OBJECTNESS] > objectness] for rows in found)

    @abstractmethod
    def detect(self, images: Tensor, conf: float) -> tuple[Tensor, Tensor, Tensor]:
        """Detect in images (B, 3, H, W), uint8 or float in [0, 1].

        Returns:
            Boxes float32 (B, K, 4) ``xyxy`` in pixels of the images, scores float32 (B, K) above ``conf``,
            labels int64 (B, K). An image with fewer than K detections is filled up with scores of 0.
        """


class Suppressed:
    """A network followed by the NMS of such artefacts: their reference."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.stride, self.layout, self.shape = backend.stride, backend.layout, backend.shape
        self.variant, self.runtime = backend.variant, backend.runtime

    def __call__(self, images: Tensor, objectness: float) -> tuple[Tensor, ...]:
        rows = self.backend(images, objectness)
        found = non_max_suppression(rows, max(0, objectness), PREDICTION.iou)
        return tuple(_as_rows(*one, self.layout) for one in found)


def _as_rows(boxes: Tensor, scores: Tensor, labels: Tensor, layout: RowLayout) -> Tensor:
    """(..., K, 4), (..., K), (..., K) -> (..., K, 5 + C)"""
    one_hot = F.one_hot(labels, layout.classes).to(scores.dtype)
    return torch.cat((xyxy_to_cxcywh(boxes), scores.unsqueeze(-1), one_hot), dim=-1)
