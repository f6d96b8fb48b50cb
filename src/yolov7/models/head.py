"""Prediction heads: one 1x1 convolution per level, with or without implicit knowledge.

Output channels are the columns of :class:`yolov7.layout.RowLayout`, anchor by anchor.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from yolov7.layout import OBJECTNESS, RowLayout


class PlainHead(nn.Module):
    """One 1x1 convolution with bias per level: an auxiliary head, or a deployed lead head.

    `widths` are the channels of each level's feature map; `anchors` is the number of anchors per level.
    """

    def __init__(self, widths: Sequence[int], anchors: int, classes: int) -> None:
        super().__init__()
        self.anchors, self.layout = anchors, RowLayout(classes)
        outputs = anchors * self.layout.size
        self.convs = nn.ModuleList(nn.Conv2d(width, outputs, 1) for width in widths)

    def forward(self, features: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Feature maps (B, width, H, W) -> logits (B, A, H, W, 5 + C), per level."""
        return tuple(self.by_anchor(self.level(i, feature)) for i, feature in enumerate(features))

    def level(self, index: int, feature: Tensor) -> Tensor:
        """One level: (B, width, H, W) -> (B, A (5 + C), H, W)."""
        return self.convs[index](feature)

    def by_anchor(self, channels: Tensor) -> Tensor:
        """(B, A (5 + C), H, W) -> (B, A, H, W, 5 + C), a view."""
        b, _, h, w = channels.shape
        return channels.view(b, self.anchors, self.layout.size, h, w).permute(0, 1, 3, 4, 2)

    @torch.no_grad()
    def initialize_biases(self, strides: Sequence[int]) -> None:
        """Set biases to a prior of rare objects: 8 per anchor and level at 640 pixels; classes sum to 0.6.

        The prior is added to the convolution's random bias, so that anchors still differ.

        Source: focal loss (RetinaNet), Sec. 3.3.
        """
        for conv, stride in zip(self.convs, strides, strict=True):
            assert isinstance(conv, nn.Conv2d)
            assert conv.bias is not None
            bias = conv.bias.view(self.anchors, self.layout.size)
            bias[:, OBJECTNESS] += math.log(8 / (640 / stride) ** 2)
            bias[:, self.layout.class_columns] += math.log(0.6 / (self.layout.classes - 0.99))


class ImplicitHead(PlainHead):
    """Lead head with implicit knowledge: a learned vector is added before, another multiplied after.

        feature ─ + implicit A ─ 1x1 ─ x implicit M ─ logits

    Paper: Sec. 4.3 (2), after YOLOR [81]. For inference the vectors fold into the convolution.
    """

    def __init__(self, widths: Sequence[int], anchors: int, classes: int) -> None:
        super().__init__(widths, anchors, classes)
        outputs = anchors * self.layout.size
        self.implicit_add = nn.ParameterList(torch.empty(1, width, 1, 1) for width in widths)
        self.implicit_multiply = nn.ParameterList(torch.empty(1, outputs, 1, 1) for _ in widths)
        if not self.implicit_add[0].is_meta:  # on meta, torch would spend a second loading its compiler
            for add, multiply in zip(self.implicit_add, self.implicit_multiply, strict=True):
                nn.init.normal_(add, mean=0.0, std=0.02)
                nn.init.normal_(multiply, mean=1.0, std=0.02)

    def level(self, index: int, feature: Tensor) -> Tensor:
        add: Tensor = self.implicit_add[index]
        multiply: Tensor = self.implicit_multiply[index]
        out: Tensor = self.convs[index](feature + add.to(feature.dtype))
        return out * multiply.to(out.dtype)  # under autocast, logits stay in 16 bits

    def fused(self) -> PlainHead:
        """Equivalent plain head: first bias += W a, then weight and bias are multiplied by m."""
        widths = [vector.shape[1] for vector in self.implicit_add]
        head = PlainHead(widths, self.anchors, self.layout.classes)
        for i, conv in enumerate(self.convs):
            assert isinstance(conv, nn.Conv2d)
            assert conv.bias is not None
            weight = conv.weight.double()
            add, multiply = self.implicit_add[i].double(), self.implicit_multiply[i].double().view(-1)
            bias = (conv.bias.double() + weight[:, :, 0, 0] @ add.view(-1)) * multiply
            plain = head.convs[i]
            plain.weight = nn.Parameter((weight * multiply[:, None, None, None]).to(conv.weight.dtype))
            plain.bias = nn.Parameter(bias.to(conv.weight.dtype))
        return head
