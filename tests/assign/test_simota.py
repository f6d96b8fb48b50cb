"""SimOTA against a plain dense form of it, and its costs against their definition."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from tests.assign.reference import dense_simota, every_pair
from tests.assign.scenes import ANCHORS, Scene, make_scene, rows, scenes
from yolov7.assign import simota as module
from yolov7.assign.candidates import find_candidates
from yolov7.assign.simota import candidate_boxes, simota
from yolov7.boxes import cxcywh_to_xyxy, pairwise_iou
from yolov7.models.decode import HeadOutput, logits_at
from yolov7.models.detector import create
from yolov7.types import Places, Predictions, Targets


def candidates_of(head: HeadOutput, targets: Targets, reach: float = 0.5) -> Places:
    return find_candidates(targets, head.anchors, head.strides, head.grids, reach)


@given(scenes(0.0, 1.0, 4.0), st.sampled_from((0.5, 1.0)), st.sampled_from((10, 20)))
def test_positives_are_those_of_the_dense_form_in_its_order(scene: Scene, reach: float, q: int):
    head = scene.lead()
    assert rows(simota(head, scene.targets, reach, q)) == dense_simota(head, scene.targets, reach, q)


@given(scenes(0.0, 1.0, 4.0), st.sampled_from((1, 50, 700)))
def test_small_portions_change_nothing(scene: Scene, pairs_at_once: int):
    head = scene.lead()
    whole = rows(simota(head, scene.targets, 1.0))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "PAIRS_AT_ONCE", pairs_at_once)
        assert rows(simota(head, scene.targets, 1.0)) == whole


def test_costs_are_the_binary_cross_entropy_of_all_classes_and_the_logarithm_of_the_iou():
    scene = make_scene([6, 9], classes=5)
    head, targets = scene.lead(), scene.targets
    candidates = candidates_of(head, targets)
    ious, costs = every_pair(head, targets, candidates)

    logits = logits_at(head.logits, candidates)
    boxes = candidate_boxes(head, logits, candidates)
    probabilities = logits[:, 4:].double().sigmoid()
    score = (probabilities[:, 1:] * probabilities[:, :1]).sqrt()
    right = F.one_hot(targets.labels, 5).double()
    classes = F.binary_cross_entropy_with_logits(
        torch.logit(score).expand(15, -1, -1),
        right[:, None].expand(-1, len(candidates), -1),
        reduction="none",
    )
    expected_ious = pairwise_iou(targets.boxes, boxes).double()
    expected = classes.sum(2) - 3 * (expected_ious + 1e-8).log()
    torch.testing.assert_close(ious.double(), expected_ious, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(costs.double(), expected, rtol=1e-5, atol=1e-5)


def test_boxes_at_candidates_are_those_that_the_detector_decodes():
    model = create("yolov7-tiny", classes=3).eval()
    with torch.no_grad():
        predictions = model(torch.rand(2, 3, 64, 96))
        decoded = cxcywh_to_xyxy(model.decode(predictions)[..., :4])
    head = HeadOutput(predictions.lead, model.anchors, torch.tensor([8.0, 16, 32]))
    places = candidates_of(head, make_scene([5, 5], size=(64, 96)).targets)
    sizes = [level[0, ..., 0].numel() for level in predictions.lead]
    boxes = candidate_boxes(head, logits_at(head.logits, places), places)
    assert len(boxes) > 20
    for box, level, image, anchor, row, column in zip(
        boxes, places.level, places.image, places.anchor, places.row, places.column, strict=True
    ):
        height, width = head.grids[level]
        index = sum(sizes[:level]) + (anchor * height + row) * width + column
        torch.testing.assert_close(box, decoded[image, index], rtol=1e-5, atol=1e-4)


def test_without_ground_truths_there_are_no_positives():
    scene = make_scene([0, 0])
    assert len(simota(scene.lead(), scene.targets, 1.0)) == 0


def test_a_ground_truth_without_candidates_can_win_those_of_another():
    """It is too flat for any anchor, and yet what some predictions are best for."""
    small, wide = [40.0, 40, 60, 60], [0.0, 48, 128, 52]
    scene = make_scene([2], size=(96, 128), classes=2, spread=0)
    targets = Targets(torch.tensor([0, 0]), torch.tensor([small, wide]), torch.tensor([0, 1]))
    alone = replace(
        targets, **{name: getattr(targets, name)[1:] for name in ("image_index", "boxes", "labels")}
    )
    assert len(simota(scene.lead(), alone, 1.0)) == 0
    for level in scene.predictions.lead:
        level[..., 4:] = torch.tensor([8.0, -8.0, 8.0])  # all are sure of the wide one's class
    assert 1 in {row[-1] for row in rows(simota(scene.lead(), targets, 1.0))}


def test_of_equal_costs_the_first_candidate_and_the_first_ground_truth_count():
    scene = make_scene([2], size=(64, 64), classes=1, spread=0)
    box = [
        26.0,
        24.0,
        38.0,
        40.0,
    ]  # its centre, 32, 32, is a corner of cells: right and below are the own cell
    targets = Targets(torch.tensor([0, 0]), torch.tensor([box, box]), torch.tensor([0, 0]))
    listed = candidates_of(scene.lead(), targets)
    positives = rows(simota(scene.lead(), targets, 0.5))
    place = ("level", "image", "anchor", "row", "column")
    first = tuple(int(getattr(listed, name)[0]) for name in place)
    assert positives[0] == (*first, 0)
    assert {row[-1] for row in positives} == {0}


@given(st.lists(st.floats(0, 100, width=32), min_size=1, max_size=30))
def test_keys_sort_as_costs_do_and_hold_an_index(costs: list[float]):
    keys = module.with_index(module.sort_keys(torch.tensor(costs)), torch.arange(len(costs)))
    by_cost = sorted(range(len(costs)), key=costs.__getitem__)  # stable
    assert module.index_of(keys.sort().values).tolist() == by_cost
    never = torch.tensor([module.NEVER])
    assert (module.with_index(never, keys.argsort()[:1]) == never).all()


def test_the_order_of_images_in_the_targets_does_not_matter():
    scene = make_scene([7, 0, 11, 3])
    t = scene.targets
    order = t.image_index.argsort(stable=True)
    ordered = Targets(t.image_index[order], t.boxes[order], t.labels[order])
    expected = [(*row[:-1], int(order[row[-1]])) for row in rows(simota(scene.lead(), ordered, 1.0))]
    assert rows(simota(scene.lead(), t, 1.0)) == expected


def test_each_image_is_assigned_as_if_it_were_alone():
    scene = make_scene([7, 0, 11, 3])
    together = rows(simota(scene.lead(), scene.targets, 0.5))
    for image in range(4):
        (own,) = (scene.targets.image_index == image).nonzero(as_tuple=True)
        t = scene.targets
        alone = Scene(
            Predictions(tuple(level[image : image + 1] for level in scene.predictions.lead)),
            Targets(torch.zeros_like(own), t.boxes[own], t.labels[own]),
        )
        expected = [
            (row[0], image, *row[2:5], int(own[row[5]]))
            for row in rows(simota(alone.lead(), alone.targets, 0.5))
        ]
        assert [row for row in together if row[1] == image] == expected


def test_no_gradient_and_float32_under_autocast():
    scene = make_scene([9, 4])
    expected = rows(simota(scene.lead(), scene.targets, 0.5))
    learning = tuple(level.clone().requires_grad_() for level in scene.predictions.lead)
    with torch.autocast("cpu", torch.bfloat16):
        found = simota(replace(scene.lead(), logits=learning), scene.targets, 0.5)
    assert rows(found) == expected
    assert not any(values.requires_grad for values in vars(found).values())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_logits_of_half_precision_are_read_as_float32(dtype: torch.dtype):
    scene = make_scene([9, 4])
    halves = tuple(level.to(dtype) for level in scene.predictions.lead)
    floats = tuple(level.float() for level in halves)
    found = simota(replace(scene.lead(), logits=halves), scene.targets, 0.5)
    assert rows(found) == rows(simota(replace(scene.lead(), logits=floats), scene.targets, 0.5))


@pytest.mark.parametrize("value", [200.0, -200.0, torch.inf, -torch.inf, torch.nan])
def test_extreme_logits_are_assigned_too(value: float):
    """Costs stay finite at certain and at impossible scores; where nothing is a number, nothing breaks."""
    scene = make_scene([9, 4])
    extreme = tuple(level.clone() for level in scene.predictions.lead)
    for level in extreme:
        level[..., 4:] = value
    head = replace(scene.lead(), logits=extreme)
    _, costs = every_pair(head, scene.targets, candidates_of(head, scene.targets))
    assert costs.isnan().all() if value != value else costs.isfinite().all()
    assert len(simota(head, scene.targets, 0.5)) > 0


def test_a_better_prediction_earns_more_positives():
    """k is the sum of the IoUs: with perfect boxes (nearly) every candidate becomes a positive."""
    target = Targets(torch.tensor([0]), torch.tensor([[56.5, 52.5, 68.5, 68.5]]), torch.tensor([0]))
    scene = make_scene([1], size=(128, 128), classes=1, spread=0)
    places = candidates_of(scene.lead(), target)
    poor = len(simota(scene.lead(), target, 0.5))
    x1, y1, x2, y2 = target.boxes[0].tolist()
    for level, image, anchor, row, column in zip(
        places.level, places.image, places.anchor, places.row, places.column, strict=True
    ):
        stride = 8 * 2 ** int(level)
        width, height = ANCHORS[level, anchor].tolist()
        centre = (((x1 + x2) / 2 / stride - column + 0.5) / 2, ((y1 + y2) / 2 / stride - row + 0.5) / 2)
        size = (((x2 - x1) / width) ** 0.5 / 2, ((y2 - y1) / height) ** 0.5 / 2)
        scene.predictions.lead[level][image, anchor, row, column, :4] = torch.logit(
            torch.tensor([*centre, *size])
        )
    head = scene.lead()
    boxes = candidate_boxes(head, logits_at(head.logits, places), places)
    torch.testing.assert_close(boxes, target.boxes.expand_as(boxes), rtol=0, atol=1e-3)
    assert len(simota(head, target, 0.5)) >= len(places) - 1 > poor
