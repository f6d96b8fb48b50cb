"""Parts of a user's own: what a module beside a user's script would hold."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor, nn

from yolov7.assign.guidance import coarse
from yolov7.losses.detection import DetectionLoss, Losses
from yolov7.models.architecture import YOLOV7_TINY, Architecture, scale
from yolov7.models.blocks import Activation, TinyELAN, silu
from yolov7.models.decode import HeadOutput
from yolov7.types import Assignment, Predictions, Targets


class Gated(TinyELAN):
    """A TinyELAN whose channels are weighed by a gate."""

    def __init__(
        self, in_channels: int, out_channels: int, branch: int, depth: int, activation: Activation = silu
    ) -> None:
        super().__init__(in_channels, out_channels, branch, depth, activation)
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(out_channels, out_channels, 1), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        weight: Tensor = self.gate(y)
        return y * weight


class TwiceTheLoss(DetectionLoss):
    """The usual loss, doubled."""

    def __call__(
        self, predictions: Predictions, assignments: tuple[Assignment, Assignment | None], targets: Targets
    ) -> Losses:
        losses = super().__call__(predictions, assignments, targets)
        return replace(losses, total=2 * losses.total)


def coarse_to_coarse(lead: HeadOutput, aux: HeadOutput, targets: Targets) -> tuple[Assignment, Assignment]:
    """Coarse labels for both heads."""
    labels = coarse(lead, targets)
    return labels, labels


def gated(name: str = "gated") -> Architecture:
    """A small network of gated blocks, with auxiliary heads."""
    small = scale(YOLOV7_TINY, width=0.25, branch=0.25)
    neck = tuple(replace(block, kind=Gated) for block in small.neck)
    return replace(small, name=name, neck=neck, auxiliary=small.outputs)
