"""Bounds on the memory and time of an artefact, in proportion to its images.

A file of a kilobyte can ask for a tensor of a terabyte. So the sizes of all results are computed before
anything runs; those of programs by torch's meta tensors, which have a shape and no memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import torch
from torch import Tensor

from yolov7.errors import CheckpointError

T = TypeVar("T")

MAX_VALUES = 64 * 2**20, 512
"""Most numbers in memory at once: a base, plus an amount per pixel. The largest network has 200 per pixel."""
MAX_WORK = 4 * 10**9, 2_000_000
"""Most multiplications in all, likewise; the largest network has 260,000 per pixel."""
_MOVED = 50
"""Multiplications that take as long as writing one number."""


class Demand:
    """Budget of a network for the pixels of all its images together. Exceeding it raises CheckpointError."""

    def __init__(self, pixels: int) -> None:
        self._values: float = MAX_VALUES[0] + MAX_VALUES[1] * pixels
        self._work: float = MAX_WORK[0] + MAX_WORK[1] * pixels

    def add(self, values: float, each: float = 0) -> None:
        """Count an operation: the values of its result, and the multiplications for each of them."""
        self._work -= (each + _MOVED) * values
        if values > self._values or self._work < 0:
            raise CheckpointError(
                "this network would take memory or time out of all proportion to the images; none that "
                "`yolov7 export` writes does"
            )

    def hold(self, values: Iterable[Any]) -> None:
        """Check the size of all results that are still needed."""
        if sum(tensor.numel() for value in values for tensor in leaves(value, Tensor)) > self._values:
            self.add(math.inf)

    def of_step(self, function: Callable[..., Any], arguments: list[Any], keywords: dict[str, Any]) -> Any:
        """Count a torch operation, and return its result without memory.

        Single numbers are computed, since they may become sizes; the pixels cannot.
        """
        first = arguments[0] if arguments else None
        known = isinstance(first, Tensor) and first.dim() == 0 and not first.is_meta
        if function is not torch.tensor and not known:
            arguments, keywords = _weightless(arguments), _weightless(keywords)
            if str(function).startswith("aten.arange") and torch.device("meta") not in arguments:
                keywords["device"] = torch.device("meta")
        found = function(*arguments, **keywords)
        each = 0
        if "conv" in str(function):
            each = math.prod(arguments[1].shape[1:])
        elif "pool" in str(function):
            each = math.prod(arguments[1])
        self.add(sum(tensor.numel() for tensor in leaves(found, Tensor)), each)
        return found


def _weightless(value: Any) -> Any:
    """An argument with its tensors, except single numbers, on the meta device."""
    if isinstance(value, Tensor):
        return value if value.dim() == 0 else value.to("meta")
    if isinstance(value, torch.device):
        return torch.device("meta")
    if isinstance(value, dict):
        return {name: _weightless(one) for name, one in value.items()}
    return type(value)(map(_weightless, value)) if isinstance(value, list | tuple) else value


def leaves(value: Any, kind: type[T]) -> Iterator[T]:
    """Objects of a kind in a value or in its lists and tuples, nested to any depth."""
    if isinstance(value, kind):
        yield value
    elif isinstance(value, list | tuple):
        for one in value:
            yield from leaves(one, kind)
