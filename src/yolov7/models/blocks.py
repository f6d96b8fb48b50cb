"""Computational blocks, transitions and pooling of the YOLOv7 networks.

A *computational block* mixes features at one resolution (ELAN, E-ELAN); a *transition* halves the
resolution. Every drawing lists a concatenation's inputs in channel order, and attributes are created in
drawing order, which is the order of the tensors in a checkpoint.

Paper: Sec. 3.1, Fig. 2.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from yolov7.errors import ArchitectureError

Activation = Callable[[], nn.Module]
Transition = Callable[[int, int, Activation], nn.Module]
"""Factory of a module that halves height and width, from in_channels, out_channels and the activation."""


def round_up(channels: float) -> int:
    """Round up to a multiple of 8, as all scaled widths are.

    >>> round_up(80), round_up(81)
    (80, 88)
    """
    return 8 * math.ceil(channels / 8)


def silu() -> nn.Module:
    """SiLU, x * sigmoid(x); in place: nothing else reads its input, batch norm's output."""
    return nn.SiLU(inplace=True)


def leaky_relu() -> nn.Module:
    """Leaky ReLU with slope 0.1, the activation of YOLOv7-tiny (Sec. 5.1)."""
    return nn.LeakyReLU(0.1, inplace=True)


class ConvAct(nn.Module):
    """Convolution with bias, then activation: the deployed form of ConvBNAct and RepConv.

    Weight (O, I, k, k) and bias (O,) are converted to torch's default dtype, and stay on their device.
    """

    def __init__(self, weight: Tensor, bias: Tensor, stride: int, activation: nn.Module) -> None:
        super().__init__()
        out_channels, in_channels, kernel, _ = weight.shape
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, stride, padding=kernel // 2)
        dtype = self.conv.weight.dtype
        self.conv.weight = nn.Parameter(weight.to(dtype))
        self.conv.bias = nn.Parameter(bias.to(dtype))
        self.act = activation

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.conv(x))


class ConvBNAct(nn.Module):
    """Convolution without bias, batch norm, activation; the stride divides height and width."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 1,
        stride: int = 1,
        activation: Activation = silu,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, stride, padding=kernel // 2, bias=False)
        self.bn = batch_norm(out_channels)
        self.act = activation()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.bn(self.conv(x)))

    def fused(self) -> ConvAct:
        """Deployed form: batch norm folded into the convolution."""
        return ConvAct(*fold_batch_norm(self.conv.weight, self.bn), self.conv.stride[0], self.act)


def batch_norm(channels: int) -> nn.BatchNorm2d:
    """Batch norm with the epsilon and momentum of the released networks."""
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.03)


def fold_batch_norm(weight: Tensor, bn: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """float64 weight (O, I, k, k) and bias (O,) of the convolution equal to ``bn(conv(x))`` in eval mode."""
    assert bn.running_var is not None
    assert bn.running_mean is not None
    gain = bn.weight.double() / torch.sqrt(bn.running_var.double() + bn.eps)
    return weight.double() * gain[:, None, None, None], bn.bias.double() - bn.running_mean.double() * gain


class Conv3x3(ConvBNAct):
    """3x3 convolution that keeps the size."""

    def __init__(self, in_channels: int, out_channels: int, activation: Activation = silu) -> None:
        super().__init__(in_channels, out_channels, 3, 1, activation)


# -- computational blocks -------------------------------------------------------------------------------


class ComputationalBlock(nn.Module):
    """Block at one resolution: ``depth`` units of ``branch`` channels; the output has ``out_channels``.

    Subclasses take (in_channels, out_channels, branch, depth, activation).
    """

    @classmethod
    def concat_fan_in(cls, depth: int) -> float:
        """Width of the concatenation, in units of the branch width; by default independent of the depth."""
        del depth
        return 1


class ELAN(ComputationalBlock):
    """Efficient layer aggregation: short and long gradient paths side by side, then concatenated.

        x ─┬─ 1x1 ─ a ─────────────────────────────┐
           └─ 1x1 ─ y0 ─┬──────────────────────────┤
                        └─ 3x3 ─ 3x3 ─ y2 ─┬───────┤
                                           └─ ...  ┴─ [y_d, ..., y2, y0, a] ─ 1x1 ─ out

    Every second 3x3 of the chain is tapped: ``depth`` convolutions of ``branch`` channels concatenate
    ``branch * (2 + depth / 2)`` channels. The chain's width is rounded up to a multiple of 8.

    Paper: Sec. 3.1, Fig. 2c.
    """

    tap_every = 2
    chain_ratio = 1.0

    def __init__(
        self, in_channels: int, out_channels: int, branch: int, depth: int, activation: Activation = silu
    ) -> None:
        super().__init__()
        if depth % self.tap_every:
            raise ArchitectureError(
                f"the depth of an {type(self).__name__} is a multiple of {self.tap_every}", found=depth
            )
        chain = branch if self.chain_ratio == 1 else round_up(branch * self.chain_ratio)
        self.a = ConvBNAct(in_channels, branch, activation=activation)
        self.y0 = ConvBNAct(in_channels, branch, activation=activation)
        self.chain = nn.ModuleList(
            self.link(position, chain if position > 1 else branch, chain, activation)
            for position in range(1, depth + 1)
        )
        self.out = ConvBNAct(
            2 * branch + depth // self.tap_every * chain, out_channels, activation=activation
        )

    @classmethod
    def concat_fan_in(cls, depth: int) -> float:
        """Width of the concatenation, in units of the branch width (Sec. 3.2, Fig. 3c)."""
        return 2 + depth / cls.tap_every * cls.chain_ratio

    def link(self, position: int, in_channels: int, out_channels: int, activation: Activation) -> nn.Module:
        """The convolution at a position of the chain, counted from 1."""
        del position
        return ConvBNAct(in_channels, out_channels, 3, activation=activation)

    def forward(self, x: Tensor) -> Tensor:
        y = self.y0(x)
        taps = [self.a(x), y]
        for i, conv in enumerate(self.chain, start=1):
            y = conv(y)
            if i % self.tap_every == 0:
                taps.append(y)
        return self.out(torch.cat(taps[::-1], dim=1))


class ELANH(ELAN):
    """ELAN of the neck: convolutions half as wide, every one tapped: [y_d, y_(d-1), ..., y1, y0, a]."""

    tap_every = 1
    chain_ratio = 0.5


class TinyELAN(ELAN):
    """ELAN of YOLOv7-tiny: every convolution tapped, at the branch's width."""

    tap_every = 1


