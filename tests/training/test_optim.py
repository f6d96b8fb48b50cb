"""The optimiser's groups, the schedule and the moving average, against the published recipe."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

import yolov7
from yolov7.training.optim import Schedule, averaged, build_optimizer, decay, set_step
from yolov7.training.recipes import COCO_P5


def test_the_warm_up_is_the_longer_of_epochs_and_iterations() -> None:
    assert Schedule(COCO_P5, iterations=1849, batch_size=64).warmup == 5547  # COCO: 3 epochs
    assert Schedule(COCO_P5, iterations=200, batch_size=64).warmup == 1000


def test_a_short_run_is_not_all_warm_up() -> None:
    short = replace(COCO_P5, epochs=60)
    assert Schedule(short, iterations=19, batch_size=16).warmup == 57  # 3 epochs, 5 % of 1140
    as_published = replace(short, warmup_share=1.0)
    assert Schedule(as_published, iterations=19, batch_size=16).warmup == 1000


def test_the_cosine_runs_from_the_learning_rate_to_its_final_share() -> None:
    schedule = Schedule(replace(COCO_P5, epochs=10), iterations=2000, batch_size=64)
    middle, last = schedule.at(5 * 2000).learning_rate, schedule.at(10 * 2000 - 1).learning_rate
    assert middle == pytest.approx(0.01 * 0.55)
    assert last == pytest.approx(0.01 * ((1 - math.cos(math.pi * 0.9)) / 2 * (0.1 - 1) + 1))


def test_warm_up_is_linear_and_reaches_the_schedule_at_its_last_iteration() -> None:
    schedule = Schedule(COCO_P5, iterations=500, batch_size=16)
    assert schedule.warmup == 1500
    first, half, last, after = (schedule.at(i) for i in (0, 750, 1500, 1501))
    assert (first.learning_rate, first.bias_learning_rate, first.momentum, first.accumulate) == (
        0,
        0.1,
        0.8,
        1,
    )
    assert half.momentum == pytest.approx((0.8 + 0.937) / 2)
    assert half.accumulate == 2  # half-way between 1 and 4, 2.5, rounded to even
    assert last.learning_rate == after.learning_rate == pytest.approx(last.bias_learning_rate)
    assert (last.momentum, last.accumulate) == (pytest.approx(0.937), 4)


@pytest.mark.parametrize(
    ("batch", "accumulate", "decay"), [(64, 1, 5e-4), (16, 4, 5e-4), (24, 3, 5.625e-4), (128, 1, 1e-3)]
)
def test_decay_follows_the_images_that_a_step_sees(batch: int, accumulate: int, decay: float) -> None:
    schedule = Schedule(COCO_P5, iterations=1000, batch_size=batch)
    assert schedule.accumulate == accumulate
    assert schedule.weight_decay == pytest.approx(decay)


def test_every_parameter_is_in_one_group_and_only_weights_decay() -> None:
    model = yolov7.create("yolov7", classes=3)
    schedule = Schedule(COCO_P5, iterations=1000, batch_size=64)
    scales, weights, biases = build_optimizer(model, schedule).param_groups
    counted = [len(group["params"]) for group in (scales, weights, biases)]
    assert sum(counted) == len(list(model.parameters()))
    assert (scales["weight_decay"], weights["weight_decay"], biases["weight_decay"]) == (0, 5e-4, 0)
    assert all(p.dim() == 4 for p in weights["params"])
    implicit = {id(p) for name, p in model.named_parameters() if "implicit" in name}
    assert implicit <= {id(p) for p in scales["params"]}
    assert implicit


def test_norms_of_any_kind_do_not_decay_and_shared_weights_are_taken_once() -> None:
    conv = nn.Conv2d(4, 4, 1)
    shared = nn.Conv2d(4, 4, 1)
    shared.weight = conv.weight
    model = nn.Sequential(conv, shared, nn.SyncBatchNorm(4), nn.GroupNorm(2, 4), nn.LayerNorm(4), nn.PReLU())
    schedule = Schedule(COCO_P5, iterations=1000, batch_size=64)
    scales, weights, biases = (group["params"] for group in build_optimizer(model, schedule).param_groups)
    assert (len(scales), len(weights), len(biases)) == (4, 1, 5)
    assert weights[0] is conv.weight


def test_a_step_reaches_the_groups() -> None:
    model = yolov7.create("yolov7-tiny", classes=1)
    schedule = Schedule(COCO_P5, iterations=1000, batch_size=64)
    optimizer = build_optimizer(model, schedule)
    step = schedule.at(10)
    set_step(optimizer, step)
    assert [g["lr"] for g in optimizer.param_groups] == [step.learning_rate] * 2 + [step.bias_learning_rate]
    assert {g["momentum"] for g in optimizer.param_groups} == {step.momentum}


def test_a_long_run_is_averaged_as_published_and_a_short_one_at_all() -> None:
    as_published = replace(COCO_P5, ema_share=0.0)
    assert decay(as_published, 285) == pytest.approx(0.9999 * (1 - math.exp(-285 / 2000)))  # 0.13: hardly any
    assert decay(COCO_P5, 285) == pytest.approx(1 - 1 / 29.5)
    assert decay(COCO_P5, 500_000) == decay(as_published, 500_000) == 0.9999


def test_the_average_follows_the_formula_for_parameters_and_buffers() -> None:
    torch.manual_seed(0)
    as_published = replace(COCO_P5, ema_share=0.0)
    model = yolov7.create("yolov7-tiny", classes=1)
    average = averaged(model, as_published)
    names = dict(model.state_dict())
    name, buffer = (next(key for key in names if key.endswith(end)) for end in ("conv.weight", "running_var"))
    expected: dict[str, torch.Tensor] = {}
    for update in range(1, 4):
        with torch.no_grad():
            for tensor in model.state_dict().values():
                if tensor.is_floating_point():
                    tensor.add_(torch.randn_like(tensor) * 0.1)
                else:
                    tensor.add_(1)
        average.update_parameters(model)
        decay = 0.9999 * (1 - math.exp(-update / 2000))
        for key in (name, buffer):
            now = model.state_dict()[key].double()
            # The first update takes the network as it is: the formula would keep a 2000th of what was before.
            expected[key] = now if update == 1 else expected[key] * decay + now * (1 - decay)
    mine = average.module.state_dict()
    for key, value in expected.items():
        torch.testing.assert_close(mine[key].double(), value, rtol=1e-6, atol=1e-7)
    batches = next(key for key in names if key.endswith("num_batches_tracked"))
    assert mine[batches] == model.state_dict()[batches] == 3
