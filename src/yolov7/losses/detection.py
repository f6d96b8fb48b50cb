"""Loss of a detector: box, objectness and classes of its lead head, plus the weighted auxiliary loss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

import torch
from torch import Tensor

from yolov7.errors import ArchitectureError, UsageError
from yolov7.losses.head import OBJECTNESS_BALANCE, head_losses
from yolov7.models.decode import HeadOutput, head_outputs
from yolov7.types import Assignment, Predictions, Targets


@dataclass(frozen=True)
class Auxiliary:
    """Training settings of auxiliary heads: the assistant loss, and the upper bound of their objectness.

    Coarse labels lie up to half a cell beyond the reach of the lead head's decoder. An auxiliary head with
    that decoder cannot fit them: the IoU of its best box, which is the label of its objectness, falls with
    the distance. That "makes the optimizable upper bound of fine label always higher than coarse label". With
    a decoder that reaches all coarse labels the bound is gone.

    Attributes:
        weight: weight of their loss; the lead head's is 1.
        upper_bound: True if they use the lead head's decoder (Table 7).

    Paper: Sec. 4.2, Sec. 5.4.3, Table 7.
    """

    weight: float = 0.25
    upper_bound: bool = True


@dataclass(frozen=True)
class Gains:
    """Weights of the loss terms. Recipes give them for 3 levels, 80 classes and 640 pixels.

    >>> Gains(box=0.05, objectness=0.7, classes=0.3).scaled(levels=3, classes=40, size=1280)
    Gains(box=0.05, objectness=2.8, classes=0.15)
    """

    box: float
    objectness: float
    classes: float

    def scaled(self, levels: int, classes: int, size: int) -> Gains:
        """Scale for another detector: terms are sums over levels, and means over classes and cells.

        ``size`` is the side of the training images in pixels.
        """
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
        total: sum of the three parts, with gradient. Training minimises total * batch size * number of
            processes.
        box, objectness, classes: parts, without gradient.
    """

    total: Tensor
    box: Tensor
    objectness: Tensor
    classes: Tensor


MeanOverProcesses: TypeAlias = Callable[[Tensor], Tensor]
"""Mean of a tensor over all training processes."""

Loss: TypeAlias = Callable[[Predictions, tuple[Assignment, Assignment | None], Targets], Losses]
"""Loss of a batch, from predictions, the labels of both heads, and the ground truths."""

LossMaker: TypeAlias = Callable[[Tensor, tuple[int, ...], Gains, Auxiliary, float, MeanOverProcesses], Loss]
"""Factory of a network's loss: :class:`DetectionLoss`, a subclass, or your own class or function.

Arguments are the attributes of :class:`DetectionLoss`, in order; the gains are already scaled.
"""


def one_process(counts: Tensor) -> Tensor:
    """Identity: the mean over a single process."""
    return counts


@dataclass(frozen=True)
class DetectionLoss:
    """Loss of a batch whose positives are assigned.

    Attributes:
        anchors: (L, A, 2) width and height in pixels.
        strides: pixels per cell of each level.
        gains: weights of the terms, scaled for the detector.
        auxiliary: settings of auxiliary heads.
        label_smoothing: e; class targets become 1 - e/2 and e/2.
        mean_over_processes: function that averages the numbers of positives, float (L,), over all training
            processes, so that the averaged gradient equals that of one process with all images. Called once
            per head.

    Raises:
        ArchitectureError: neither 3 nor 4 levels.
    """

    anchors: Tensor
    strides: tuple[int, ...]
    gains: Gains
    auxiliary: Auxiliary = field(default_factory=Auxiliary)
    label_smoothing: float = 0.0
    mean_over_processes: MeanOverProcesses = one_process

    def __post_init__(self) -> None:
        if len(self.strides) not in OBJECTNESS_BALANCE:
            raise ArchitectureError(
                "no objectness weights for this number of levels",
                expected="3 or 4 levels",
                found=len(self.strides),
            )

    def __call__(
        self, predictions: Predictions, assignments: tuple[Assignment, Assignment | None], targets: Targets
    ) -> Losses:
        """Compute the loss of the lead head and, if there is one, of the auxiliary head.

        The loss is float32 even under autocast. Every logit gets a gradient, even without any positive.

        Raises:
            UsageError: positives outside the predictions or ground truths, or for a missing auxiliary head.
        """
        lead, aux = head_outputs(predictions, self.anchors, self.strides, self.auxiliary.upper_bound)
        lead_labels, aux_labels = assignments
        gains = self.gains
        with torch.autocast(lead.anchors.device.type, enabled=False):
            losses = self._of_head(lead, lead_labels, targets)
            if aux_labels is not None:
                if aux is None:
                    raise UsageError("positives of an auxiliary head, but predictions of a lead head alone")
                losses = losses + self.auxiliary.weight * self._of_head(aux, aux_labels, targets)
            losses = losses * losses.new_tensor((gains.box, gains.objectness, gains.classes))
        return Losses(losses.sum(), *losses.detach())

    def _of_head(self, head: HeadOutput, labels: Assignment, targets: Targets) -> Tensor:
        return head_losses(head, labels, targets, self.label_smoothing, self.mean_over_processes)
