"""The alternative that ours is timed against: plain eager torch in its default memory format.

It does what everybody writes with torch operators alone: decode every row, keep those above the confidence
threshold, shift the boxes of each class to a place of its own, and suppress by one matrix of overlaps.
"""

from __future__ import annotations

import torch
from torch import Tensor

from yolov7.boxes import cxcywh_to_xyxy
from yolov7.models.detector import Detector, fuse

SHIFT = 8192.0
"""Pixels between the boxes of different classes."""


class PlainDetector:
    """A fused network in float16 (float32 on a processor), contiguous tensors, launched kernel by kernel."""

    def __init__(self, model: Detector, device: torch.device) -> None:
        self.device = device
        self.dtype = torch.float16 if device.type == "cuda" else torch.float32
        self.model = fuse(model).to(device, self.dtype)
        self.anchors = model.anchors.to(device, torch.float32)
        self.strides = model.strides

    @torch.inference_mode()
    def network(self, images: Tensor) -> tuple[Tensor, ...]:
        """Logits of each level, from uint8 images (B, 3, H, W) on any device."""
        return tuple(self.model(images.to(self.device).to(self.dtype) / 255).lead)

    @torch.inference_mode()
    def __call__(self, images: Tensor, conf: float = 0.25, iou: float = 0.45) -> list[Tensor]:
        """Boxes, score and class of each image, (n, 6) on the device."""
        rows = torch.cat(
            [
                self._decode(*level)
                for level in zip(self.network(images), self.strides, self.anchors, strict=True)
            ],
            dim=1,
        )
        return [self._suppress(image, conf, iou) for image in rows]

    def _decode(self, logits: Tensor, stride: int, anchors: Tensor) -> Tensor:
        batch, _, height, width, channels = logits.shape
        s = logits.float().sigmoid()
        y, x = torch.meshgrid(
            torch.arange(height, device=s.device), torch.arange(width, device=s.device), indexing="ij"
        )
        s[..., :2] = (2 * s[..., :2] - 0.5 + torch.stack((x, y), -1)) * stride
        s[..., 2:4] = (2 * s[..., 2:4]) ** 2 * anchors[:, None, None]
        return s.reshape(batch, -1, channels)

    def _suppress(self, rows: Tensor, conf: float, iou: float) -> Tensor:
        rows = rows[rows[:, 4] > conf]
        scores, labels = (rows[:, 5:] * rows[:, 4:5]).max(1)
        keep = scores > conf
        order = scores[keep].argsort(descending=True)[:30_000]
        boxes, scores, labels = (part[keep][order] for part in (cxcywh_to_xyxy(rows[:, :4]), scores, labels))
        kept = _greedy(boxes + SHIFT * labels[:, None], iou)[:300]
        return torch.cat((boxes[kept], scores[kept, None], labels[kept, None]), 1)


def _greedy(boxes: Tensor, iou: float) -> Tensor:
    """Indices of the boxes (N, 4), best first, that survive: repeated products with one matrix."""
    top_left = torch.maximum(boxes[:, None, :2], boxes[None, :, :2])
    bottom_right = torch.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    shared = (bottom_right - top_left).clamp_min(0).prod(2)
    area = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    suppresses = (shared / (area[:, None] + area - shared) > iou).triu(1).float()
    kept = torch.ones(len(boxes), device=boxes.device)
    while True:  # each round settles at least one more box
        new = (kept @ suppresses == 0).float()
        if torch.equal(new, kept):
            return kept.nonzero()[:, 0]
        kept = new
