"""The average of a network over its training, which is what is evaluated and shipped."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from yolov7.models.detector import Detector
from yolov7.training.recipes import Recipe


def averaged(model: Detector, recipe: Recipe) -> AveragedModel:
    """An exponential moving average of all parameters and buffers, batch-norm statistics too."""

    @torch.no_grad()
    def average(means: Sequence[Tensor], values: Sequence[Tensor], updates: Tensor | int) -> None:
        weight = 1 - decay(recipe, int(updates) + 1)
        for mean, value in zip(means, values, strict=True):
            if mean.is_floating_point():
                mean.lerp_(value, weight)
            else:  # batches counted
                mean.copy_(value)

    return AveragedModel(model, multi_avg_fn=average, use_buffers=True)


def decay(recipe: Recipe, update: int) -> float:
    """What is kept of the average at an update, counted from 1.

    The published ``ema_decay * (1 - exp(-n / ema_ramp))`` forgets the first, bad weights soon. It leaves
    a run of a few hundred updates without any average, though: so a share of the updates so far is always
    remembered.
    """
    published = recipe.ema_decay * (1 - math.exp(-update / recipe.ema_ramp))
    share = 1 - 1 / (1 + recipe.ema_share * update)
    return max(published, min(share, recipe.ema_decay))