class EELAN(nn.Module):
    """Extended ELAN: ELANs with separate weights read the same input; their outputs are added.

            ┌─ ELAN ─┐
        x ──┤        + ─ out          drawn for cardinality 2
            └─ ELAN ─┘

    Equal to the group convolution with shuffle and merge of Fig. 2d: the first 1x1s expand the cardinality,
    the addition merges it, and the gradient path of each ELAN is unchanged.

    Paper: Sec. 3.1, Fig. 2d.
    """

    def __init__(self, elans: list[nn.Module]) -> None:
        super().__init__()
        self.groups = nn.ModuleList(elans)

    def expand(self, x: Tensor) -> list[Tensor]:
        """Outputs of the groups, before the merge."""
        return [group(x) for group in self.groups]

    @staticmethod
    def merge(groups: list[Tensor]) -> Tensor:
        """Sum of the groups' outputs."""
        merged = groups[0]
        for group in groups[1:]:
            merged = merged + group
        return merged

    def forward(self, x: Tensor) -> Tensor:
        return self.merge(self.expand(x))


# -- transitions ----------------------------------------------------------------------------------------


class StridedConv(ConvBNAct):
    """3x3 convolution with stride 2."""

    def __init__(self, in_channels: int, out_channels: int, activation: Activation = silu) -> None:
        super().__init__(in_channels, out_channels, 3, 2, activation)


class MaxPool(nn.MaxPool2d):
    """2x2 max pooling with stride 2, which keeps the width: the transition of YOLOv7-tiny."""

    def __init__(self, in_channels: int, out_channels: int, _activation: Activation = silu) -> None:
        if in_channels != out_channels:
            raise ArchitectureError(
                "max pooling keeps the width", expected=f"{in_channels} channels", found=out_channels
            )
        super().__init__(2, 2)


class MP(nn.Module):
    """Transition: half of the channels by max pooling, half by a strided convolution.

    x ─┬─ maxpool 2/2 ─ 1x1 ─────── pool ─┐
       └─ 1x1 ─ 3x3/2 ───────────── conv ─┴─ [conv, pool]

    Each half is rounded up to a multiple of 8, so the output may exceed ``out_channels``: see
    :func:`given_width`.
    """

    def __init__(self, in_channels: int, out_channels: int, activation: Activation = silu) -> None:
        super().__init__()
        half = given_width(MP, out_channels) // 2
        self.pool = nn.MaxPool2d(2, 2)
        self.pool_conv = ConvBNAct(in_channels, half, activation=activation)
        self.conv = ConvBNAct(in_channels, half, activation=activation)
        self.conv_down = ConvBNAct(half, half, 3, 2, activation)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat((self.conv_down(self.conv(x)), self.pool_conv(self.pool(x))), dim=1)


