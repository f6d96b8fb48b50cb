from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from yolov7.errors import ArchitectureError
from yolov7.models.blocks import (
    EELAN,
    ELAN,
    ELANH,
    MP,
    SPPCSPC,
    ConvBNAct,
    DownC,
    MaxPool,
    PyramidPool,
    ReOrg,
    StridedConv,
    TinyELAN,
    given_width,
)


@pytest.mark.parametrize(("depth", "ratio"), [(4, 4.0), (6, 5.0), (8, 6.0)])
@pytest.mark.parametrize("kind", [ELAN, ELANH])
def test_concat_fan_in_is_the_law_of_figure_3(kind, depth, ratio):
    assert kind.concat_fan_in(depth) == ratio
    assert kind(8, 24, branch=16, depth=depth).out.conv.in_channels == 16 * ratio


def test_elan_refuses_a_depth_it_cannot_tap():
    with pytest.raises(ArchitectureError, match="multiple of 2"):
        ELAN(8, 8, branch=8, depth=5)


@pytest.mark.parametrize("kind", [ELAN, ELANH, TinyELAN])
def test_every_convolution_of_an_elan_is_in_the_gradient_path(kind):
    block = kind(8, 16, branch=8, depth=4).train()
    out = block(torch.randn(2, 8, 8, 8))
    assert out.shape == (2, 16, 8, 8)
    out.square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in block.parameters())


def test_elan_concatenates_the_latest_first():
    block = ELAN(4, 4, branch=4, depth=4).eval()
    seen = []
    block.out.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    x = torch.randn(1, 4, 6, 6)
    with torch.no_grad():
        block(x)
        a, y0 = block.a(x), block.y0(x)
        y2 = block.chain[1](block.chain[0](y0))
        y4 = block.chain[3](block.chain[2](y2))
    assert torch.equal(seen[0], torch.cat((y4, y2, y0, a), dim=1))


def test_e_elan_equals_group_convolution_with_cardinality_2():
    """Fig. 2d: expand by a 1x1 of twice the width, 3x3s in 2 groups, merge by adding."""
    block = EELAN([ELAN(8, 12, branch=4, depth=2) for _ in range(2)]).eval()
    _randomize(block)
    first, second = block.groups
    x = torch.randn(2, 8, 6, 6)

    def grouped(convs: list[ConvBNAct], inputs: torch.Tensor, groups: int) -> torch.Tensor:
        folded = [conv.fused().conv for conv in convs]
        weight = torch.cat([conv.weight for conv in folded])
        bias = torch.cat([conv.bias for conv in folded])
        padding = convs[0].conv.kernel_size[0] // 2
        return F.silu(F.conv2d(inputs, weight, bias, padding=padding, groups=groups))

    with torch.no_grad():
        expected = block(x)
        a = grouped([first.a, second.a], x, 1)
        y0 = grouped([first.y0, second.y0], x, 1)
        y2 = y0
        for i in range(2):
            y2 = grouped([first.chain[i], second.chain[i]], y2, 2)
        # Shuffle: each group gathers its own part of every concatenated map.
        shuffled = torch.cat([part for g in range(2) for part in (m.chunk(2, 1)[g] for m in (y2, y0, a))], 1)
        merged = torch.stack(grouped([first.out, second.out], shuffled, 2).chunk(2, 1)).sum(0)
    torch.testing.assert_close(merged, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("kind", "given"), [(StridedConv, 20), (MP, 32), (DownC, 20)])
def test_transitions_halve_the_size(kind, given):
    """Asked for 20 channels, an MP gives two halves of 16: 10 rounded up to a multiple of 8."""
    assert kind(8, 20)(torch.randn(2, 8, 12, 8)).shape == (2, given, 6, 4)
    assert given_width(kind, 20) == given


def test_max_pool_keeps_the_width():
    assert MaxPool(8, 8)(torch.randn(1, 8, 4, 4)).shape == (1, 8, 2, 2)
    with pytest.raises(ArchitectureError, match="keeps the width"):
        MaxPool(8, 16)


def test_reorg_takes_rows_before_columns():
    x = torch.arange(4.0).view(1, 1, 2, 2)  # [[0, 1], [2, 3]]
    assert ReOrg()(x).flatten().tolist() == [0, 2, 1, 3]


def test_pyramid_pool_equals_three_separate_pools():
    x = torch.randn(2, 4, 17, 23)
    for kernel, found in zip((1, 5, 9, 13), PyramidPool()(x), strict=True):
        assert torch.equal(found, F.max_pool2d(x, kernel, 1, kernel // 2))


def test_spp_keeps_the_size():
    assert SPPCSPC(8, 4)(torch.randn(2, 8, 5, 7)).shape == (2, 4, 5, 7)


def _randomize(module: nn.Module) -> None:
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            for tensor in (part.weight, part.bias, part.running_mean, part.running_var):
                nn.init.uniform_(tensor, 0.5, 1.5)
