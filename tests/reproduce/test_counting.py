from __future__ import annotations

import pytest
import torch
from torch import nn

from yolov7.models.complexity import conv_flops, count_parameters
from yolov7.reproduce.counting import paper_flops


def test_counting_by_hand():
    model = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1))
    model = model.to("meta")
    assert count_parameters(model) == 3 * 4 * 9 + 8 + 10
    multiply_adds = 3 * 4 * 9 * 64 + 4 * 2 * 64
    assert conv_flops(model, 8) == 2 * multiply_adds
    assert paper_flops(model, 8) == 2 * multiply_adds + 4 * (4 * 64) + 2 * (2 * 64)


@pytest.mark.parametrize(("activation", "extra"), [(nn.SiLU(), 0), (nn.LeakyReLU(0.1), 2 * 64)])
def test_only_leaky_relu_counts(activation, extra):
    model = nn.Sequential(nn.Conv2d(3, 1, 1, bias=False), activation).to("meta")
    assert paper_flops(model, 8) - conv_flops(model, 8) == extra


def test_counting_leaves_no_hooks():
    model = nn.Sequential(nn.Conv2d(3, 1, 1)).to("meta")
    conv_flops(model, 8)
    assert not model[0]._forward_hooks
    assert model[0].weight.device == torch.device("meta")
