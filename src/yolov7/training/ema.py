"""The exponential moving average (EMA) of the weights, which is evaluated and saved."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from yolov7.models.detector import Detector
from yolov7.training.recipes import Recipe


def averaged(model: Detector, recipe: Recipe) -> AveragedModel:
    """EMA of all parameters and buffers, batch-norm statistics included."""

    @torch.no_grad()
    def average(means: Sequence[Tensor], values: Sequence[Tensor], updates: Tensor | int) -> None:
        weight = 1 - decay(recipe, int(updates) + 1)
        for mean, value in zip(means, values, strict=True):
            if mean.is_floating_point():
                mean.lerp_(value, weight)
            else:  # batch norm's num_batches_tracked
                mean.copy_(value)

    return AveragedModel(model, multi_avg_fn=average, use_buffers=True)


def decay(recipe: Recipe, update: int) -> float:
    """EMA decay at update n, counted from 1.

    The published ``ema_decay * (1 - exp(-n / ema_ramp))`` hardly averages in a run of a few hundred updates.
    So the average always covers at least about ``ema_share`` of the updates so far.

    >>> from yolov7.training.recipes import Recipe
    >>> [round(decay(Recipe(), update), 3) for update in (1, 100, 10_000)]
    [0.091, 0.909, 0.999]
    """
    published = recipe.ema_decay * (1 - math.exp(-update / recipe.ema_ramp))
    share = 1 - 1 / (1 + recipe.ema_share * update)
    return max(published, min(share, recipe.ema_decay))
