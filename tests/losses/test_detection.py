"""The loss against a plain form of it, its gradients, and what it does over several processes."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.assign.scenes import ANCHORS, STRIDES, Scene, make_scene, scenes
from tests.losses.reference import plain_losses
from yolov7.assign.guidance import Assigner, Guidance, coarse_to_fine, independent
from yolov7.errors import ArchitectureError, UsageError
from yolov7.losses.detection import Auxiliary, DetectionLoss, Gains, Losses
from yolov7.models.detector import create
from yolov7.types import Assignment, Predictions, Targets

GAINS = Gains(box=0.05, objectness=0.7, classes=0.3)


def learning(scene: Scene) -> Predictions:
    """The scene's predictions, with room for gradients."""
    p = scene.predictions
    lead, aux = ([level.clone().requires_grad_() for level in head] for head in (p.lead, p.aux))
    return Predictions(tuple(lead), tuple(aux))


def gradients(predictions: Predictions) -> list[Tensor]:
    """Of every level of both heads."""
    found = [level.grad for level in (*predictions.lead, *predictions.aux)]
    assert all(gradient is not None for gradient in found)
    return found


def weigh(scene: Scene, predictions: Predictions, guidance: Guidance = coarse_to_fine) -> Losses:
    """Assign and weigh with what is usual."""
    assignments = Assigner(ANCHORS, STRIDES, guidance)(predictions, scene.targets)
    return DetectionLoss(ANCHORS, STRIDES, GAINS)(predictions, assignments, scene.targets)


