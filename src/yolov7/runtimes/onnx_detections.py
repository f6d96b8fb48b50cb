"""ONNX with more in the graph than the network: suppression, or everything from an image's bytes to boxes.

    onnx-nms         images float32 (B, 3, H, W) in [0, 1] ─────────────> network ─> suppression
    onnx-end-to-end  images uint8 (B, H, W, 3), any size ───> letterbox ─> network ─> suppression ─> way back

    -> boxes float32 (B, 300, 4) xyxy in pixels of the images
       scores float32 (B, 300), best first
       labels int64 (B, 300)
       counts int64 (B,): how many of the 300 are there, the rest is 0

The thresholds ``conf`` and ``iou`` are inputs with defaults: ``session.run(None, {"images": images})`` does,
and so does ``{"images": images, "conf": np.array(0.5, np.float32)}``. So is ``margin``, the pixels by which
boxes of the latter may reach out of their image: 0.
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
from yolov7.runtimes.onnx import INPUT, OUTPUT, Onnx, SessionBackend, network_graph, save
from yolov7.runtimes.onnx_graphs import joined, letterbox_graph, suppression_graph, way_back_graph
from yolov7.runtimes.runtime import to_float_array
from yolov7.runtimes.suppressed import EndToEndBackend, SuppressingBackend
from yolov7.types import Image

OUTPUTS = ("boxes", "scores", "labels", "counts")


class OnnxNmsBackend(SessionBackend, SuppressingBackend):
    """The network with suppression."""

    def detect(self, images: Tensor, conf: float) -> tuple[Tensor, Tensor, Tensor]:
        return self.run({INPUT: to_float_array(images)}, conf)

    def run(self, inputs: dict[str, Any], conf: float) -> tuple[Tensor, Tensor, Tensor]:
        """What the graph finds; a score of 0 is none, whatever is asked for."""
        threshold = np.array(max(0, conf), np.float32)
        found = self.outputs(OUTPUTS[:3], {**inputs, "conf": threshold})
        boxes, scores, labels = map(torch.from_numpy, found)
        return boxes, scores, labels


class OnnxEndToEndBackend(OnnxNmsBackend, EndToEndBackend):
    """The whole graph, given images that are letterboxed already: those its letterbox leaves as they are."""

    def detect(self, images: Tensor, conf: float) -> tuple[Tensor, Tensor, Tensor]:
        if images.dtype != torch.uint8:
            images = (images * 255).round().clamp(0, 255).to(torch.uint8)
        pixels = images.permute(0, 2, 3, 1).contiguous().numpy()
        # Clipped boxes overlap more than whole ones: the next suppression would drop some.
        return self.run({INPUT: pixels, "margin": np.array(np.inf, np.float32)}, conf)

    def detect_in(self, image: Image, conf: float) -> ScoredBoxes:
        boxes, scores, labels = self.run({INPUT: image[np.newaxis]}, conf)
        there = scores[0] > 0
        return ScoredBoxes(boxes[0][there], scores[0][there], labels[0][there])


class OnnxNms(Onnx):
    """The network with suppression: exactly that of prediction, of at most 300 detections an image."""

    name, suffix = "onnx-nms", ".nms.onnx"
    backend = OnnxNmsBackend

    def write(self, checkpoint: Checkpoint, path: Path, options: ExportOptions) -> None:
        description = Description.of(checkpoint, self.name, options)
        network = network_graph(checkpoint, description)
        batch = None if description.shape is None else description.shape[0]
        suppression = suppression_graph(description.layout, network, batch=batch)
        save(joined(network, suppression, {OUTPUT: "rows"}, OUTPUTS), description, path)


class OnnxEndToEnd(Onnx):
    """Images as they come, in; boxes in their pixels, out. It takes any batch of images of one size."""

    name, suffix = "onnx-end-to-end", ".end-to-end.onnx"
    backend = OnnxEndToEndBackend

    def write(self, checkpoint: Checkpoint, path: Path, options: ExportOptions) -> None:
        import onnx

        description = Description.of(checkpoint, self.name, replace(options, dynamic=True))
        network = network_graph(checkpoint, description)
        letterbox = letterbox_graph(description.size, description.strides[-1], network)
        letterbox = onnx.compose.add_prefix(letterbox, "letterbox/", rename_inputs=False)
        network = onnx.compose.add_prefix(network, "network/")
        suppression = suppression_graph(description.layout, network, boxes="letterboxed_boxes")
        way_back = way_back_graph(network)
        model = joined(letterbox, network, {"letterbox/letterboxed": f"network/{INPUT}"})
        model = joined(model, suppression, {f"network/{OUTPUT}": "rows"})
        way = {
            "letterboxed_boxes": "letterboxed_boxes",
            "letterbox/scale": "scale",
            "letterbox/limit": "limit",
        }
        save(joined(model, way_back, way, OUTPUTS), description, path)
