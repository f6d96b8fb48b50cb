"""Architectures that cannot be built, and what is said of them."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from tests.own_parts import Gated, gated
from torch import Tensor, nn

from yolov7 import plugins
from yolov7.errors import ArchitectureError
from yolov7.models.architecture import YOLOV7_TINY, YOLOV7_W6
from yolov7.models.detector import create
from yolov7.models.soundness import require_sound
from yolov7.models.zoo import NETWORKS

TINY = YOLOV7_TINY


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.name)
def test_networks_with_a_name_are_sound(network: Any) -> None:
    require_sound(network, 80, network.anchors)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"auxiliary": (320, 640)}, r"auxiliary of yolov7-tiny.*\n.*3 widths, or none\n.*2: \(320, 640\)"),
        ({"outputs": (128, 256)}, r"outputs of yolov7-tiny.*\n.*3 widths\n"),
        ({"outputs": (128, 256, 0)}, r"outputs\[2\].*\n.*from 1\n.*0"),
        ({"outputs": (128, 256, 512.0)}, r"outputs\[2\].*\n.*int"),
        ({"stages": TINY.stages[:3]}, r"stride.*\n.*8 pixels per cell\n.*4: stem strides \[2\]"),
        ({"stages": TINY.stages[:2]}, r"stages of yolov7-tiny.*\n.*3 or more\n.*3 levels, 2 stages"),
        ({"stem": ((32, 1),)}, r"stride.*\n.*8 pixels"),
        ({"reorg": True}, r"stride.*\n.*\n.*16: reorg"),
        ({"neck": ()}, r"1 level or more"),
        ({"neck": (*TINY.neck[:2], replace(TINY.neck[2], depth=0))}, r"neck\[2\].depth.*\n.*from 1"),
        ({"anchors": TINY.anchors[:2]}, r"anchors of yolov7-tiny.*\n.*3 levels"),
        ({"anchors": (*TINY.anchors[:2], ((1, 2), (3, math.nan), (4, 5)))}, r"anchors.*\n.*above 0\n.*nan"),
        ({"size": 100}, r"size of yolov7-tiny.*\n.*32\n.*100"),
        ({"cardinality": 0}, r"cardinality.*\n.*from 1"),
        ({"partial_auxiliary": True, "auxiliary": TINY.outputs}, r"partial_auxiliary.*\n.*cardinality 2"),
        ({"head": nn.Linear}, r"head of yolov7-tiny"),
    ],
)
def test_what_does_not_fit_together_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ArchitectureError, match=message):
        create(replace(TINY, **changes), classes=3)


@pytest.mark.parametrize("classes", [0, -1, 2.5, True, "3"])
def test_classes_are_counted(classes: Any) -> None:
    with pytest.raises(ArchitectureError, match="at least one class"):
        create("yolov7-tiny", classes=classes)


class TooWide(Gated):
    """Gives twice the channels that it should."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).repeat(1, 2, 1, 1)


def test_a_part_of_ones_own_is_tried_when_the_network_is_made() -> None:
    with pytest.raises(ArchitectureError, match=r"do not work together.*\n.*\n.*RuntimeError"):
        create(replace(TINY, neck=tuple(replace(block, kind=TooWide) for block in TINY.neck)))
    with pytest.raises(ArchitectureError, match=r"do not work together.*\n.*\n.*TypeError"):
        create(replace(TINY, pool=int))
    torch.manual_seed(0)
    state = torch.get_rng_state()
    model = create(gated(), classes=2)
    assert model.training
    assert all(int(n) == 0 for name, n in model.state_dict().items() if name.endswith("tracked"))
    assert not torch.equal(state, torch.get_rng_state())
    assert plugins.registered("tests.own_parts:Gated") is Gated
    predictions = model(torch.rand(1, 3, 64, 64))
    assert len(predictions.lead) == len(predictions.aux) == 3


def test_an_architecture_without_auxiliary_heads_needs_none() -> None:
    assert create(replace(YOLOV7_W6, auxiliary=()), classes=1).auxiliary is None
