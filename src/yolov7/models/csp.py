"""Residual blocks of the baselines (CSPDarknet) and their re-parameterised forms.

Each is a computational block of ``depth`` units with ``branch`` channels. The unit is a class attribute,
which makes an ablation a one-line subclass.

Paper: Sec. 5.2 (baselines), Sec. 5.4.2, Fig. 7, Table 5. CSPNet [80], Scaled-YOLOv4 [79].
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from yolov7.errors import ArchitectureError
from yolov7.models.blocks import Activation, ComputationalBlock, Conv3x3, ConvBNAct, silu
from yolov7.models.reparam import RepConv


class DarkBlock(nn.Module):
    """Two convolutions with a residual.

        x ─┬─ 1x1 ─ 3x3 ─ + ─ out
           └──────────────┘      no residual where ``residual`` is False

    Args:
        channels: channels of input and output.
        hidden: channels between the convolutions.
        activation: factory of the activation.
        residual: True to add the input.
    """

    def __init__(
        self, channels: int, hidden: int, activation: Activation = silu, *, residual: bool = True
    ) -> None:
        super().__init__()
        self.residual = residual
        self.conv1, self.conv2 = self.convolutions(channels, hidden, activation)

    def convolutions(self, channels: int, hidden: int, activation: Activation) -> tuple[nn.Module, nn.Module]:
        """The two convolutions, in drawing order."""
        return ConvBNAct(channels, hidden, activation=activation), Conv3x3(hidden, channels, activation)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv2(self.conv1(x))
        return x + out if self.residual else out


class RepDarkBlock(DarkBlock):
    """Dark block whose 3x3 is a RepConv; its output meets the residual, so it has no identity branch."""

    def convolutions(self, channels: int, hidden: int, activation: Activation) -> tuple[nn.Module, nn.Module]:
        rep = RepConv(hidden, channels, activation, meets_residual_or_concat=True)
        return ConvBNAct(channels, hidden, activation=activation), rep


class ReversedDarkBlock(DarkBlock):
    """Dark block with the 3x3 first: x ─ 3x3 ─ 1x1 ─ + ─ out. Cost is unchanged. Paper: Fig. 7."""

    def convolutions(self, channels: int, hidden: int, activation: Activation) -> tuple[nn.Module, nn.Module]:
        return Conv3x3(channels, hidden, activation), ConvBNAct(hidden, channels, activation=activation)


class RepReversedDarkBlock(DarkBlock):
    """Reversed dark block whose 3x3 is a RepConv, without an identity: the block has a residual already.

    Paper: Sec. 5.4.2, Fig. 7.
    """

    def convolutions(self, channels: int, hidden: int, activation: Activation) -> tuple[nn.Module, nn.Module]:
        rep = RepConv(channels, hidden, activation, meets_residual_or_concat=True)
        return rep, ConvBNAct(hidden, channels, activation=activation)


class Residual(ComputationalBlock):
    """``depth`` dark blocks in a row, at the width of the input."""

    unit: ClassVar[type[DarkBlock]] = DarkBlock

    def __init__(
        self, in_channels: int, out_channels: int, branch: int, depth: int, activation: Activation = silu
    ) -> None:
        super().__init__()
        if in_channels != out_channels:
            raise ArchitectureError(
                "a residual keeps the width", expected=f"{in_channels} channels", found=out_channels
            )
        self.units = nn.Sequential(*(self.unit(out_channels, branch, activation) for _ in range(depth)))

    def forward(self, x: Tensor) -> Tensor:
        return self.units(x)


class CSPA(ComputationalBlock):
    """Cross-stage partial block: half of the channels go through the units, half bypass them.

    x ─┬─ 1x1 ─ units ─ y1 ─┐
       └─ 1x1 ──────── y2 ──┴─ [y1, y2] ─ 1x1 ─ out
    """

    unit: ClassVar[type[DarkBlock]] = DarkBlock
    residual: ClassVar[bool] = True
    parted_after_first: ClassVar[bool] = False

    def __init__(
        self, in_channels: int, out_channels: int, branch: int, depth: int, activation: Activation = silu
    ) -> None:
        super().__init__()
        self.main = ConvBNAct(in_channels, branch, activation=activation)
        self.past = ConvBNAct(
            branch if self.parted_after_first else in_channels, branch, activation=activation
        )
        self.out = ConvBNAct(2 * branch, out_channels, activation=activation)
        self.units = nn.Sequential(
            *(self.unit(branch, branch, activation, residual=self.residual) for _ in range(depth))
        )

    def through(self, x1: Tensor) -> Tensor:
        """Output of the units, (B, branch, H, W)."""
        return self.units(x1)

    def forward(self, x: Tensor) -> Tensor:
        x1 = self.main(x)
        y2 = self.past(x1 if self.parted_after_first else x)
        return self.out(torch.cat((self.through(x1), y2), dim=1))


class CSPB(CSPA):
    """CSP block of the neck: split after the first convolution, units without residual.

    x ─ 1x1 ─ x1 ─┬─ units ─ y1 ─┐
                  └─ 1x1 ── y2 ──┴─ [y1, y2] ─ 1x1 ─ out
    """

    residual = False
    parted_after_first = True


class CSPC(CSPA):
    """CSPA with a 1x1 after the units.

    x ─┬─ 1x1 ─ units ─ 1x1 ─ y1 ─┐
       └─ 1x1 ─────────────── y2 ─┴─ [y1, y2] ─ 1x1 ─ out
    """

    def __init__(
        self, in_channels: int, out_channels: int, branch: int, depth: int, activation: Activation = silu
    ) -> None:
        super().__init__(in_channels, out_channels, branch, depth, activation)
        self.after = ConvBNAct(branch, branch, activation=activation)

    def through(self, x1: Tensor) -> Tensor:
        return self.after(self.units(x1))
