"""Batches, the logits that a detector gives for them, and the places in these that training assigns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from yolov7.errors import UsageError

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass(frozen=True)
class Targets:
    """Ground truth of a batch, flat: image_index int64 (T,), boxes float32 (T, 4) pixels, labels (T,)."""

    image_index: Tensor
    boxes: Tensor
    labels: Tensor


@dataclass(frozen=True)
class Batch:
    """Images (B, 3, H, W), float in [0, 1] or uint8 until they are on the device.

    Attributes:
        targets: ground truth, where there is one.
        image_ids: what the data set calls each image, of a mosaic its first; empty where that is not known.
    """

    images: Tensor
    targets: Targets | None = None
    image_ids: tuple[int | str, ...] = ()


@dataclass(frozen=True)
class Predictions:
    """Raw output of a detector: for each level (fine to coarse) logits (B, A, H, W, 5 + C).

    The last axis is x, y, w, h, objectness, classes. ``aux`` is empty where there are no auxiliary heads.
    """

    lead: tuple[Tensor, ...]
    aux: tuple[Tensor, ...] = ()


@dataclass(frozen=True)
class Places:
    """Places in a head's logits, in any order; one may occur several times. All fields are int64 (P,).

    Attributes:
        level: index of the level, from the finest.
        image: index of the image in the batch.
        anchor, row, column: place in the level's logits (B, A, H, W, 5 + C).

    Raises:
        UsageError: the fields are not int64 vectors of one length.

    >>> places = Places(*torch.arange(10).view(5, 2))
    >>> places[places.row > 6].column
    tensor([9])
    """

    level: Tensor
    image: Tensor
    anchor: Tensor
    row: Tensor
    column: Tensor

    def __post_init__(self) -> None:
        values, shape = vars(self), (len(self.level),)
        if any(v.dtype != torch.int64 or v.shape != shape for v in values.values()):
            raise UsageError(
                f"the fields of {type(self).__name__} do not fit together",
                expected="int64 tensors of one shape (P,)",
                found=", ".join(f"{name} {v.dtype} {tuple(v.shape)}" for name, v in values.items()),
            )

    def __len__(self) -> int:
        return len(self.level)

    def __getitem__(self, index: Tensor) -> Self:
        """Some of them, by a mask or by their positions."""
        return type(self)(*(values[index] for values in vars(self).values()))


@dataclass(frozen=True)
class Assignment(Places):
    """Positives: which prediction of a head is to find which ground truth.

    Attributes:
        target: index into the batch's :class:`Targets`.
        order: of positives that share a cell and an anchor, the one with the highest number decides about the
            objectness. By default each positive's position in the list, so that the last one does.
    """

    target: Tensor
    order: Tensor | None = None

    def __post_init__(self) -> None:
        if self.order is None:
            object.__setattr__(self, "order", torch.arange(len(self.level), device=self.level.device))
        super().__post_init__()

    def in_order(self) -> Assignment:
        """The same positives sorted by level; within a level by `order`, then by target."""
        assert self.order is not None
        index = self.target.argsort(stable=True)
        for key in (self.order, self.level):
            index = index[key[index].argsort(stable=True)]
        return self[index]
