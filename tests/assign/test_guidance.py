"""Who guides whom, with how many candidates and how many IoUs."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tests.assign.scenes import ANCHORS, STRIDES, make_scene, rows
from yolov7.assign.guidance import Assigner, Guidance, coarse_to_fine, independent, lead_guided
from yolov7.assign.simota import simota
from yolov7.errors import UsageError
from yolov7.models.decode import HeadOutput
from yolov7.types import Assignment, Predictions, Targets

SCENE = make_scene([8, 3, 12])
FINE, COARSE = 0.5, 1.0


def test_without_auxiliary_heads_only_the_lead_head_is_assigned_and_ten_ious_count():
    labels, none = Assigner(ANCHORS, STRIDES)(Predictions(SCENE.predictions.lead), SCENE.targets)
    assert none is None
    assert rows(labels) == rows(simota(SCENE.lead(), SCENE.targets, FINE, q=10))
    assert rows(labels) != rows(simota(SCENE.lead(), SCENE.targets, FINE))


def test_independent():
    lead, aux = Assigner(ANCHORS, STRIDES, independent)(SCENE.predictions, SCENE.targets)
    assert rows(lead) == rows(simota(SCENE.lead(), SCENE.targets, FINE))
    assert rows(aux) == rows(simota(SCENE.aux(), SCENE.targets, FINE))


def test_lead_guided():
    lead, aux = Assigner(ANCHORS, STRIDES, lead_guided)(SCENE.predictions, SCENE.targets)
    assert rows(lead) == rows(aux) == rows(simota(SCENE.lead(), SCENE.targets, FINE))


def test_coarse_to_fine_is_the_default_and_gives_the_auxiliary_head_more():
    lead, aux = Assigner(ANCHORS, STRIDES)(SCENE.predictions, SCENE.targets)
    assert rows(lead) == rows(simota(SCENE.lead(), SCENE.targets, FINE))
    assert rows(aux) == rows(simota(SCENE.lead(), SCENE.targets, COARSE))
    assert len(aux) > len(lead)


@pytest.mark.parametrize("guidance", [lead_guided, coarse_to_fine])
def test_the_guided_head_has_no_say(guidance: Guidance):
    other = replace(SCENE.predictions, aux=tuple(level + 1 for level in SCENE.predictions.aux))
    assigner = Assigner(ANCHORS, STRIDES, guidance)
    before, after = assigner(SCENE.predictions, SCENE.targets), assigner(other, SCENE.targets)
    assert [rows(labels) for labels in before] == [rows(labels) for labels in after]


def test_the_upper_bound_matters_to_the_auxiliary_heads_own_assignment_only():
    with_bound = Assigner(ANCHORS, STRIDES, independent)(SCENE.predictions, SCENE.targets)
    without = Assigner(ANCHORS, STRIDES, independent, upper_bound=False)(SCENE.predictions, SCENE.targets)
    assert rows(with_bound[0]) == rows(without[0])
    assert rows(with_bound[1]) != rows(without[1])
    guided = Assigner(ANCHORS, STRIDES, upper_bound=False)(SCENE.predictions, SCENE.targets)
    expected = Assigner(ANCHORS, STRIDES)(SCENE.predictions, SCENE.targets)
    assert [rows(labels) for labels in guided] == [rows(labels) for labels in expected]


def test_a_guidance_of_ones_own():
    def swapped(lead: HeadOutput, aux: HeadOutput, targets: Targets) -> tuple[Assignment, Assignment]:
        return coarse_to_fine(aux, lead, targets)

    lead, _ = Assigner(ANCHORS, STRIDES, swapped)(SCENE.predictions, SCENE.targets)
    assert rows(lead) == rows(simota(SCENE.aux(), SCENE.targets, FINE))


@pytest.mark.parametrize("labels", [None, (None, None), [1, 2], (1, 2, 3)])
def test_a_guidance_that_gives_no_labels_is_refused(labels: object):
    def useless(*_: object) -> object:
        return labels

    with pytest.raises(UsageError, match="guidance useless"):
        Assigner(ANCHORS, STRIDES, useless)(SCENE.predictions, SCENE.targets)


def test_a_batch_without_ground_truths():
    scene = make_scene([0, 0])
    lead, aux = Assigner(ANCHORS, STRIDES)(scene.predictions, scene.targets)
    assert aux is not None
    assert len(lead) == len(aux) == 0
    assert all(values.dtype == torch.int64 for values in vars(lead).values())
