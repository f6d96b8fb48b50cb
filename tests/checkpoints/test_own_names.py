"""State dicts of our own networks, without a description: the network is found by its tensors."""

from __future__ import annotations

import pytest
import torch

from yolov7.checkpoints.own_names import recover
from yolov7.errors import MismatchedCheckpointError
from yolov7.models.architecture import scale
from yolov7.models.detector import create, fuse
from yolov7.models.zoo import find_architecture


@pytest.fixture(scope="module")
def tiny():
    torch.manual_seed(0)
    return create("yolov7-tiny", classes=2).eval()


def test_own_names_without_metadata(tiny):
    again, _, notes = recover(tiny.state_dict())
    assert again.architecture == tiny.architecture
    assert notes == ()
    again, _, notes = recover(fuse(tiny).state_dict())
    assert again.deployed
    assert again.architecture.name == "yolov7-tiny"
    assert "taken as yolov7-tiny" in notes[0]
    with pytest.raises(MismatchedCheckpointError, match="extra"):
        recover(tiny.state_dict() | {"backbone.extra": torch.zeros(1)})
    with pytest.raises(MismatchedCheckpointError, match="anchors"):
        recover({"backbone.stem.0.conv.weight": torch.zeros(1)})


@pytest.mark.parametrize(("name", "width"), [("yolov7", 0.6), ("yolov7-w6", 0.25)])
def test_own_names_of_another_width(name, width):
    network = scale(find_architecture(name), width=width, branch=width)
    again, _, notes = recover(create(network, classes=2).state_dict())
    assert again.architecture == network
    assert notes == (f"its channels are {width} times those of {name}",)


@pytest.mark.parametrize(
    "name", ["yolov7-tiny-silu", "yolor-csp", "yolov4-csp", "yolor-p6", "yolor-w6", "yolor-e6"]
)
def test_own_names_of_baselines_and_of_networks_that_never_had_implicit_vectors(name):
    with torch.device("meta"):
        state = create(name, classes=2).state_dict()
    state["anchors"] = torch.tensor(find_architecture(name).anchors, dtype=torch.float32)
    again, _, notes = recover(state)
    assert again.architecture == find_architecture(name)
    assert len(notes) == (name in ("yolov7-tiny-silu", "yolov4-csp"))


def test_own_names_with_a_number_of_levels_that_no_network_has(tiny):
    with pytest.raises(MismatchedCheckpointError, match="so many levels") as error:
        recover(tiny.state_dict() | {"anchors": torch.ones(2, 3, 2)})
    assert "3 or 4" in str(error.value)


def test_levels_without_end_are_refused_before_their_anchors_become_numbers_of_python(tiny):
    with pytest.raises(MismatchedCheckpointError, match="anchors make no sense") as error:
        recover(tiny.state_dict() | {"anchors": torch.ones(65, 3, 2)})
    assert "up to 64 levels" in str(error.value)
