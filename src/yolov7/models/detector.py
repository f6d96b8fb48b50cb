"""The detector: backbone -> neck -> heads. No loss, no suppression, no export flag lives in here."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from yolov7.errors import ArchitectureError
from yolov7.models.architecture import Anchors, Architecture
from yolov7.models.backbone import Backbone
from yolov7.models.decode import decode_levels, decode_levels_above
from yolov7.models.head import PlainHead
from yolov7.models.neck import Neck
from yolov7.models.reparam import Reparameterizable, reparameterize
from yolov7.models.zoo import find_architecture
from yolov7.types import Predictions


class Detector(nn.Module):
    """A YOLOv7 network.

        images ─ backbone ─ neck ─┬─ outputs ─ lead head
                                  └─ auxiliary outputs ─ auxiliary head     (training only)

    Args:
        architecture: the variant.
        classes: number of classes C.
        anchors: pixels, by level from the finest; the architecture's own where not given.

    Raises:
        ArchitectureError: no class, or anchors that do not fit the levels.
    """

    anchors: Tensor

    def __init__(self, architecture: Architecture, classes: int = 80, anchors: Anchors | None = None) -> None:
        super().__init__()
        anchors = architecture.anchors if anchors is None else anchors
        _check(architecture, classes, anchors)
        self.architecture = architecture
        self.classes = classes
        per_level = len(anchors[0])
        widths = [block.width for block in architecture.neck]
        # Auxiliary heads read O3 and the neck's maps on the way down, which are as wide as on the way up.
        self.backbone = Backbone(architecture)
        self.neck = Neck(architecture)
        self.outputs = nn.ModuleList(
            architecture.output(width, out, architecture.activation)
            for width, out in zip(widths, architecture.outputs, strict=True)
        )
        self.auxiliary_outputs = nn.ModuleList(
            architecture.output(width, out, architecture.activation)
            for width, out in zip(widths, architecture.auxiliary, strict=False)  # as many, or none
        )
        self.lead = architecture.head(architecture.outputs, per_level, classes)
        self.lead.initialize_biases(architecture.strides)
        self.auxiliary: PlainHead | None = None
        if architecture.auxiliary:
            self.auxiliary = PlainHead(architecture.auxiliary, per_level, classes)
            self.auxiliary.initialize_biases(architecture.strides)
        self.register_buffer("anchors", torch.tensor(anchors, dtype=torch.float32))

    @property
    def strides(self) -> tuple[int, ...]:
        """Pixels per cell, by level."""
        return self.architecture.strides

    @property
    def deployed(self) -> bool:
        """Whether nothing is left to fold: see :func:`fuse`."""
        return self.auxiliary is None and not any(isinstance(m, Reparameterizable) for m in self.modules())

    def forward(self, images: Tensor) -> Predictions:
        """Images (B, 3, H, W) in [0, 1], sides multiples of the largest stride -> logits.

        The same type in training and in evaluation; ``aux`` is empty without auxiliary heads.
        """
        height, width = images.shape[-2:]
        if height % self.strides[-1] or width % self.strides[-1]:
            raise ArchitectureError(
                f"{self.architecture.name} takes sides that are multiples of {self.strides[-1]}",
                found=f"{height} x {width}",
            )
        features = self.neck(self.backbone(images))
        lead = self.lead([out(x) for out, x in zip(self.outputs, features.lead, strict=True)])
        if self.auxiliary is None:
            return Predictions(lead)
        outputs = zip(self.auxiliary_outputs, features.auxiliary, strict=True)
        return Predictions(lead, self.auxiliary([out(x) for out, x in outputs]))

    def decode(self, predictions: Predictions) -> Tensor:
        """Lead logits -> (B, N, 5 + C): cx, cy, w, h in pixels, then probabilities.

        Rows are ordered by level, anchor, row, column. With s = sigmoid(logit):
        centre = (2 s - 0.5 + cell) * stride, size = (2 s)^2 * anchor.
        """
        return decode_levels(predictions.lead, self.strides, self.anchors)

    def decode_above(self, predictions: Predictions, objectness: float) -> tuple[Tensor, ...]:
        """The rows of :meth:`decode` with a higher objectness, in the same order: (n, 5 + C) for each."""
        return decode_levels_above(predictions.lead, self.strides, self.anchors, objectness)


def create(name: str | Architecture, classes: int = 80, anchors: Anchors | None = None) -> Detector:
    """A network with fresh weights, in training form.

    Args:
        name: of a network such as ``yolov7-w6``, or an architecture of your own.
        classes: number of classes.
        anchors: pixels, by level from the finest; the variant's own where not given.
    """
    return Detector(find_architecture(name) if isinstance(name, str) else name, classes, anchors)


def fuse(model: Detector) -> Detector:
    """The deployed form, as a new module in evaluation mode; the given one stays as it is.

    Batch norm, RepConv branches and implicit vectors are folded into plain convolutions, auxiliary heads are
    left out. Decoded outputs stay within 0.02 pixels and 1e-4.

    Paper: Sec. 4.1, 4.3.
    """
    deployed = copy.deepcopy(model)
    deployed.architecture = replace(model.architecture, auxiliary=())
    deployed.auxiliary, deployed.auxiliary_outputs = None, nn.ModuleList()
    reparameterize(deployed)
    return deployed.eval()


def _check(architecture: Architecture, classes: int, anchors: Anchors) -> None:
    if classes < 1:
        raise ArchitectureError("a detector has at least one class", found=classes)
    counts: Sequence[int] = [len(level) for level in anchors]
    if len(counts) != len(architecture.neck) or len(set(counts)) != 1 or counts[0] < 1:
        raise ArchitectureError(
            f"anchors of {architecture.name}",
            expected=f"{len(architecture.neck)} levels of equally many (width, height) pairs",
            found=f"levels of {', '.join(map(str, counts))}" if counts else "none",
        )
