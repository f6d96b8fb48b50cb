from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from yolov7.errors import ArchitectureError
from yolov7.models.blocks import ComputationalBlock, Conv3x3, ConvBNAct, leaky_relu
from yolov7.models.csp import (
    CSPA,
    CSPB,
    CSPC,
    DarkBlock,
    RepDarkBlock,
    RepReversedDarkBlock,
    Residual,
    ReversedDarkBlock,
)
from yolov7.models.reparam import RepConv, reparameterize


def lively(block: nn.Module) -> nn.Module:
    """In evaluation, with a batch norm that does something."""
    for part in block.modules():
        if isinstance(part, nn.BatchNorm2d):
            for tensor in (part.weight, part.bias, part.running_mean, part.running_var):
                nn.init.uniform_(tensor, 0.5, 1.5)
    return block.eval()


def image(channels: int) -> Tensor:
    return torch.randn(2, channels, 5, 7, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def test_a_dark_block_adds_its_input():
    block, x = lively(DarkBlock(8, 4)), image(8)
    assert torch.equal(block(x), x + block.conv2(block.conv1(x)))
    assert block.conv1.conv.weight.shape == (4, 8, 1, 1)
    assert block.conv2.conv.weight.shape == (8, 4, 3, 3)


@torch.no_grad()
def test_without_residual_it_is_its_convolutions():
    block, x = lively(DarkBlock(8, 4, residual=False)), image(8)
    assert torch.equal(block(x), block.conv2(block.conv1(x)))


@torch.no_grad()
def test_a_reversed_block_has_the_3x3_first_and_as_many_weights():
    block, x = lively(ReversedDarkBlock(8, 4)), image(8)
    assert torch.equal(block(x), x + block.conv2(block.conv1(x)))
    assert block.conv1.conv.weight.shape == (4, 8, 3, 3)
    assert block.conv2.conv.weight.shape == (8, 4, 1, 1)
    sizes = [sum(p.numel() for p in part.parameters()) for part in (block, DarkBlock(8, 4))]
    assert sizes[0] == sizes[1]


@pytest.mark.parametrize(
    ("kind", "rep", "other"), [(RepDarkBlock, "conv2", "conv1"), (RepReversedDarkBlock, "conv1", "conv2")]
)
@torch.no_grad()
def test_rep_conv_stands_where_the_3x3_was_without_identity(kind: type[DarkBlock], rep: str, other: str):
    """Hidden as wide as the input, so that only the plan can forbid the identity."""
    block, x = lively(kind(8, 8)), image(8)
    conv = block.get_submodule(rep)
    assert isinstance(conv, RepConv)
    assert conv.bn_identity is None
    assert block.get_submodule(other).conv.kernel_size == (1, 1)
    expected = block(x)
    reparameterize(block)
    assert block.get_submodule(rep).conv.kernel_size == (3, 3)
    torch.testing.assert_close(block(x), expected, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_cspa_passes_half_by():
    block, x = lively(CSPA(6, 10, branch=4, depth=2)), image(6)
    first, second = block.units
    y = first(block.main(x))
    y1 = y + second.conv2(second.conv1(y))
    assert torch.equal(block(x), block.out(torch.cat((y1, block.past(x)), dim=1)))


@torch.no_grad()
def test_cspb_parts_after_the_first_convolution_and_adds_nothing():
    block, x = lively(CSPB(6, 10, branch=4, depth=2)), image(6)
    x1 = block.main(x)
    y1 = x1
    for unit in block.units:
        y1 = unit.conv2(unit.conv1(y1))
    assert torch.equal(block(x), block.out(torch.cat((y1, block.past(x1)), dim=1)))


@torch.no_grad()
def test_cspc_has_a_convolution_after_the_units():
    block, x = lively(CSPC(6, 10, branch=4, depth=2)), image(6)
    x1 = block.main(x)
    for unit in block.units:
        x1 = x1 + unit.conv2(unit.conv1(x1))
    assert torch.equal(block(x), block.out(torch.cat((block.after(x1), block.past(x)), dim=1)))


@pytest.mark.parametrize("kind", [CSPA, CSPB, CSPC])
def test_units_are_as_wide_inside_as_outside(kind: type[ComputationalBlock]):
    """Expansion 1: 1x1 and 3x3 of the branch's width."""
    for unit in kind(6, 10, branch=4, depth=3).units:
        assert unit.conv1.conv.weight.shape == (4, 4, 1, 1)
        assert unit.conv2.conv.weight.shape == (4, 4, 3, 3)


@torch.no_grad()
def test_residual_is_dark_blocks_in_a_row():
    block, x = lively(Residual(8, 8, branch=4, depth=3)), image(8)
    expected = x
    for unit in block.units:
        expected = expected + unit.conv2(unit.conv1(expected))
    assert torch.equal(block(x), expected)
    with pytest.raises(ArchitectureError, match="keeps the width"):
        Residual(8, 16, branch=4, depth=1)


@pytest.mark.parametrize("kind", [Residual, CSPA, CSPB, CSPC])
def test_the_activation_is_the_given_one_throughout(kind: type[ComputationalBlock]):
    block = kind(8, 8, branch=4, depth=2, activation=leaky_relu)
    acts = [part.act for part in block.modules() if isinstance(part, (ConvBNAct, Conv3x3))]
    assert {type(act) for act in acts} == {nn.LeakyReLU}
