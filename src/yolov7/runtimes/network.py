"""The deployed network as one function of images, in the two forms that converters read."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from yolov7.models.detector import Detector, fuse
from yolov7.quiet import no_warnings
from yolov7.runtimes.description import Description

INPUT, OUTPUT = "images", "rows"
"""Names of the network's input and output, in formats that have names."""


class RowNetwork(nn.Module):
    """Images (B, 3, H, W) in [0, 1] -> rows (B, N, 5 + C): cx, cy, w, h in pixels, then probabilities.

    The model, of any form, is copied and fused. With `half`, convolutions are in float16; images, rows and
    the decoding of boxes stay in float32: 16 bits would place boxes on a grid of whole pixels.
    """

    def __init__(self, model: Detector, *, half: bool = False) -> None:
        super().__init__()
        self.dtype = torch.float16 if half else torch.float32
        self.model = fuse(model).to(self.dtype).requires_grad_(False)
        self.model.anchors = model.anchors.detach().float()

    def forward(self, images: Tensor) -> Tensor:
        return self.model.decode(self.model(images.to(self.dtype)))


class LogitNetwork(nn.Module):
    """Images (B, 3, H, W) in [0, 1] -> logits (B, A (5 + C), H, W) of each level, to be decoded outside."""

    def __init__(self, model: Detector) -> None:
        super().__init__()
        self.model = fuse(model).float().requires_grad_(False)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        return tuple(logits.permute(0, 1, 4, 2, 3).flatten(1, 2) for logits in self.model(images).lead)


def traced(network: nn.Module, images: Tensor) -> Any:
    """Trace a network to TorchScript, which takes any batch and any sides that are multiples of the stride.

    Its successor, torch.export, needs ten times as long for dynamic shapes, and pnnx prefers TorchScript.
    """
    # It is deprecated; and the check of the input's sides becomes a constant, which is fine: backends check.
    with no_warnings(), torch.inference_mode():
        return torch.jit.trace(network, (images,), check_trace=False)


def exported(network: nn.Module, description: Description) -> ExportedProgram:
    """Export a network to a program of torch.export, for one shape or for all that the network takes."""
    stride, shapes = description.strides[-1], None
    # Two images and two different sides: torch treats sizes that are 1, or equal, as constants.
    batch, height, width = description.shape or (2, 4 * stride, 5 * stride)
    if description.shape is None:
        any_batch, rows, columns = (Dim(name, min=1, max=1024) for name in ("batch", "rows", "columns"))
        shapes = {"images": {0: any_batch, 2: stride * rows, 3: stride * columns}}
    with no_warnings(), torch.no_grad():  # about torch's own internals
        return torch.export.export(network, (torch.zeros(batch, 3, height, width),), dynamic_shapes=shapes)
