from __future__ import annotations

import pytest
import torch
from torch import nn

from yolov7.models.blocks import ConvAct, ConvBNAct
from yolov7.models.head import ImplicitHead, PlainHead
from yolov7.models.reparam import RepConv, keeps_identity, reparameterize


def randomize(module: nn.Module) -> nn.Module:
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            for tensor in (part.weight, part.bias, part.running_mean, part.running_var):
                nn.init.uniform_(tensor, 0.5, 1.5)
    return module.eval()


def test_the_plan_forbids_an_identity_beside_a_residual_or_concatenation():
    assert keeps_identity(8, 8, meets_residual_or_concat=False)
    assert not keeps_identity(8, 8, meets_residual_or_concat=True)
    assert not keeps_identity(8, 16, meets_residual_or_concat=False)


@pytest.mark.parametrize(
    "module",
    [
        RepConv(8, 8),
        RepConv(8, 12),
        RepConv(8, 8, meets_residual_or_concat=True),
        RepConv(8, 8, meets_residual_or_concat=True, identity=True),
        ConvBNAct(8, 12, 3, 2),
        ConvBNAct(8, 12, 1),
    ],
    ids=["identity", "wider", "planned without", "against the plan", "strided", "1x1"],
)
def test_fused_convolution_is_the_same_function(module):
    randomize(module)
    x = torch.randn(2, 8, 9, 7)
    with torch.no_grad():
        expected, found = module(x), module.fused()(x)
    assert isinstance(module.fused(), ConvAct)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_identity_branch_is_there_only_where_the_plan_keeps_it():
    assert RepConv(8, 8).bn_identity is not None
    assert RepConv(8, 16).bn_identity is None
    assert RepConv(8, 8, meets_residual_or_concat=True).bn_identity is None


def test_fused_head_is_the_same_function():
    head = ImplicitHead([8, 16], anchors=3, classes=4)
    for vector in (*head.implicit_add, *head.implicit_multiply):
        nn.init.normal_(vector)
    features = [torch.randn(2, 8, 6, 5), torch.randn(2, 16, 3, 2)]
    plain = head.fused()
    assert type(plain) is PlainHead
    for expected, found in zip(head(features), plain(features), strict=True):
        assert expected.shape[1] == 3
        assert expected.shape[4] == 9
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_reparameterize_reaches_nested_parts():
    module = nn.Sequential(nn.Sequential(RepConv(4, 4)), nn.ModuleList([ConvBNAct(4, 4)]))
    with torch.no_grad():
        reparameterize(module)
    assert [type(m) for m in module.modules() if isinstance(m, (RepConv, ConvBNAct, ConvAct))] == [
        ConvAct
    ] * 2
