from __future__ import annotations

import math

import pytest
import torch

from yolov7.errors import ArchitectureError
from yolov7.models.architecture import YOLOV7_TINY
from yolov7.models.detector import create, fuse
from yolov7.types import Predictions


@pytest.fixture(scope="module")
def tiny():
    torch.manual_seed(0)
    return create("yolov7-tiny", classes=3).eval()


def test_decode_follows_the_formula_and_the_order_of_rows(tiny):
    """One logit set at a time shows up at (level, anchor, row, column), with pixels by hand."""
    shapes = [(1, 3, 4, 6, 8), (1, 3, 2, 3, 8), (1, 3, 1, 2, 8)]
    lead = tuple(torch.zeros(shape) for shape in shapes)
    lead[1][0, 2, 1, 0] = torch.tensor([1.0, -1.0, 0.5, -0.5, 2.0, -2.0, 0.0, 3.0])
    rows = tiny.decode(Predictions(lead))
    assert rows.shape == (1, 3 * (24 + 6 + 2), 8)
    found = rows[0, 3 * 24 + 2 * 6 + 1 * 3 + 0].tolist()

    def s(logit: float) -> float:
        return 1 / (1 + math.exp(-logit))

    width, height = YOLOV7_TINY.anchors[1][2]
    assert found == pytest.approx(
        [
            (2 * s(1) - 0.5 + 0) * 16,
            (2 * s(-1) - 0.5 + 1) * 16,
            (2 * s(0.5)) ** 2 * width,
            (2 * s(-0.5)) ** 2 * height,
            *map(s, (2.0, -2.0, 0.0, 3.0)),
        ],
        rel=1e-6,
    )


def test_decode_above_gives_the_same_rows(tiny):
    generator = torch.Generator().manual_seed(1)
    lead = tuple(torch.randn(2, 3, 8 >> i, 12 >> i, 8, generator=generator) for i in range(3))
    rows = tiny.decode(Predictions(lead))
    for image, found in zip(rows, tiny.decode_above(Predictions(lead), 0.6), strict=True):
        expected = image[image[:, 4] > 0.6]
        assert 0 < len(expected) < len(image)
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("size", [(32, 32), (64, 160), (96, 32)])
def test_any_multiple_of_the_stride(tiny, size):
    predictions = tiny(torch.rand(2, 3, *size))
    assert [tuple(p.shape) for p in predictions.lead] == [
        (2, 3, size[0] // stride, size[1] // stride, 8) for stride in (8, 16, 32)
    ]
    assert predictions.aux == ()


def test_other_sizes_are_refused(tiny):
    with pytest.raises(ArchitectureError, match="multiples of 32") as error:
        tiny(torch.rand(1, 3, 100, 64))
    assert "100 x 64" in str(error.value)


def test_anchors_of_ones_own():
    anchors = tuple(((8.0 * i, 9.0), (10.0, 11.0)) for i in (1, 2, 3))
    model = create("yolov7-tiny", classes=1, anchors=anchors).eval()
    assert model.anchors.tolist() == [[list(pair) for pair in level] for level in anchors]
    predictions = model(torch.rand(1, 3, 64, 64))
    assert predictions.lead[0].shape == (1, 2, 8, 8, 6)
    assert model.decode(predictions).shape == (1, 2 * (64 + 16 + 4), 6)
    assert fuse(model).decode(predictions).shape == (1, 168, 6)


@pytest.mark.parametrize("anchors", [(), (((1, 2),),), (((1, 2),), ((1, 2),), ())])
def test_anchors_must_fit_the_levels(anchors):
    with pytest.raises(ArchitectureError, match="anchors of yolov7-tiny"):
        create("yolov7-tiny", anchors=anchors)


def test_initial_biases_expect_rare_objects():
    model = create("yolov7-w6", classes=80)
    for head in (model.lead, model.auxiliary):
        for conv, stride in zip(head.convs, model.strides, strict=True):
            bias = conv.bias.detach().view(3, 85)
            bound = 1 / math.sqrt(
                conv.in_channels
            )  # of the default initialisation that the prior is added to
            assert (bias[:, 4] - math.log(8 / (640 / stride) ** 2)).abs().max() <= bound
            assert (bias[:, 5:] - math.log(0.6 / 79.01)).abs().max() <= bound
            assert bias[:, :4].abs().max() <= bound


def test_fuse_keeps_the_original():
    model = create("yolov7-tiny", classes=2).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    deployed = fuse(model)
    assert model.training
    assert not deployed.training
    assert deployed.deployed
    assert not model.deployed
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert not {p.data_ptr() for p in deployed.parameters()} & {p.data_ptr() for p in model.parameters()}


def test_fuse_twice_is_fuse_once():
    deployed = fuse(create("yolov7-w6", classes=2))
    again = fuse(deployed)
    assert again.architecture == deployed.architecture
    assert deployed.state_dict().keys() == again.state_dict().keys()
