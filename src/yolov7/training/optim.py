"""The optimiser, its schedule, and the exponential moving average (EMA) of the weights.

The schedule is a pure function of the iteration: resuming needs no scheduler state.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from yolov7.models.detector import Detector
from yolov7.training.recipes import Recipe


@dataclass(frozen=True)
class Step:
    """Settings of the optimiser at one iteration."""

    learning_rate: float  # of weights and scales
    bias_learning_rate: float  # falls during warm-up
    momentum: float  # of SGD
    accumulate: int  # batches whose gradients are summed for one optimiser step


@dataclass(frozen=True)
class Schedule:
    """Linear warm-up, then half a cosine from the peak to the recipe's final share, updated every epoch."""

    recipe: Recipe
    iterations: int  # batches per epoch
    batch_size: int  # images per batch, over all processes

    @property
    def accumulate(self) -> int:
        """Number of batches that make up the nominal batch."""
        return max(1, round(self.recipe.nominal_batch / self.batch_size))

    @property
    def warmup(self) -> int:
        """Iterations of warm-up.

        The published max(3 epochs, 1000 iterations) would cover a whole run on a small data set, so the 1000
        iterations are limited to the recipe's ``warmup_share`` of the run.
        """
        recipe, total = self.recipe, self.recipe.epochs * self.iterations
        by_epochs = round(recipe.warmup_epochs * self.iterations)
        return max(by_epochs, min(recipe.warmup_iterations, round(recipe.warmup_share * total)))

    @property
    def weight_decay(self) -> float:
        """Weight decay, scaled by the images per optimiser step over the nominal batch."""
        return self.recipe.weight_decay * self.batch_size * self.accumulate / self.recipe.nominal_batch

    def at(self, iteration: int) -> Step:
        """Settings at an iteration, counted from 0 over the whole run."""
        recipe, epoch = self.recipe, iteration // self.iterations
        cosine = (1 - math.cos(math.pi * epoch / recipe.epochs)) / 2
        rate = recipe.learning_rate * (cosine * (recipe.final_share - 1) + 1)
        if iteration > self.warmup or self.warmup == 0:
            return Step(rate, rate, recipe.momentum, self.accumulate)
        done = iteration / self.warmup
        return Step(
            learning_rate=done * rate,
            bias_learning_rate=recipe.warmup_bias_rate + done * (rate - recipe.warmup_bias_rate),
            momentum=recipe.warmup_momentum + done * (recipe.momentum - recipe.warmup_momentum),
            accumulate=max(1, round(1 + done * (recipe.nominal_batch / self.batch_size - 1))),
        )


def build_optimizer(model: nn.Module, schedule: Schedule, *, thaws: bool = False) -> torch.optim.SGD:
    """Build SGD with Nesterov momentum and three groups: scales, weights (the only ones with decay), biases.

    Scales act channel by channel: weights of normalisation layers, and implicit vectors. ``thaws`` is True if
    frozen parameters are trained later, which PyTorch's fused SGD does not allow.
    """
    scales, weights, biases = [], [], []
    for path, parameter in model.named_parameters():  # each once, even if two user-defined modules share it
        module, _, name = path.rpartition(".")
        if name == "bias":
            biases.append(parameter)
        elif parameter.dim() < 2 or isinstance(model.get_submodule(module), nn.ParameterList):
            scales.append(parameter)
        else:
            weights.append(parameter)
    can_fuse = all(p.device.type in ("cpu", "cuda") and p.dtype == torch.float32 for p in model.parameters())
    start = schedule.at(0)
    return torch.optim.SGD(
        [
            {"params": scales, "lr": start.learning_rate},
            {"params": weights, "lr": start.learning_rate, "weight_decay": schedule.weight_decay},
            {"params": biases, "lr": start.bias_learning_rate},
        ],
        lr=start.learning_rate,
        momentum=start.momentum,
        nesterov=True,
        fused=not thaws and can_fuse,
    )


def set_step(optimizer: torch.optim.Optimizer, step: Step) -> None:
    """Set learning rates and momentum of an optimiser made by :func:`build_optimizer`."""
    rates = (step.learning_rate, step.learning_rate, step.bias_learning_rate)
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"], group["momentum"] = rate, step.momentum


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

    The published ``ema_decay * (1 - exp(-n / ema_ramp))`` hardly averages in a run of a few hundred updates,
    so the average always covers at least about ``ema_share`` of the updates so far.

    >>> from yolov7.training.recipes import Recipe
    >>> [round(decay(Recipe(), update), 3) for update in (1, 100, 10_000)]
    [0.091, 0.909, 0.999]
    """
    published = recipe.ema_decay * (1 - math.exp(-update / recipe.ema_ramp))
    share = 1 - 1 / (1 + recipe.ema_share * update)
    return max(published, min(share, recipe.ema_decay))
