"""The loss of a detector: box, objectness and classes of its lead head, and some of its auxiliary head's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from yolov7.errors import ArchitectureError
from yolov7.losses.auxiliary import Auxiliary
from yolov7.losses.head import OBJECTNESS_BALANCE, head_losses
from yolov7.types import Assignment, Predictions, Targets


@dataclass(frozen=True)
class Gains:
    """What each term counts for; a recipe's are meant for 3 levels, 80 classes and 640 pixels."""

    box: float
    objectness: float
    classes: float

    def scaled(self, levels: int, classes: int, size: int) -> Gains:
        """The same for another detector: its terms are sums over levels, and means over classes and cells."""
        per_level = 3 / levels
        return Gains(
            box=self.box * per_level,
            objectness=self.objectness * per_level * (size / 640) ** 2,
            classes=self.classes * per_level * classes / 80,
        )


@dataclass(frozen=True)
class Losses:
    """The loss of a batch: scalars, with gains applied and auxiliary heads included.

    Attributes:
        total: sum of the others, with gradient. Times the batch size (and the number of processes) it is what
            training makes small.
        box, objectness, classes: its parts, without gradient.
    """

    total: Tensor
    box: Tensor
    objectness: Tensor
    classes: Tensor


class Loss(Protocol):
    """Loss of a batch, from predictions, the labels of both heads, and the ground truths."""

    def __call__(
        self, predictions: Predictions, assignments: tuple[Assignment, Assignment | None], targets: Targets, /
    ) -> Losses: ...


class LossMaker(Protocol):
    """Class or function that makes the loss of a network: :class:`DetectionLoss`, a subclass, or your own.

    Its arguments are the attributes of :class:`DetectionLoss`, in their order; ``gains`` are scaled already.
    """

    def __call__(
        self,
        anchors: Tensor,
        strides: tuple[int, ...],
        gains: Gains,
        auxiliary: Auxiliary,
        label_smoothing: float,
        mean_over_processes: Callable[[Tensor], Tensor],
        /,
    ) -> Loss: ...


def one_process(counts: Tensor) -> Tensor:
    """The mean over processes where there is only this one."""
    return counts


@dataclass(frozen=True)
class DetectionLoss:
    """Loss of a batch whose labels are assigned.

    Attributes:
        anchors: (L, A, 2) width and height in pixels.
        strides: pixels per cell of each level.
        gains: already scaled for the detector.
        auxiliary: how auxiliary heads are trained.
        label_smoothing: e; class targets become 1 - e/2 and e/2.
        mean_over_processes: numbers of positives, float (L,) -> the same averaged over all processes that
            train together, so that the mean of their gradients is the gradient of one process with all their
            images. Called once a head.

    Raises:
        ArchitectureError: neither 3 nor 4 levels.
    """

    anchors: Tensor
    strides: tuple[int, ...]
    gains: Gains
    auxiliary: Auxiliary = field(default_factory=Auxiliary)
    label_smoothing: float = 0.0
    mean_over_processes: Callable[[Tensor], Tensor] = one_process

    def __post_init__(self) -> None:
        if len(self.strides) not in OBJECTNESS_BALANCE:
            raise ArchitectureError(
                "how to balance the objectness of these levels is not known",
                expected="3 or 4 levels",
                found=len(self.strides),
            )

    def __call__(
        self, predictions: Predictions, assignments: tuple[Assignment, Assignment | None], targets: Targets
    ) -> Losses:
        """Loss of the lead head's labels and, where there is one, of the auxiliary head's.

        In float32 under autocast, too. Every logit gets a gradient, if only 0, even without any positive.
        """
        lead_labels, aux_labels = assignments
        gains = self.gains
        with torch.autocast(predictions.lead[0].device.type, enabled=False):
            losses = self._of_head(predictions.lead, lead_labels, targets, upper_bound=True)
            if aux_labels is not None:
                aux = self._of_head(predictions.aux, aux_labels, targets, self.auxiliary.upper_bound)
                losses = losses + self.auxiliary.weight * aux
            losses = losses * losses.new_tensor((gains.box, gains.objectness, gains.classes))
        return Losses(losses.sum(), *losses.detach())

    def _of_head(
        self, logits: tuple[Tensor, ...], labels: Assignment, targets: Targets, upper_bound: bool
    ) -> Tensor:
        anchors = self.anchors.to(logits[0].device).float()
        return head_losses(
            logits,
            labels,
            targets,
            anchors,
            anchors.new_tensor(self.strides),
            upper_bound=upper_bound,
            label_smoothing=self.label_smoothing,
            mean_over_processes=self.mean_over_processes,
        )