def given_width(down: Transition, width: int) -> int:
    """Output channels of a transition built for ``width``.

    >>> given_width(MP, 40), given_width(StridedConv, 40)
    (48, 40)
    """
    return 2 * round_up(width / 2) if down is MP else width


class DownC(nn.Module):
    """MP with a full-width 1x1 before the strided convolution: the transition of E6, D6 and E6E.

    x ─┬─ 1x1 (c_in) ─ 3x3/2 ────── conv ─┐
       └─ maxpool 2/2 ─ 1x1 ─────── pool ─┴─ [conv, pool]
    """

    def __init__(self, in_channels: int, out_channels: int, activation: Activation = silu) -> None:
        super().__init__()
        half = out_channels // 2
        self.conv = ConvBNAct(in_channels, in_channels, activation=activation)
        self.conv_down = ConvBNAct(in_channels, half, 3, 2, activation)
        self.pool = nn.MaxPool2d(2, 2)
        self.pool_conv = ConvBNAct(in_channels, half, activation=activation)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat((self.conv_down(self.conv(x)), self.pool_conv(self.pool(x))), dim=1)


class ReOrg(nn.Module):
    """Space to depth: each 2x2 block of pixels becomes channels. (B, 3, H, W) -> (B, 12, H/2, W/2).

    Channels: [even rows even columns, odd rows even columns, even rows odd columns, odd rows odd columns].
    """

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat((x[..., ::2, ::2], x[..., 1::2, ::2], x[..., ::2, 1::2], x[..., 1::2, 1::2]), dim=1)


# -- spatial pyramid pooling ----------------------------------------------------------------------------


class PyramidPool(nn.Module):
    """Input and its maxima over 5x5, 9x9 and 13x13 windows, by repeated 5x5 pooling; the size is kept."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = nn.MaxPool2d(5, 1, padding=2)

    def forward(self, x: Tensor) -> list[Tensor]:
        maxima = [x]
        for _ in (5, 9, 13):
            maxima.append(self.pool(maxima[-1]))
        return maxima


class SPPCSPC(nn.Module):
    """Spatial pyramid pooling inside a cross-stage partial block, on top of the backbone.

    x ─┬─ 1x1 ─ 3x3 ─ 1x1 ─ [x1, max5, max9, max13] ─ 1x1 ─ 3x3 ─ y1 ─┐
       └─ 1x1 ─────────────────────────────────────────────────── y2 ─┴─ [y1, y2] ─ 1x1 ─ out
    """

    def __init__(self, in_channels: int, out_channels: int, activation: Activation = silu) -> None:
        super().__init__()

        def conv(fan_in: int, kernel: int = 1) -> ConvBNAct:
            return ConvBNAct(fan_in, out_channels, kernel, activation=activation)

        self.before = nn.Sequential(conv(in_channels), conv(out_channels, 3), conv(out_channels))
        self.pool = PyramidPool()
        self.after = nn.Sequential(conv(4 * out_channels), conv(out_channels, 3))
        self.shortcut = conv(in_channels)
        self.out = conv(2 * out_channels)

    def forward(self, x: Tensor) -> Tensor:
        y1 = self.after(torch.cat(self.pool(self.before(x)), dim=1))
        return self.out(torch.cat((y1, self.shortcut(x)), dim=1))


class TinySPP(nn.Module):
    """Pyramid pooling of YOLOv7-tiny.

    x ─┬─ 1x1 ─ a ─────────────────────────────────┐
       └─ 1x1 ─ b ─ [max13, max9, max5, b] ─ 1x1 ─ y ─┴─ [y, a] ─ 1x1 ─ out
    """

    def __init__(self, in_channels: int, out_channels: int, activation: Activation = silu) -> None:
        super().__init__()
        self.a = ConvBNAct(in_channels, out_channels, activation=activation)
        self.b = ConvBNAct(in_channels, out_channels, activation=activation)
        self.pool = PyramidPool()
        self.y = ConvBNAct(4 * out_channels, out_channels, activation=activation)
        self.out = ConvBNAct(2 * out_channels, out_channels, activation=activation)

    def forward(self, x: Tensor) -> Tensor:
        y = self.y(torch.cat(self.pool(self.b(x))[::-1], dim=1))
        return self.out(torch.cat((y, self.a(x)), dim=1))
