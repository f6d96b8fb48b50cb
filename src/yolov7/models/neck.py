"""The neck: a top-down path from coarse to fine, then a bottom-up path back.

P5 ─ pool ─ N5 ────────────────────────────────┐
             └─ 1x1, x2 ─┐                     │
P4 ────────────── 1x1 ─ [ ] ─ block ─ N4 ──┐   │
                              └─ ... ─┐    │   │
P3 ────────────────────────── 1x1 ─ [ ] ─ block ─ O3
                                           │   │  └─ down ─┐
                                           └───┼──────── [ ] ─ block ─ O4
                                               │                        └─ down ─┐
                                               └─────────────────────────────── [ ] ─ block ─ O5
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from yolov7.models.architecture import Architecture, Block
from yolov7.models.blocks import EELAN, ConvBNAct, given_width


class TopDown(nn.Module):
    """Step to a finer level: concat [1x1 of the backbone's map, upsampled 1x1 of the coarser map], block."""

    def __init__(
        self, architecture: Architecture, block: Block, coarse_width: int, lateral_width: int
    ) -> None:
        super().__init__()
        activation = architecture.activation
        self.reduce = ConvBNAct(coarse_width, block.width, activation=activation)
        self.lateral = ConvBNAct(lateral_width, block.width, activation=activation)
        self.block = block.build(2 * block.width, activation, architecture.cardinality)
        self.partial_auxiliary = architecture.partial_auxiliary

    def forward(self, coarse: Tensor, lateral: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the level's map, and the map for its auxiliary head."""
        up = F.interpolate(self.reduce(coarse), scale_factor=2.0, mode="nearest")
        x = torch.cat((self.lateral(lateral), up), dim=1)
        if self.partial_auxiliary and isinstance(self.block, EELAN):
            groups = self.block.expand(x)
            return self.block.merge(groups), groups[-1]
        out = self.block(x)
        return out, out


class BottomUp(nn.Module):
    """Step to a coarser level: concat [downsampled finer map, coarser map], block."""

    def __init__(self, architecture: Architecture, block: Block, fine_width: int) -> None:
        super().__init__()
        self.down = architecture.neck_down(fine_width, block.width, architecture.activation)
        width = given_width(architecture.neck_down, block.width) + block.width
        self.block = block.build(width, architecture.activation, architecture.cardinality)

    def forward(self, fine: Tensor, coarse: Tensor) -> Tensor:
        return self.block(torch.cat((self.down(fine), coarse), dim=1))


class Neck(nn.Module):
    """The neck: the backbone's maps -> maps for the lead and for the auxiliary head.

    Maps are (B, C, H/s, W/s), fine to coarse: for the lead head O3, O4, O5..., for the other O3, N4, N5...
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        blocks = architecture.neck
        laterals = [stage.block.width for stage in architecture.stages[-len(blocks) :]]
        self.pool = architecture.pool(laterals[-1], blocks[-1].width, architecture.activation)
        self.top_down = nn.ModuleList(
            TopDown(architecture, blocks[i], blocks[i + 1].width, laterals[i])
            for i in reversed(range(len(blocks) - 1))
        )
        self.bottom_up = nn.ModuleList(
            BottomUp(architecture, blocks[i], blocks[i - 1].width) for i in range(1, len(blocks))
        )

    def forward(self, features: Sequence[Tensor]) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        merged = [self.pool(features[-1])]  # coarse to fine: N5, N4, O3
        tapped = [merged[0]]
        for top_down, lateral in zip(self.top_down, features[-2::-1], strict=True):
            out, tap = top_down(merged[-1], lateral)
            merged.append(out)
            tapped.append(tap)
        lead = [merged[-1]]  # fine to coarse: O3, O4, O5
        for bottom_up, coarse in zip(self.bottom_up, merged[-2::-1], strict=True):
            lead.append(bottom_up(lead[-1], coarse))
        return tuple(lead), tuple(tapped[::-1])
