"""ONNX with more in the graph than the network: NMS, or everything from an image's bytes to boxes.

    onnx-nms         images float32 (B, 3, H, W) in [0, 1] ─────────────> network ─> NMS
    onnx-end-to-end  images uint8 (B, H, W, 3), any size ───> letterbox ─> network ─> NMS ─> way back

    -> boxes float32 (B, 300, 4) xyxy in pixels of the images
       scores float32 (B, 300), best first
       labels int64 (B, 300)
       counts int64 (B,): number of detections; the rest of the 300 is 0

The thresholds ``conf`` and ``iou`` are inputs with defaults: ``session.run(None, {"images": images})`` works,
and so does ``{"images": images, "conf": np.array(0.5, np.float32)}``. onnx-end-to-end also has ``margin``,
the pixels by which boxes may extend beyond their image, 0 by default.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from yolov7.checkpoints.checkpoint import Checkpoint
from yolov7.nms import ScoredBoxes
from yolov7.runtimes.description import Description, ExportOptions
from yolov7.runtimes.network import INPUT, OUTPUT
from yolov7.runtimes.onnx import Onnx, SessionBackend, network_graph, save
from yolov7.runtimes.onnx_graphs import joined, letterbox_graph, suppression_graph, way_back_graph
from yolov7.runtimes.runtime import to_float_array
from yolov7.runtimes.suppressed import SuppressingBackend
from yolov7.types import Image

OUTPUTS = ("boxes", "scores", "labels", "counts")


class OnnxNmsBackend(SessionBackend, SuppressingBackend):
    """The network with NMS."""

    def detect(self, images: Tensor, conf: float) -> tuple[Tensor, Tensor, Tensor]:
        return self.run({INPUT: to_float_array(images)}, conf)

    def run(self, inputs: dict[str, Any], conf: float) -> tuple[Tensor, Tensor, Tensor]:
        """Boxes (B, 300, 4), scores and labels (B, 300) above a threshold, which is at least 0."""
        threshold = np.array(max(0, conf), np.float32)
        found = self.outputs(OUTPUTS[:3], {**inputs, "conf": threshold})
        boxes, scores, labels = map(torch.from_numpy, found)
        return boxes, scores, labels


class OnnxEndToEndBackend(OnnxNmsBackend):
    """The whole graph. As a backend it gets squares of its own size, which its letterbox leaves unchanged."""

    def __init__(self, description: Description, path: Path, parallel: int) -> None:
        super().__init__(description, path, parallel)
        self.shape = description.size, description.size

    def detect(self, images: Tensor, conf: float) -> tuple[Tensor, Tensor, Tensor]:
        if images.dtype != torch.uint8:
            images = (images * 255).round().clamp(0, 255).to(torch.uint8)
        pixels = images.permute(0, 2, 3, 1).contiguous().numpy()
        # Without a margin boxes are clipped, overlap more, and the caller's NMS would drop some.
        return self.run({INPUT: pixels, "margin": np.array(np.inf, np.float32)}, conf)

    def detect_in(self, image: Image, conf: float) -> ScoredBoxes:
        """Detect in an image uint8 (H, W, 3) of any size; boxes are in its pixels, scores above ``conf``."""
        boxes, scores, labels = self.run({INPUT: image[np.newaxis]}, conf)
        there = scores[0] > 0
        return ScoredBoxes(boxes[0][there], scores[0][there], labels[0][there])


class OnnxNms(Onnx):
    """The network with NMS exactly as in prediction, at most 300 detections per image."""

    name, suffix = "onnx-nms", ".nms.onnx"
    backend = OnnxNmsBackend

    def write(self, checkpoint: Checkpoint, path: Path, options: ExportOptions) -> None:
        description = self.new_description(checkpoint, options)
        network = network_graph(checkpoint, description)
        batch = None if description.shape is None else description.shape[0]
        suppression = suppression_graph(description.layout, network, batch=batch)
        save(joined(network, suppression, {OUTPUT: "rows"}, OUTPUTS), description, path)


class OnnxEndToEnd(Onnx):
    """The whole path from images of any size, the same within a batch, to boxes in their pixels."""

    name, suffix = "onnx-end-to-end", ".end-to-end.onnx"
    backend = OnnxEndToEndBackend

    def write(self, checkpoint: Checkpoint, path: Path, options: ExportOptions) -> None:
        import onnx

        description = self.new_description(checkpoint, replace(options, dynamic=True))
        network = network_graph(checkpoint, description)
        letterbox = letterbox_graph(description.size, description.strides[-1], network)
        letterbox = onnx.compose.add_prefix(letterbox, "letterbox/", rename_inputs=False)
        network = onnx.compose.add_prefix(network, "network/")
        suppression = suppression_graph(description.layout, network, boxes="letterboxed_boxes")
        way_back = way_back_graph(network)
        model = joined(letterbox, network, {"letterbox/letterboxed": f"network/{INPUT}"})
        model = joined(model, suppression, {f"network/{OUTPUT}": "rows"})
        wires = {"letterbox/scale": "scale", "letterbox/limit": "limit"}
        model = joined(model, way_back, {"letterboxed_boxes": "letterboxed_boxes", **wires}, OUTPUTS)
        save(model, description, path)
