"""The average of a network over its training, which is what is evaluated and shipped."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from yolov7.models.detector import Detector
from yolov7.training.optim import Schedule


def averaged(model: Detector, schedule: Schedule) -> AveragedModel:
    """An exponential moving average of all parameters and floating-point buffers, batch-norm statistics too.

    Its memory grows as it learns: after n updates the decay is ``ema_decay * (1 - exp(-n / ema_ramp))``, so
    that the first, bad weights are soon forgotten.
    """

    ramp = schedule.ema_ramp

    @torch.no_grad()
    def average(means: list[Tensor], values: list[Tensor], updates: Tensor) -> None:
        decay = schedule.recipe.ema_decay * (1 - math.exp(-(int(updates) + 1) / ramp))
        for mean, value in zip(means, values, strict=True):
            if mean.is_floating_point():
                mean.lerp_(value, 1 - decay)
            else:  # batches counted
                mean.copy_(value)

    return AveragedModel(model, multi_avg_fn=average, use_buffers=True)  # type: ignore[arg-type]
