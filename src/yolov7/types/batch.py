"""Batches, a detector's logits for them, and the places in the logits that training assigns."""

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
    """Ground truth of a batch.

    Attributes:
        image_index: int64 (T,), index of the image in the batch.
        boxes: float32 (T, 4) ``xyxy`` pixels.
        labels: int64 (T,).
    """

    image_index: Tensor
    boxes: Tensor
    labels: Tensor


@dataclass(frozen=True)
class Batch:
    """Images of one size, with their ground truth.

    Attributes:
        images: (B, 3, H, W), float in [0, 1], or uint8 until they are on the device.
        targets: ground truth, or None.
        image_ids: id of each image in the data set (of a mosaic's first image); empty if unknown.
    """

    images: Tensor
    targets: Targets | None = None
    image_ids: tuple[int | str, ...] = ()


@dataclass(frozen=True)
class Predictions:
    """Logits of a detector by level, fine to coarse: (B, A, H, W, 5 + C).

    The last axis is x, y, w, h, objectness, classes.

    Attributes:
        lead: logits of the lead head.
        aux: logits of the auxiliary head; empty without one.
    """

    lead: tuple[Tensor, ...]
    aux: tuple[Tensor, ...] = ()


@dataclass(frozen=True)
class Places:
    """Places in a head's logits, in any order, possibly repeated. All fields are int64 (P,).

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
        """Select places by a mask (P,) or by indices."""
        return type(self)(*(values[index] for values in vars(self).values()))


@dataclass(frozen=True)
class Assignment(Places):
    """Positives: places in a head's logits, each with the target assigned to it.

    Attributes:
        target: index into the batch's :class:`Targets`.
        order: priority of a positive: among those that share a cell and an anchor, the highest sets the
            objectness. Default: position in the list.
    """

    target: Tensor
    order: Tensor | None = None

    def __post_init__(self) -> None:
        if self.order is None:
            object.__setattr__(self, "order", torch.arange(len(self.level), device=self.level.device))
        super().__post_init__()

    def in_order(self) -> Assignment:
        """Sort the positives by level, within a level by `order`, then by target."""
        assert self.order is not None
        index = self.target.argsort(stable=True)
        for key in (self.order, self.level):
            index = index[key[index].argsort(stable=True)]
        return self[index]
