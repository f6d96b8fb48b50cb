"""The backbone: an image to one feature map per level."""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn

from yolov7.models.architecture import Architecture
from yolov7.models.blocks import ConvBNAct, ReOrg, given_width


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
            down = stage.down(width, stage.down_width, architecture.activation)
            fan_in = given_width(stage.down, stage.down_width)
            block = stage.block.build(fan_in, architecture.activation, architecture.cardinality)
            self.stages.append(nn.Sequential(OrderedDict(down=down, block=block)))  # halves height and width
            width = stage.block.width

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        x = self.stem(images)
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return tuple(features[-self.levels :])
