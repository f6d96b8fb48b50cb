"""The paper's baselines, built from the same parts: YOLOv4-CSP and the YOLOR family.

Paper: Sec. 5.2, Tables 1, 2 and 9.
"""

from __future__ import annotations

from dataclasses import replace

from yolov7.models.architecture import (
    P5_ANCHORS,
    P6_ANCHORS,
    Architecture,
    Stage,
    full,
    half,
    scale,
    with_downs,
)
from yolov7.models.blocks import SPPCSPC, Conv3x3, DownC, StridedConv
from yolov7.models.csp import CSPA, CSPB, CSPC, Residual
from yolov7.models.head import PlainHead

# -- P5 networks ----------------------------------------------------------------------------------------

YOLOR_CSP = Architecture(
    name="yolor-csp",
    size=640,
    stem=((32, 1),),
    stages=(
        Stage(StridedConv, 64, half(Residual, depth=1, width=64)),
        Stage(StridedConv, 128, half(CSPC, depth=2, width=128)),
        Stage(StridedConv, 256, half(CSPC, depth=8, width=256)),
        Stage(StridedConv, 512, half(CSPC, depth=8, width=512)),
        Stage(StridedConv, 1024, half(CSPC, depth=4, width=1024)),
    ),
    pool=SPPCSPC,
    neck=tuple(full(CSPB, depth=2, width=width) for width in (128, 256, 512)),
    neck_down=StridedConv,
    output=Conv3x3,
    outputs=(256, 512, 1024),
    anchors=P5_ANCHORS,
)

YOLOR_CSP_X = replace(scale(YOLOR_CSP, depth=1.33, width=1.25, branch=1.25), name="yolor-csp-x")

YOLOV4_CSP = replace(YOLOR_CSP, name="yolov4-csp", head=PlainHead)

# -- P6 networks ----------------------------------------------------------------------------------------

_P6_DEPTHS = (3, 7, 7, 3, 3)


def _p6(name: str, widths: tuple[int, ...], neck: tuple[int, ...], outputs: tuple[int, ...]) -> Architecture:
    return Architecture(
        name=name,
        size=1280,
        reorg=True,
        stem=((64, 1),),
        stages=tuple(
            Stage(StridedConv, width, half(CSPA, depth, width))
            for width, depth in zip(widths, _P6_DEPTHS, strict=True)
        ),
        pool=SPPCSPC,
        neck=tuple(full(CSPB, depth=3, width=width) for width in neck),
        neck_down=StridedConv,
        output=Conv3x3,
        outputs=outputs,
        anchors=P6_ANCHORS,
    )


YOLOR_P6 = _p6("yolor-p6", (128, 256, 384, 512, 640), (128, 192, 256, 320), (256, 384, 512, 640))

YOLOR_W6 = _p6("yolor-w6", (128, 256, 512, 768, 1024), (128, 256, 384, 512), (256, 512, 768, 1024))

YOLOR_E6 = replace(with_downs(scale(YOLOR_W6, width=1.25, branch=1.25), DownC), name="yolor-e6")

YOLOR_D6 = replace(
    YOLOR_E6,
    name="yolor-d6",
    stages=tuple(
        replace(stage, block=replace(stage.block, depth=depth))
        for stage, depth in zip(YOLOR_E6.stages, (3, 15, 15, 7, 7), strict=True)
    ),
)

BASELINES = (YOLOR_CSP, YOLOR_CSP_X, YOLOV4_CSP, YOLOR_P6, YOLOR_W6, YOLOR_E6, YOLOR_D6)
