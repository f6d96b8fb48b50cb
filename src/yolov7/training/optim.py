"""The optimiser and its schedule: a pure function of the iteration, so that resuming needs no state of it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn

from yolov7.training.recipes import Recipe


@dataclass(frozen=True)
class Step:
    """What holds at one iteration.

    Attributes:
        learning_rate: of weights.
        bias_learning_rate: of biases, which warm up from above.
        momentum: of SGD.
        accumulate: iterations whose gradients make one step of the optimiser.
    """

    learning_rate: float
    bias_learning_rate: float
    momentum: float
    accumulate: int


@dataclass(frozen=True)
class Schedule:
    """Warm-up, then half a cosine from 1 to the recipe's final share, epoch by epoch.

    Attributes:
        recipe: the numbers.
        epochs: of the whole run.
        iterations: batches an epoch.
        batch_size: images an iteration, over all processes.
    """

    recipe: Recipe
    epochs: int
    iterations: int
    batch_size: int

    @property
    def accumulate(self) -> int:
        """Iterations that make up the nominal batch."""
        return max(1, round(self.recipe.nominal_batch / self.batch_size))

    @property
    def warmup(self) -> int:
        """Iterations of warm-up.

        The published rule, max(3 epochs, 1000 iterations), would be the whole run on a small data set: the
        1000 count only up to the recipe's share of the run, the epochs always.
        """
        recipe, total = self.recipe, self.epochs * self.iterations
        by_epochs = round(recipe.warmup_epochs * self.iterations)
        return max(by_epochs, min(recipe.warmup_iterations, round(recipe.warmup_share * total)))

    @property
    def weight_decay(self) -> float:
        """Scaled with the images that a step of the optimiser really sees."""
        return self.recipe.weight_decay * self.batch_size * self.accumulate / self.recipe.nominal_batch

    def at(self, iteration: int) -> Step:
        """What holds at an iteration, counted over the whole run from 0."""
        recipe, epoch = self.recipe, iteration // self.iterations
        cosine = (1 - math.cos(math.pi * epoch / self.epochs)) / 2
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
    """SGD with Nesterov momentum over three groups: scales (no decay), weights (decay), biases (no decay).

    Scales are what multiplies or shifts channel by channel, where decay would mean another thing: weights of
    norms of any kind, and implicit vectors.

    Args:
        model: its parameters are optimised.
        schedule: the rates at the beginning, and the decay.
        thaws: some parameters get their first gradient later, which PyTorch's fused steps do not allow for.
    """
    scales, weights, biases = [], [], []
    seen: set[int] = set()
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if id(parameter) in seen:  # shared by two modules of somebody's own
                continue
            seen.add(id(parameter))
            if name == "bias":
                biases.append(parameter)
            elif parameter.dim() < 2 or isinstance(module, nn.ParameterList):
                scales.append(parameter)
            else:
                weights.append(parameter)
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
        fused=not thaws and _can_fuse(model),
    )


def set_step(optimizer: torch.optim.Optimizer, step: Step) -> None:
    """Give the optimiser of :func:`build_optimizer` the rates and the momentum of an iteration."""
    rates = (step.learning_rate, step.learning_rate, step.bias_learning_rate)
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"], group["momentum"] = rate, step.momentum


def _can_fuse(model: nn.Module) -> bool:
    return all(p.device.type in ("cpu", "cuda") and p.dtype == torch.float32 for p in model.parameters())
