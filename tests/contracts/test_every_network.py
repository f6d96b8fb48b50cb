"""What holds for everything that has a name: variants, baselines, networks of the ablations.

Widths are an eighth of the real ones, depths and wiring are the real ones.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from yolov7.assign.guidance import Assigner
from yolov7.losses.detection import DetectionLoss, Gains
from yolov7.models.architecture import Architecture, scale
from yolov7.models.detector import Detector, fuse
from yolov7.models.zoo import NETWORKS
from yolov7.types import Targets

CLASSES = 2
every_network = pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.name)


def narrow(network: Architecture) -> Detector:
    torch.manual_seed(0)
    return Detector(scale(network, width=0.125, branch=0.125), CLASSES)


def images(network: Architecture) -> Tensor:
    """Two, of two by three cells on the coarsest level."""
    return torch.rand(2, 3, 2 * network.strides[-1], 3 * network.strides[-1])


@pytest.fixture
def _in_double() -> Iterator[None]:
    """Deep networks with random weights make much of rounding; in 64 bits only mistakes are left."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@torch.no_grad()
def give_every_part_a_say(model: nn.Module, inputs: Tensor) -> None:
    """Weights at random, statistics as on these images: every branch adds as much to the result."""
    for part in model.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight)
        elif isinstance(part, nn.BatchNorm2d):
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.uniform_(part.bias, -0.2, 0.2)
            part.momentum = 1.0
    model.train()(inputs)


@every_network
@torch.no_grad()
@pytest.mark.usefixtures("_in_double")
def test_folding_changes_nothing_but_the_form(network: Architecture):
    model, inputs = narrow(network), images(network)
    give_every_part_a_say(model, inputs)
    predictions = model.eval()(inputs)
    cells = [(2 * network.strides[-1] // s, 3 * network.strides[-1] // s) for s in network.strides]
    shapes = [(2, 3, height, width, 5 + CLASSES) for height, width in cells]
    assert [tuple(level.shape) for level in predictions.lead] == shapes
    assert [tuple(level.shape) for level in predictions.aux] == (shapes if network.auxiliary else [])
    deployed = fuse(model)
    for expected, found in zip(predictions.lead, deployed(inputs).lead, strict=True):
        assert expected.std() > 0.1  # else there is nothing to compare
        assert (found - expected).norm() / expected.norm() < 1e-9
    assert deployed.deployed
    assert not [part for part in deployed.modules() if isinstance(part, nn.BatchNorm2d)]
    assert not [name for name, _ in deployed.named_parameters() if "implicit" in name or "auxiliary" in name]


@every_network
def test_one_step_of_training_reaches_every_parameter(network: Architecture):
    model = narrow(network).train()
    size = 2 * network.strides[-1]
    predictions = model(images(network))
    boxes = torch.tensor([[10.0, 10, 40, 50], [5, 5, size - 5, size - 5]])
    targets = Targets(torch.tensor([0, 1]), boxes, torch.tensor([0, 1]))
    assignments = Assigner(model.anchors, model.strides)(predictions, targets)
    assert len(assignments[0].level) > 0
    gains = Gains(box=0.05, objectness=0.7, classes=0.3).scaled(len(model.strides), CLASSES, size)
    losses = DetectionLoss(model.anchors, model.strides, gains)(predictions, assignments, targets)
    losses.total.backward()
    assert losses.total.isfinite()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name
