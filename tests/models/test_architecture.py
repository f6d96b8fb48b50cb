from __future__ import annotations

from dataclasses import replace

import pytest

from yolov7.errors import ArchitectureError
from yolov7.models import architecture as arch
from yolov7.models.architecture import compound_scale, scale
from yolov7.models.baselines import YOLOR_CSP, YOLOR_CSP_X
from yolov7.models.zoo import NETWORKS


def stage_widths(architecture: arch.Architecture) -> list[int]:
    return [stage.block.width for stage in architecture.stages]


def neck_widths(architecture: arch.Architecture) -> list[int]:
    return [block.width for block in architecture.neck]


def blocks_of(architecture: arch.Architecture) -> list[arch.Block]:
    return [*(stage.block for stage in architecture.stages), *architecture.neck]


def test_x_is_yolov7_one_and_a_quarter_as_wide():
    x = arch.YOLOV7_X
    assert x.stem == ((40, 1), (80, 2), (80, 1))
    assert stage_widths(x) == [320, 640, 1280, 1280]
    assert [stage.down_width for stage in x.stages] == [160, 320, 640, 1280]
    assert neck_widths(x) == [160, 320, 640]
    assert [stage.block.branch for stage in x.stages] == [64, 128, 256, 256]


def test_d6_is_w6_one_and_a_half_as_wide():
    d6 = arch.YOLOV7_D6
    assert d6.stem == ((96, 1),)
    assert stage_widths(d6) == [192, 384, 768, 1152, 1536]
    assert neck_widths(d6) == [192, 384, 576, 768]
    assert d6.auxiliary == d6.outputs == (384, 768, 1152, 1536)


def test_scaling_to_the_same_depth_changes_nothing():
    assert compound_scale(arch.YOLOV7, depth=4) == arch.YOLOV7


def test_widths_are_multiples_of_8():
    odd = replace(arch.YOLOV7, stem=((36, 1),))
    assert compound_scale(odd, depth=6).stem == ((48, 1),)  # 45, rounded up


def test_strides():
    assert arch.YOLOV7.strides == (8, 16, 32)
    assert arch.YOLOV7_W6.strides == (8, 16, 32, 64)


def test_scaling_by_one_changes_nothing():
    for network in NETWORKS:
        assert scale(network) == network


def test_scale_takes_each_number_on_its_own():
    yolov7 = arch.YOLOV7_W6
    deeper = scale(yolov7, depth=1.5)
    assert {block.depth for block in blocks_of(deeper)} == {6}
    assert replace(deeper, stages=yolov7.stages, neck=yolov7.neck) == yolov7
    wider = scale(yolov7, width=1.25)
    assert wider.stem == ((80, 1),)
    assert wider.outputs == (320, 640, 960, 1280)
    assert wider.auxiliary == (400, 800, 1200, 1600)
    assert [stage.down_width for stage in wider.stages] == [160, 320, 640, 960, 1280]
    assert [block.branch for block in blocks_of(wider)] == [block.branch for block in blocks_of(yolov7)]
    thicker = scale(yolov7, branch=0.5)
    assert [block.branch for block in blocks_of(thicker)] == [b.branch // 2 for b in blocks_of(yolov7)]
    assert [block.width for block in blocks_of(thicker)] == [b.width for b in blocks_of(yolov7)]


def test_scaled_numbers_are_never_nothing():
    least = scale(arch.YOLOV7, depth=0.01, width=0.001, branch=0.001)
    assert {(block.depth, block.branch, block.width) for block in blocks_of(least)} == {(1, 8, 8)}


def test_depths_are_rounded_to_the_nearest():
    assert [block.depth for block in blocks_of(YOLOR_CSP_X)] == [1, 3, 11, 11, 5, 3, 3, 3]


def test_compound_scaling_refuses_blocks_that_deepen_unevenly():
    """YOLOR-CSP has depths of 1 to 8; an ELAN and an ELAN-H of depth 4 widen alike, a TinyELAN does not."""
    with pytest.raises(ArchitectureError, match="deepen and widen alike") as error:
        compound_scale(YOLOR_CSP, depth=6)
    assert "[1, 2, 4, 8]" in str(error.value)
    mixed = replace(arch.YOLOV7, neck=tuple(replace(b, kind=arch.TinyELAN) for b in arch.YOLOV7.neck))
    with pytest.raises(ArchitectureError, match=r"1\.25.*1\.33"):
        compound_scale(mixed, depth=6)
