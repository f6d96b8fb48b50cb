"""Guidance: the choice of the head whose predictions assign the labels of each head. Fig. 5 (c) to (e).

(c) independent           (d) lead guided            (e) coarse to fine

lead ── fine ── labels    lead ── fine ─┬─ labels    lead ─┬─ fine ──── labels
aux ─── fine ── labels    aux           └─ labels    aux   └─ coarse ── labels
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from yolov7.assign.simota import simota
from yolov7.errors import UsageError
from yolov7.models.decode import HeadOutput, head_outputs
from yolov7.types import Assignment, Predictions, Targets

Guidance = Callable[[HeadOutput, HeadOutput, Targets], tuple[Assignment, Assignment]]
"""Lead head, auxiliary head, ground truths -> positives of the lead head, positives of the auxiliary head."""


def fine(head: HeadOutput, targets: Targets, q: int = 20) -> Assignment:
    """Assign among cells near the centre: its own and usually two neighbours. `q`: see :func:`simota`."""
    return simota(head, targets, reach=0.5, q=q)


def coarse(head: HeadOutput, targets: Targets) -> Assignment:
    """Assign among up to five cells: higher recall, for the head that learns less."""
    return simota(head, targets, reach=1.0)


def independent(lead: HeadOutput, aux: HeadOutput, targets: Targets) -> tuple[Assignment, Assignment]:
    """Assign each head's labels from its own predictions. Paper: Fig. 5 (c), Table 6."""
    return fine(lead, targets), fine(aux, targets)


def lead_guided(lead: HeadOutput, _aux: HeadOutput, targets: Targets) -> tuple[Assignment, Assignment]:
    """Assign the labels of both heads from the lead head's predictions. Paper: Fig. 5 (d), Table 6."""
    labels = fine(lead, targets)
    return labels, labels


def coarse_to_fine(lead: HeadOutput, _aux: HeadOutput, targets: Targets) -> tuple[Assignment, Assignment]:
    """Assign as :func:`lead_guided`, but coarse labels to the auxiliary head. Paper: Fig. 5 (e), Table 6."""
    return fine(lead, targets), coarse(lead, targets)


@dataclass(frozen=True)
class Assigner:
    """Assigner of ground truths to the predictions that are trained on them.

    Attributes:
        anchors: (L, A, 2) width and height in pixels.
        strides: pixels per cell of each level.
        guidance: :func:`independent`, :func:`lead_guided`, :func:`coarse_to_fine`, or your own function.
        upper_bound: True if the auxiliary head uses the lead head's decoder, as in its loss (Table 7).
    """

    anchors: Tensor
    strides: tuple[int, ...]
    guidance: Guidance = coarse_to_fine
    upper_bound: bool = True

    def __call__(self, predictions: Predictions, targets: Targets) -> tuple[Assignment, Assignment | None]:
        """Assign the positives of the lead head and of the auxiliary head, if any.

        Raises:
            UsageError: invalid result of a user-defined guidance.
        """
        lead, aux = head_outputs(predictions, self.anchors, self.strides, self.upper_bound)
        if aux is None:
            return fine(lead, targets, q=10), None
        labels = self.guidance(lead, aux, targets)
        kinds = (
            [type(part).__name__ for part in labels] if isinstance(labels, tuple) else type(labels).__name__
        )
        if kinds != ["Assignment", "Assignment"]:
            raise UsageError(
                f"guidance {getattr(self.guidance, '__name__', self.guidance)} gave no labels",
                expected="a pair of Assignments: for the lead head, for the auxiliary head",
                found=kinds,
            )
        return labels
