"""The training step of every variant: predict, assign, compute the loss, step."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from yolov7.assign.guidance import Assigner
from yolov7.errors import TrainingError, UsageError
from yolov7.losses.detection import Loss, Losses
from yolov7.models.detector import Detector
from yolov7.training.config import TrainConfig
from yolov7.training.optim import Schedule, averaged, build_optimizer, set_step
from yolov7.training.transfer import parts
from yolov7.types import Batch, Targets


class Tally:
    """Running means of an epoch's losses per image, kept on the device so that no step waits for it."""

    names = ("total", "box", "objectness", "classes")

    def __init__(self, device: torch.device) -> None:
        self.images = 0
        self._sums = torch.zeros(len(self.names), device=device)

    def add(self, losses: Losses, images: int) -> None:
        """Add the losses of a batch."""
        values = torch.stack([getattr(losses, name).detach() for name in self.names])
        self._sums = self._sums + values * images
        self.images += images

    def means(self) -> Tensor:
        """Mean losses (4,), in the order of `names`; NaN before the first batch."""
        return self._sums / self.images


class TrainingModule(pl.LightningModule):
    """Lightning module that trains a detector.

    Optimisation is manual: gradients of small batches are summed, not averaged, over a number of batches that
    grows during warm-up.

    Args:
        model: network in training form, with or without auxiliary heads.
        schedule: optimiser settings by iteration, and the recipe.
        size: side of the training images in pixels, which scales the objectness loss.
        config: options of the run; `freeze`, `unfreeze_after` and `frozen_statistics` are used.
    """

    def __init__(self, model: Detector, schedule: Schedule, size: int, config: TrainConfig) -> None:
        super().__init__()
        self.automatic_optimization = False
        recipe = schedule.recipe
        self.model = model
        self.schedule = schedule
        self.average: AveragedModel = averaged(model, recipe)
        self.average.requires_grad_(False)
        self.average.eval()
        self.assigner = Assigner(model.anchors, model.strides, recipe.guidance, recipe.auxiliary.upper_bound)
        self.loss: Loss = recipe.loss(
            model.anchors,
            model.strides,
            recipe.gains.scaled(len(model.strides), model.classes, size),
            recipe.auxiliary,
            recipe.label_smoothing,
            self._mean_over_processes,
        )
        self.tally = Tally(self.device)
        self.config = config
        self.frozen = parts(model, config.freeze)
        if config.unfreeze_after is None:  # frozen for good: no gradients needed
            for part in self.frozen:
                part.requires_grad_(False)
        self._loaded_gradients: dict[str, Tensor] = {}

    @property
    def shipped(self) -> Detector:
        """The averaged network, which is saved."""
        network = self.average.module
        assert isinstance(network, Detector)
        return network

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return build_optimizer(
            self.model, self.schedule, thaws=bool(self.frozen) and self.config.unfreeze_after is not None
        )

    def on_train_epoch_start(self) -> None:
        self.tally = Tally(self.device)
        unfreeze_after = self.config.unfreeze_after
        if unfreeze_after is not None and self.current_epoch >= unfreeze_after:
            self.frozen = []
        self.model.train()
        for part in [self.model] if self.config.frozen_statistics else self.frozen:
            for module in part.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        del dataloader_idx
        assert batch.targets is not None
        targets = (values.to(device, non_blocking=True) for values in vars(batch.targets).values())
        images = batch.images.to(device, non_blocking=True)
        return replace(batch, images=images, targets=Targets(*targets))

    def training_step(self, batch: Batch, batch_index: int) -> None:
        """Add the gradient of a batch; update the weights when a nominal batch is complete.

        Raises:
            TrainingError: NaN or infinite loss; the message names the images.
            UsageError: invalid result of a user-defined guidance or loss.
        """
        targets = batch.targets
        assert targets is not None
        iteration = self.current_epoch * self.schedule.iterations + batch_index
        settings = self.schedule.at(iteration)
        optimizer = self.optimizers()
        assert isinstance(optimizer, pl.core.optimizer.LightningOptimizer)
        set_step(optimizer.optimizer, settings)
        completes = iteration % settings.accumulate == 0
        with nullcontext() if completes else self._without_gradient_sync():
            # forward, assign, loss, backward
            images = batch.images.to(torch.float32).div_(255).contiguous(memory_format=torch.channels_last)
            predictions = self.model(images)
            assignments = self.assigner(predictions, targets)
            losses = self.loss(predictions, assignments, targets)
            _require_finite(losses, batch, f"epoch {self.current_epoch + 1}, batch {batch_index + 1}")
            # The sum over all images: DDP averages gradients over processes.
            self.manual_backward(losses.total * (len(batch.images) * self.trainer.world_size))
        if completes:
            # step, average
            for part in self.frozen:
                part.zero_grad(set_to_none=True)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            self.average.update_parameters(self.model)
        self.tally.add(losses, len(batch.images))

    def mean_losses(self) -> dict[str, float]:
        """Mean losses of the epoch so far, over all processes; a collective call."""
        means = self._mean_over_processes(self.tally.means())
        return dict(zip(Tally.names, means.tolist(), strict=True))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save the gradients of an incomplete nominal batch with the state."""
        checkpoint["gradients"] = {
            name: self._mean_over_processes(parameter.grad)
            for name, parameter in self.model.named_parameters()
            if parameter.grad is not None
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self._loaded_gradients = checkpoint["gradients"]

    def on_train_start(self) -> None:
        # Not in on_load_checkpoint: Lightning clears gradients after it.
        for name, parameter in self.model.named_parameters():
            if name in self._loaded_gradients:
                parameter.grad = self._loaded_gradients[name].to(parameter.device)
        self._loaded_gradients = {}

    def _without_gradient_sync(self) -> Any:
        return getattr(self.trainer.strategy, "block_backward_sync", nullcontext)()

    def _mean_over_processes(self, values: Tensor) -> Tensor:
        if self.trainer.world_size == 1:
            return values
        return self.trainer.strategy.reduce(values.clone(), reduce_op="mean")


def _require_finite(losses: Losses, batch: Batch, place: str) -> None:
    """Refuse a NaN or infinite loss, and results of a user-defined loss that are not :class:`Losses`."""
    if not isinstance(losses, Losses):
        raise UsageError(
            "invalid result of the recipe's loss",
            expected="yolov7.losses.detection.Losses(total, box, objectness, classes)",
            found=type(losses).__name__,
        )
    if not torch.isfinite(losses.total):
        raise TrainingError(
            f"the loss is {losses.total.item()} in {place}",
            expected="a finite number; a lower learning rate or 32-bit precision may help",
            found="images " + ", ".join(map(str, batch.image_ids)),
        )
