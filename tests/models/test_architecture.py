from __future__ import annotations

from dataclasses import replace

import pytest

from yolov7.errors import ArchitectureError
from yolov7.models import architecture as arch
from yolov7.models.architecture import compound_scale
from yolov7.models.zoo import find_architecture


def stage_widths(architecture: arch.Architecture) -> list[int]:
    return [stage.block.width for stage in architecture.stages]


def neck_widths(architecture: arch.Architecture) -> list[int]:
    return [block.width for block in architecture.neck]


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
    assert arch.YOLOV7_W6.max_stride == 64


def test_unknown_variant_lists_those_there_are():
    with pytest.raises(ArchitectureError, match="yolov7-e6e") as error:
        find_architecture("yolov8")
    assert "'yolov8'" in str(error.value)
