"""The average of the weights, against its formula."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

import yolov7
from yolov7.training.ema import averaged, decay
from yolov7.training.recipes import COCO_P5


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
