"""The backbone: an image to one feature map per level."""

from __future__ import annotations

from torch import Tensor, nn

from yolov7.models.architecture import Architecture, Stage
from yolov7.models.blocks import Activation, ConvBNAct, ReOrg, given_width


class BackboneStage(nn.Module):
    """Transition and computational block: (B, in_channels, H, W) -> (B, block.width, H/2, W/2)."""

    def __init__(self, stage: Stage, in_channels: int, activation: Activation, cardinality: int) -> None:
        super().__init__()
        self.down = stage.down(in_channels, stage.down_width, activation)
        self.block = stage.block.build(given_width(stage.down, stage.down_width), activation, cardinality)

    def forward(self, x: Tensor) -> Tensor:
        return self.block(self.down(x))


class Backbone(nn.Module):
    """image ─ (ReOrg) ─ stem ─ stage ─ stage (P3) ─ stage (P4) ─ ...

    Images (B, 3, H, W) in [0, 1] -> feature maps (B, C, H/s, W/s) of strides s = 8, 16, 32 (and 64).
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.levels = len(architecture.neck)
        stem: list[nn.Module] = [ReOrg()] if architecture.reorg else []
        width = 12 if architecture.reorg else 3
        for out_width, stride in architecture.stem:
            stem.append(ConvBNAct(width, out_width, 3, stride, architecture.activation))
            width = out_width
        self.stem = nn.Sequential(*stem)
        self.stages = nn.ModuleList()
        for stage in architecture.stages:
            self.stages.append(BackboneStage(stage, width, architecture.activation, architecture.cardinality))
            width = stage.block.width

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        x = self.stem(images)
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return tuple(features[-self.levels :])
