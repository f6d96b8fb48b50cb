"""Weights of one network for another."""

from __future__ import annotations

import pytest
import torch

import yolov7
from yolov7.errors import UsageError
from yolov7.training.transfer import parts, transfer


def test_other_classes_take_all_but_the_heads() -> None:
    source, target = yolov7.create("yolov7-tiny", classes=80), yolov7.create("yolov7-tiny", classes=3)
    theirs, fresh = (
        {name: t.clone() for name, t in model.state_dict().items()} for model in (source, target)
    )
    outcome = transfer(source, target)
    assert outcome.left == {}
    assert {name.rpartition(".")[0] for name in outcome.partly} == {
        *(f"lead.convs.{level}" for level in range(3)),
        "lead.implicit_multiply",
    }
    after = target.state_dict()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in source.state_dict().items())
    assert all(torch.equal(after[name], theirs[name]) for name in outcome.taken)
    for name in outcome.partly:
        axis = 1 if "multiply" in name else 0
        now, then, given = (
            t[name].unflatten(axis, (3, -1)).movedim(axis + 1, 0) for t in (after, fresh, theirs)
        )
        assert torch.equal(now[:5], given[:5])
        assert torch.equal(now[5:], then[5:])
    assert {*outcome.taken, *outcome.partly, "anchors"} == set(after)
    assert "boxes and objectness taken, classes fresh: lead.convs.0.weight" in outcome.summary()


def test_other_anchors_take_other_heads() -> None:
    architecture = yolov7.create("yolov7-tiny").architecture
    two = tuple(level[:2] for level in architecture.anchors)
    outcome = transfer(yolov7.create(architecture, 3, two), yolov7.create(architecture, 3))
    assert {name.split(".")[0] for name in outcome.left} == {"lead"}
    assert outcome.partly == ()
    assert "(24, 128, 1, 1) here, (16, 128, 1, 1) in the weights" in outcome.summary()


def test_anchors_stay_the_targets() -> None:
    architecture = yolov7.create("yolov7-tiny").architecture
    anchors = tuple(tuple((w + 1, h) for w, h in level) for level in architecture.anchors)
    source, target = yolov7.create(architecture, 3, anchors), yolov7.create(architecture, 3)
    transfer(source, target)
    assert torch.equal(target.anchors, torch.tensor(architecture.anchors))


def test_a_deployed_network_gives_what_its_convolutions_are() -> None:
    source, target = yolov7.create("yolov7-tiny", classes=3), yolov7.create("yolov7-tiny", classes=3)
    outcome = transfer(yolov7.fuse(source), target)
    assert outcome.taken
    assert any("bn" in name and reason == "not in the weights" for name, reason in outcome.left.items())


def test_networks_that_share_nothing_are_refused() -> None:
    class Other(type(yolov7.create("yolov7-tiny"))):
        def state_dict(self, *_: object, **__: object) -> dict[str, torch.Tensor]:
            return {"weight": torch.zeros(1)}

    other = yolov7.create("yolov7-tiny")
    other.__class__ = Other
    with pytest.raises(UsageError, match="nothing in the weights fits"):
        transfer(other, yolov7.create("yolov7-tiny"))


def test_parts_are_found_by_name() -> None:
    model = yolov7.create("yolov7-tiny")
    assert parts(model, ["backbone", "backbone.stages.0"]) == [model.backbone, model.backbone.stages[0]]
    for wrong in ("legs", ""):
        with pytest.raises(UsageError, match="backbone, neck, outputs"):
            parts(model, [wrong])