@settings(max_examples=25)
@given(scenes(1.0, 4.0, most=3), st.booleans(), st.sampled_from((0.0, 0.1)))
def test_losses_and_gradients_are_those_of_the_plain_form(scene: Scene, upper_bound: bool, smoothing: float):
    predictions, targets = learning(scene), scene.targets
    assignments = Assigner(ANCHORS, STRIDES)(predictions, targets)
    loss = DetectionLoss(ANCHORS, STRIDES, GAINS, Auxiliary(0.25, upper_bound), smoothing)
    found = loss(predictions, assignments, targets)
    found.total.backward()

    plain = learning(scene)
    lead, aux = assignments
    assert aux is not None
    terms = plain_losses(plain.lead, lead, targets, upper_bound=True, smoothing=smoothing)
    terms = terms + 0.25 * plain_losses(plain.aux, aux, targets, upper_bound=upper_bound, smoothing=smoothing)
    expected = terms * torch.tensor([GAINS.box, GAINS.objectness, GAINS.classes], dtype=torch.float64)
    expected.sum().backward()
    values = torch.stack((found.box, found.objectness, found.classes)).double()
    torch.testing.assert_close(values, expected.detach(), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(found.total.detach(), values.sum().float())
    for ours, theirs in zip(gradients(predictions), gradients(plain), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-6)


def test_where_two_positives_share_a_place_the_later_ones_label_stands():
    scene = make_scene([2], classes=1)
    far, near = [0.0, 0, 9, 9], [60.0, 44, 70, 52]
    targets = Targets(torch.tensor([0, 0]), torch.tensor([far, near]), torch.tensor([0, 0]))
    both = torch.tensor([0, 0])
    place = {"level": both, "image": both, "anchor": both, "row": both + 6, "column": both + 8}

    def objectness(*order: int) -> float:
        positives = Assignment(**place, target=torch.tensor(order))
        lead_only = Predictions(scene.predictions.lead)
        return float(DetectionLoss(ANCHORS, STRIDES, GAINS)(lead_only, (positives, None), targets).objectness)

    assert objectness(0, 1) == objectness(1, 1) != objectness(1, 0) == objectness(0, 0)


def test_the_order_of_the_positives_does_not_matter():
    """Also not where several share a place: `order` says whose objectness label stands."""
    scene = make_scene([9, 14, 3], step=16)
    predictions, targets = scene.predictions, scene.targets
    lead, aux = Assigner(ANCHORS, STRIDES)(predictions, targets)
    assert aux is not None
    place = torch.stack((aux.level, aux.image, aux.anchor, aux.row, aux.column), 1)
    assert len(place.unique(dim=0)) < len(place)
    loss = DetectionLoss(ANCHORS, STRIDES, GAINS)
    expected = vars(loss(predictions, (lead, aux), targets))
    for seed in range(3):
        g = torch.Generator().manual_seed(seed)

        def shuffled(labels: Assignment, g: torch.Generator = g) -> Assignment:
            order = torch.randperm(len(labels), generator=g)
            return Assignment(**{name: values[order] for name, values in vars(labels).items()})

        assert vars(loss(predictions, (shuffled(lead), shuffled(aux)), targets)) == expected


@pytest.mark.parametrize(
    ("field", "value"),
    [("level", 3), ("level", -1), ("image", 2), ("anchor", 3), ("row", 16), ("column", 12), ("target", 12)],
)
def test_positives_that_lie_nowhere_are_refused(field: str, value: int):
    scene = make_scene([7, 5])
    lead, _ = Assigner(ANCHORS, STRIDES)(scene.predictions, scene.targets)
    values = {name: tensor.clone() for name, tensor in vars(lead).items()}
    values["level"][0] = 0
    values[field][0] = value
    loss, p = DetectionLoss(ANCHORS, STRIDES, GAINS), scene.predictions
    with pytest.raises(
        UsageError, match=f"1 of {len(lead)} positives.*\n.*\n.*positive 0: .*{field} {value}"
    ):
        loss(Predictions(p.lead), (Assignment(**values), None), scene.targets)
    values[field] = values[field][:-1]
    with pytest.raises(UsageError, match="one shape"):
        Assignment(**values)


@pytest.mark.parametrize("variant", ["yolov7-tiny", pytest.param("yolov7-w6", marks=pytest.mark.slow)])
def test_without_any_positive_every_parameter_still_gets_a_gradient(variant: str):
    model = create(variant, classes=3).train()
    images = torch.rand(2, 3, 64, 64)
    targets = Targets(torch.zeros(0, dtype=torch.int64), torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64))
    predictions = model(images)
    assignments = Assigner(model.anchors, model.strides)(predictions, targets)
    losses = DetectionLoss(model.anchors, model.strides, GAINS)(predictions, assignments, targets)
    losses.total.backward()
    assert float(losses.box) == float(losses.classes) == 0 < float(losses.objectness)
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())
    classes = model.lead.convs[0].weight.grad.unflatten(0, (3, 8))[:, 5:]
    assert not classes.any()


