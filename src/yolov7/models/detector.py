"""The detector: backbone -> neck -> heads. Loss, NMS and export are elsewhere."""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
from torch import Tensor, nn

from yolov7.errors import ArchitectureError, Yolov7Error
from yolov7.layout import RowLayout
from yolov7.models.architecture import Anchors, Architecture
from yolov7.models.backbone import Backbone
from yolov7.models.decode import decode_levels, decode_levels_above
from yolov7.models.head import PlainHead
from yolov7.models.neck import Neck
from yolov7.models.parts import own_parts
from yolov7.models.reparam import Reparameterizable, reparameterize
from yolov7.models.soundness import require_sound
from yolov7.models.zoo import find_architecture
from yolov7.plugins import adopt
from yolov7.types import Predictions


class Detector(nn.Module):
    """A YOLOv7 network.

        images ─ backbone ─ neck ─┬─ outputs ─ lead head
                                  └─ auxiliary outputs ─ auxiliary head     (training only)

    Args:
        architecture: the variant.
        classes: number of classes C.
        anchors: (width, height) of each anchor in pixels, by level from the finest; default: the
            architecture's.

    Raises:
        ArchitectureError: invalid number of classes, widths, strides or anchors.

    >>> import torch
    >>> predictions = create("yolov7-tiny", classes=3)(torch.zeros(1, 3, 64, 64))
    >>> [tuple(level.shape) for level in predictions.lead]
    [(1, 3, 8, 8, 8), (1, 3, 4, 4, 8), (1, 3, 2, 2, 8)]
    """

    anchors: Tensor

    def __init__(self, architecture: Architecture, classes: int = 80, anchors: Anchors | None = None) -> None:
        super().__init__()
        anchors = architecture.anchors if anchors is None else anchors
        require_sound(architecture, classes, anchors)
        self.architecture = architecture
        self.classes, self.layout = classes, RowLayout(classes)
        self.register_buffer("anchors", torch.tensor(anchors, dtype=torch.float32))
        own = tuple(own_parts(architecture))
        try:
            self._build(len(anchors[0]))
            if own and not self.anchors.is_meta:
                self._try_an_image()
        except Exception as error:  # a user-defined part may raise anything
            if not own or isinstance(error, Yolov7Error):
                raise
            raise ArchitectureError(
                f"the parts of {architecture.name} do not work together",
                expected="parts that take their arguments and give as many channels as they are asked for",
                found=f"{type(error).__name__}: {error}",
            ) from error
        adopt(*own)

    def _build(self, per_level: int) -> None:
        architecture, classes = self.architecture, self.classes
        widths = [block.width for block in architecture.neck]
        # Auxiliary heads read O3 and the neck's top-down maps, which are as wide as its bottom-up maps.
        self.backbone = Backbone(architecture)
        self.neck = Neck(architecture)
        self.outputs = nn.ModuleList(
            architecture.output(width, out, architecture.activation)
            for width, out in zip(widths, architecture.outputs, strict=True)
        )
        self.auxiliary_outputs = nn.ModuleList(
            architecture.output(width, out, architecture.activation)
            for width, out in zip(widths, architecture.auxiliary, strict=False)  # all, or none
        )
        self.lead = architecture.head(architecture.outputs, per_level, classes)
        self.lead.initialize_biases(architecture.strides)
        self.auxiliary: PlainHead | None = None
        if architecture.auxiliary:
            self.auxiliary = PlainHead(architecture.auxiliary, per_level, classes)
            self.auxiliary.initialize_biases(architecture.strides)

    @torch.no_grad()
    def _try_an_image(self) -> None:
        """Run a small image through user-defined parts, to find mismatched widths at once."""
        side = 2 * self.strides[-1]
        self.eval()(self.anchors.new_zeros(1, 3, side, side))
        self.train()

    @property
    def strides(self) -> tuple[int, ...]:
        """Pixels per cell, by level."""
        return self.architecture.strides

    @property
    def deployed(self) -> bool:
        """True if nothing is left to fold: see :func:`fuse`."""
        return self.auxiliary is None and not any(isinstance(m, Reparameterizable) for m in self.modules())

    def forward(self, images: Tensor) -> Predictions:
        """Compute logits of images (B, 3, H, W) in [0, 1]; H and W are multiples of the largest stride.

        The return type is the same in training and evaluation; ``aux`` is empty without auxiliary heads.

        Raises:
            ArchitectureError: a side is not a multiple of the largest stride.
        """
        height, width = images.shape[-2:]
        if height % self.strides[-1] or width % self.strides[-1]:
            raise ArchitectureError(
                f"{self.architecture.name} takes sides that are multiples of {self.strides[-1]}",
                found=f"{height} x {width}",
            )
        for_lead, for_auxiliary = self.neck(self.backbone(images))
        lead = self.lead([out(x) for out, x in zip(self.outputs, for_lead, strict=True)])
        if self.auxiliary is None:
            return Predictions(lead)
        outputs = zip(self.auxiliary_outputs, for_auxiliary, strict=True)
        return Predictions(lead, self.auxiliary([out(x) for out, x in outputs]))

    def decode(self, predictions: Predictions) -> Tensor:
        """Decode lead logits to rows (B, N, 5 + C): cx, cy, w, h in pixels, then probabilities.

        Rows are ordered by level, anchor, row, column. With s = sigmoid(logit):
        centre = (2 s - 0.5 + cell) * stride, size = (2 s)^2 * anchor.
        """
        return decode_levels(predictions.lead, self.strides, self.anchors)

    def decode_above(self, predictions: Predictions, objectness: float) -> tuple[Tensor, ...]:
        """Decode rows above an objectness threshold: (n, 5 + C) per image, in the order of :meth:`decode`."""
        return decode_levels_above(predictions.lead, self.strides, self.anchors, objectness)


def create(name: str | Architecture, classes: int = 80, anchors: Anchors | None = None) -> Detector:
    """Create a network with fresh weights, in training form.

    Args:
        name: name of a network such as ``yolov7-w6``, or an architecture.
        classes: number of classes.
        anchors: (width, height) of each anchor in pixels, by level from the finest; default: the network's.

    Raises:
        ArchitectureError: unknown name, or invalid architecture.

    >>> create("yolov7-tiny", classes=3).strides
    (8, 16, 32)
    """
    return Detector(find_architecture(name) if isinstance(name, str) else name, classes, anchors)


def fuse(model: Detector) -> Detector:
    """Deployed copy of a network, in evaluation mode.

    Batch norm, RepConv branches and implicit vectors are folded into plain convolutions, auxiliary heads are
    dropped. Decoded boxes change by at most 0.02 pixels, probabilities by 1e-4.

    Paper: Sec. 4.1, 4.3.

    >>> fuse(create("yolov7-tiny", classes=3)).deployed
    True
    """
    deployed = copy.deepcopy(model)
    deployed.architecture = replace(model.architecture, auxiliary=())
    deployed.auxiliary, deployed.auxiliary_outputs = None, nn.ModuleList()
    reparameterize(deployed)
    return deployed.eval()
