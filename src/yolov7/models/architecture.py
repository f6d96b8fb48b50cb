"""The paper's networks as data, and compound scaling.

A variant is a table from input to output: stem, stages of the backbone, levels of the neck, outputs.
YOLOv7-X, E6, D6 and E6E are scaled from YOLOv7 and YOLOv7-W6; ``replace`` lists their other differences.

Paper: Sec. 3.2, Fig. 3 (compound scaling), Sec. 5.1 (the variants).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import nn

from yolov7.errors import ArchitectureError
from yolov7.models.blocks import (
    EELAN,
    ELAN,
    ELANH,
    MP,
    SPPCSPC,
    Activation,
    ComputationalBlock,
    Conv3x3,
    DownC,
    MaxPool,
    StridedConv,
    TinyELAN,
    TinySPP,
    Transition,
    leaky_relu,
    round_up,
    silu,
)
from yolov7.models.head import ImplicitHead, PlainHead
from yolov7.models.reparam import RepConv

Anchors = tuple[tuple[tuple[float, float], ...], ...]
"""(width, height) of each anchor in pixels, by level from the finest."""


@dataclass(frozen=True)
class Block:
    """A computational block: ``depth`` 3x3 convolutions of ``branch`` channels, giving ``width`` channels."""

    kind: type[ComputationalBlock]
    branch: int
    depth: int
    width: int

    def build(self, in_channels: int, activation: Activation, cardinality: int) -> nn.Module:
        """Build the module; an E-ELAN if the cardinality is above 1."""
        elans: list[nn.Module] = [
            self.kind(in_channels, self.width, self.branch, self.depth, activation)
            for _ in range(cardinality)
        ]
        return elans[0] if cardinality == 1 else EELAN(elans)


def half(kind: type[ComputationalBlock], depth: int, width: int) -> Block:
    """Block with branches half as wide as its output."""
    return Block(kind, branch=width // 2, depth=depth, width=width)


def full(kind: type[ComputationalBlock], depth: int, width: int) -> Block:
    """Block with branches as wide as its output."""
    return Block(kind, branch=width, depth=depth, width=width)


@dataclass(frozen=True)
class Stage:
    """One resolution of the backbone: a transition to ``down_width`` channels, then a block."""

    down: Transition
    down_width: int
    block: Block


@dataclass(frozen=True)
class Architecture:
    """Structure of a network, without its number of classes.

    Attributes:
        name: unique name, such as yolov7-w6.
        size: nominal side of the square input, pixels.
        stem: (width, stride) of the 3x3 convolutions before the first stage.
        stages: stages of the backbone, fine to coarse; the last ``len(neck)`` stages feed the neck.
        pool: factory of the pyramid pooling on top of the backbone, as wide as the neck's last level.
        neck: block of each level, fine to coarse; built twice, on the top-down and the bottom-up path.
        neck_down: transition between the neck's levels.
        output: factory of the last 3x3 convolution of each level.
        outputs: width of each level's last 3x3 convolution.
        auxiliary: widths like ``outputs`` for the auxiliary heads; empty without auxiliary heads.
        anchors: (width, height) of each anchor in pixels, by level from the finest.
        activation: factory of the activation.
        reorg: True for space-to-depth before the stem.
        cardinality: number of parallel ELANs in each block; 2 or more makes every block an E-ELAN.
        partial_auxiliary: True if auxiliary heads read one group of an E-ELAN before the merge (Sec. 5.4.3).
        head: class of the lead head.

    >>> from dataclasses import replace
    >>> from yolov7.models.architecture import YOLOV7
    >>> replace(YOLOV7, name="two groups", cardinality=2).strides  # every ELAN becomes an E-ELAN
    (8, 16, 32)
    """

    name: str
    size: int
    stem: tuple[tuple[int, int], ...]
    stages: tuple[Stage, ...]
    pool: Callable[[int, int, Activation], nn.Module]
    neck: tuple[Block, ...]
    neck_down: Transition
    output: Callable[[int, int, Activation], nn.Module]
    outputs: tuple[int, ...]
    anchors: Anchors
    auxiliary: tuple[int, ...] = ()
    activation: Activation = silu
    reorg: bool = False
    cardinality: int = 1
    partial_auxiliary: bool = False
    head: type[PlainHead] = ImplicitHead

    @property
    def strides(self) -> tuple[int, ...]:
        """Pixels per cell, by level."""
        return tuple(8 << level for level in range(len(self.neck)))


# -- scaling --------------------------------------------------------------------------------------------


def scale(
    architecture: Architecture, *, depth: float = 1.0, width: float = 1.0, branch: float = 1.0
) -> Architecture:
    """Scaled copy of a network; widths are rounded up to multiples of 8.

    Args:
        architecture: network to scale.
        depth: multiplier of the depth of each computational block.
        width: multiplier of widths outside the blocks: stem, transitions, block outputs, outputs, auxiliary.
        branch: multiplier of widths inside the computational blocks.

    Paper: Sec. 3.2, Fig. 3; Table 3 compares scaling width, depth and both (:func:`compound_scale`).

    >>> scale(YOLOV7, width=0.5).outputs
    (128, 256, 512)
    """

    def scaled(block: Block) -> Block:
        return replace(
            block,
            depth=max(1, round(block.depth * depth)),
            branch=round_up(block.branch * branch),
            width=round_up(block.width * width),
        )

    return replace(
        architecture,
        stem=tuple((round_up(channels * width), stride) for channels, stride in architecture.stem),
        stages=tuple(
            replace(stage, down_width=round_up(stage.down_width * width), block=scaled(stage.block))
            for stage in architecture.stages
        ),
        neck=tuple(scaled(block) for block in architecture.neck),
        outputs=tuple(round_up(channels * width) for channels in architecture.outputs),
        auxiliary=tuple(round_up(channels * width) for channels in architecture.auxiliary),
    )


def compound_scale(architecture: Architecture, *, depth: int) -> Architecture:
    """Copy of a network with ``depth`` convolutions per block, and transitions widened to match.

    A deeper ELAN concatenates more channels, so the layers after it widen by the same ratio; branch widths
    stay. Depth 4 concatenates 4 branches, depth 6 five (x 1.25), depth 8 six (x 1.5).

    Raises:
        ArchitectureError: blocks of different depths, or that widen by different ratios.

    Paper: Sec. 3.2, Fig. 3c.

    >>> from yolov7.models.architecture import YOLOV7_W6
    >>> compound_scale(YOLOV7_W6, depth=6).outputs  # yolov7-e6
    (320, 640, 960, 1280)
    """
    blocks = [*(stage.block for stage in architecture.stages), *architecture.neck]
    ratios = {block.kind.concat_fan_in(depth) / block.kind.concat_fan_in(block.depth) for block in blocks}
    depths = {block.depth for block in blocks}
    if len(ratios) > 1 or len(depths) > 1:
        raise ArchitectureError(
            "compound scaling takes blocks that deepen and widen alike",
            found=f"depths {sorted(depths)}, ratios {sorted(ratios)}",
        )
    return scale(architecture, depth=depth / depths.pop(), width=ratios.pop())


def with_blocks(
    architecture: Architecture, old: type[ComputationalBlock], new: type[ComputationalBlock]
) -> Architecture:
    """Copy of a network with one kind of block replaced by another."""

    def replaced(block: Block) -> Block:
        return replace(block, kind=new) if block.kind is old else block

    return replace(
        architecture,
        stages=tuple(replace(stage, block=replaced(stage.block)) for stage in architecture.stages),
        neck=tuple(map(replaced, architecture.neck)),
    )


def with_downs(architecture: Architecture, down: Transition) -> Architecture:
    """Copy of a network with every transition replaced by ``down``."""
    return replace(
        architecture,
        stages=tuple(replace(stage, down=down) for stage in architecture.stages),
        neck_down=down,
    )


# -- P5 networks: strides 8, 16, 32 ---------------------------------------------------------------------

P5_ANCHORS: Anchors = (
    ((12, 16), (19, 36), (40, 28)),
    ((36, 75), (76, 55), (72, 146)),
    ((142, 110), (192, 243), (459, 401)),
)

YOLOV7 = Architecture(
    name="yolov7",
    size=640,
    stem=((32, 1), (64, 2), (64, 1)),
    stages=(
        Stage(StridedConv, 128, Block(ELAN, branch=64, depth=4, width=256)),
        Stage(MP, 256, Block(ELAN, branch=128, depth=4, width=512)),
        Stage(MP, 512, Block(ELAN, branch=256, depth=4, width=1024)),
        Stage(MP, 1024, Block(ELAN, branch=256, depth=4, width=1024)),
    ),
    pool=SPPCSPC,
    neck=tuple(full(ELANH, depth=4, width=width) for width in (128, 256, 512)),
    neck_down=MP,
    output=RepConv,
    outputs=(256, 512, 1024),
    anchors=P5_ANCHORS,
)

YOLOV7_X_LIGHT = replace(with_blocks(YOLOV7, ELANH, ELAN), name="yolov7-x-light", output=Conv3x3)
"""Base of YOLOv7-X and of Table 3."""

YOLOV7_X = replace(compound_scale(YOLOV7_X_LIGHT, depth=6), name="yolov7-x")

YOLOV7_TINY = Architecture(
    name="yolov7-tiny",
    size=640,
    stem=((32, 2),),
    stages=(
        Stage(StridedConv, 64, Block(TinyELAN, branch=32, depth=2, width=64)),
        Stage(MaxPool, 64, Block(TinyELAN, branch=64, depth=2, width=128)),
        Stage(MaxPool, 128, Block(TinyELAN, branch=128, depth=2, width=256)),
        Stage(MaxPool, 256, Block(TinyELAN, branch=256, depth=2, width=512)),
    ),
    pool=TinySPP,
    neck=tuple(half(TinyELAN, depth=2, width=width) for width in (64, 128, 256)),
    neck_down=StridedConv,
    output=Conv3x3,
    outputs=(128, 256, 512),
    anchors=(
        ((10, 13), (16, 30), (33, 23)),
        ((30, 61), (62, 45), (59, 119)),
        ((116, 90), (156, 198), (373, 326)),
    ),
    activation=leaky_relu,
)

YOLOV7_TINY_SILU = replace(YOLOV7_TINY, name="yolov7-tiny-silu", activation=silu, head=PlainHead)

# -- P6 networks: strides 8, 16, 32, 64 -----------------------------------------------------------------

P6_ANCHORS: Anchors = (
    ((19, 27), (44, 40), (38, 94)),
    ((96, 68), (86, 152), (180, 137)),
    ((140, 301), (303, 264), (238, 542)),
    ((436, 615), (739, 380), (925, 792)),
)

YOLOV7_W6 = Architecture(
    name="yolov7-w6",
    size=1280,
    reorg=True,
    stem=((64, 1),),
    stages=tuple(
        Stage(StridedConv, width, half(ELAN, depth=4, width=width)) for width in (128, 256, 512, 768, 1024)
    ),
    pool=SPPCSPC,
    neck=tuple(full(ELANH, depth=4, width=width) for width in (128, 256, 384, 512)),
    neck_down=StridedConv,
    output=Conv3x3,
    outputs=(256, 512, 768, 1024),
    auxiliary=(320, 640, 960, 1280),
    anchors=P6_ANCHORS,
)


def _deeper_w6(name: str, depth: int) -> Architecture:
    scaled = with_downs(compound_scale(YOLOV7_W6, depth=depth), DownC)
    return replace(scaled, name=name, auxiliary=scaled.outputs)


YOLOV7_E6 = _deeper_w6("yolov7-e6", 6)
YOLOV7_D6 = _deeper_w6("yolov7-d6", 8)

YOLOV7_E6E = replace(YOLOV7_E6, name="yolov7-e6e", cardinality=2, partial_auxiliary=True)

VARIANTS = (
    YOLOV7_TINY,
    YOLOV7_TINY_SILU,
    YOLOV7,
    YOLOV7_X,
    YOLOV7_W6,
    YOLOV7_E6,
    YOLOV7_D6,
    YOLOV7_E6E,
)