@pytest.mark.parametrize("counts", [([6, 3], [2, 9]), ([0, 0], [5, 4]), ([0, 1], [0, 0]), ([0, 0], [0, 0])])
def test_the_mean_gradient_of_two_processes_is_that_of_one_with_both_batches(counts):
    """Also where one process has no positives at a level, or none at all."""
    together = make_scene([*counts[0], *counts[1]])
    predictions = learning(together)
    (weigh(together, predictions).total * 4).backward()

    halves, t = [], together.targets
    for images in (slice(0, 2), slice(2, 4)):
        p = together.predictions
        part = Predictions(*(tuple(level[images] for level in head) for head in (p.lead, p.aux)))
        (own,) = ((t.image_index >= images.start) & (t.image_index < images.stop)).nonzero(as_tuple=True)
        targets = Targets(t.image_index[own] - images.start, t.boxes[own], t.labels[own])
        halves.append(Scene(part, targets))
    assignments = [Assigner(ANCHORS, STRIDES)(half.predictions, half.targets) for half in halves]

    parts = []
    for mine, half in enumerate(halves):
        heads = iter(range(2))

        def mean(counted: Tensor, mine: int = mine, heads=heads) -> Tensor:
            head = next(heads)
            everywhere = [torch.bincount(labels[head].level, minlength=3).float() for labels in assignments]
            assert torch.equal(counted, everywhere[mine])
            return torch.stack(everywhere).mean(0)

        part = learning(half)
        loss = DetectionLoss(ANCHORS, STRIDES, GAINS, mean_over_processes=mean)
        (loss(part, assignments[mine], half.targets).total * 2 * 2).backward()
        parts.append(gradients(part))
    for whole, first, second in zip(gradients(predictions), *parts, strict=True):
        # Each process holds its own images: averaging weights gradients halves what they contribute.
        torch.testing.assert_close(torch.cat((first, second)) / 2, whole, rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_in_float32_whatever_the_logits_and_autocast(dtype: torch.dtype):
    scene = make_scene([7, 5])
    p = scene.predictions
    halves = Predictions(*(tuple(level.to(dtype) for level in head) for head in (p.lead, p.aux)))
    floats = Predictions(*(tuple(level.float() for level in head) for head in (halves.lead, halves.aux)))
    with torch.autocast("cpu", torch.bfloat16):
        found = weigh(scene, halves)
    assert found.total.dtype == torch.float32
    assert vars(found) == vars(weigh(scene, floats))


def test_only_the_total_has_a_gradient_and_it_is_the_sum():
    scene = make_scene([7, 5])
    losses = weigh(scene, learning(scene))
    assert losses.total.requires_grad
    parts = (losses.box, losses.objectness, losses.classes)
    assert not any(part.requires_grad for part in parts)
    torch.testing.assert_close(losses.total.detach(), sum(parts))


def test_auxiliary_heads_count_a_quarter():
    scene = make_scene([7, 5])
    lead, aux = Assigner(ANCHORS, STRIDES, independent)(scene.predictions, scene.targets)
    assert aux is not None
    loss = DetectionLoss(ANCHORS, STRIDES, GAINS)
    p, t = scene.predictions, scene.targets
    alone = loss(Predictions(p.lead), (lead, None), t).total
    other = loss(Predictions(p.aux), (aux, None), t).total
    torch.testing.assert_close(loss(p, (lead, aux), t).total, alone + other / 4)


@pytest.mark.parametrize(("upper_bound", "label_can_be_1"), [(True, False), (False, True)])
def test_with_the_upper_bound_a_coarse_label_cannot_be_fitted(upper_bound: bool, label_can_be_1: bool):
    """Table 7: the centre lies 0.9 cells left of the cell that is to predict it."""
    target = Targets(torch.tensor([0]), torch.tensor([[50.8, 44, 62.8, 60]]), torch.tensor([0]))
    fields = zip(("level", "image", "anchor", "row", "column", "target"), (0, 0, 0, 6, 8, 0), strict=True)
    coarse = Assignment(**{name: torch.tensor([value]) for name, value in fields})
    scene = make_scene([1], classes=1, spread=0)
    nothing = Assignment(*(values[:0] for values in vars(coarse).values()))
    loss = DetectionLoss(ANCHORS, STRIDES, Gains(1, 0, 0), Auxiliary(1.0, upper_bound))
    best = torch.inf
    for x in torch.linspace(-12, 12, 481):
        scene.predictions.aux[0][0, 0, 6, 8, :4] = torch.tensor([x, 0, 0, 0])  # y, w, h fit
        best = min(best, float(loss(scene.predictions, (nothing, coarse), target).box))
    assert (best < 0.01) == label_can_be_1


def test_gains_are_scaled_for_levels_classes_and_size():
    scaled = GAINS.scaled(levels=4, classes=40, size=1280)
    assert vars(scaled) == pytest.approx({"box": 0.0375, "objectness": 2.1, "classes": 0.1125})
    assert GAINS.scaled(levels=3, classes=80, size=640) == GAINS


def test_other_numbers_of_levels_are_refused():
    with pytest.raises(ArchitectureError, match="3 or 4 levels"):
        DetectionLoss(ANCHORS[:2], STRIDES[:2], GAINS)
