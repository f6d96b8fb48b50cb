"""The memory and time that an artefact may take, in proportion to the images that it is shown.

A file of a kilobyte can ask for a tensor of a terabyte. So the sizes of all that comes out of its operations
are known before anything runs; of programs torch's meta tensors tell them, which have a shape and no memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from yolov7.errors import CheckpointError

MAX_VALUES = 64 * 2**20, 512
"""Numbers that may be there at once: in any case, and more for each pixel of the images. The largest network
here has 200 a pixel."""
MAX_WORK = 4 * 10**9, 2_000_000
"""Multiplications in all, likewise; the largest network here has 260,000 a pixel."""
_MOVED = 50
"""Multiplications that take as long as to write one number."""


class Demand:
    """Adds up what operations ask for; whatever is too much raises CheckpointError.

    Args:
        pixels: of all images together.
    """

    def __init__(self, pixels: int) -> None:
        self._values: float = MAX_VALUES[0] + MAX_VALUES[1] * pixels
        self._work: float = MAX_WORK[0] + MAX_WORK[1] * pixels

    def add(self, values: float, each: float = 0) -> None:
        """Count an operation that gives so many values, and multiplies so often for each."""
        self._work -= (each + _MOVED) * values
        if values > self._values or self._work < 0:
            raise CheckpointError(
                "this network would take memory or time out of all proportion to the images; none that "
                "`yolov7 export` writes does"
            )

    def hold(self, values: Iterable[Any]) -> None:
        """Look at all results that are still needed."""
        if sum(tensor.numel() for value in values for tensor in _tensors(value)) > self._values:
            self.add(math.inf)

    def of_step(self, function: Callable[..., Any], arguments: list[Any], keywords: dict[str, Any]) -> Any:
        """The result of a torch operation, without its numbers, counted.

        Single numbers are computed as they are: they may become sizes. Numbers of the images cannot.
        """
        first = arguments[0] if arguments else None
        known = isinstance(first, Tensor) and _is_single(first) and not first.is_meta
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
        self.add(sum(tensor.numel() for tensor in _tensors(found)), each)
        return found


def _is_single(tensor: Tensor) -> bool:
    return tensor.dim() == 0


def _weightless(value: Any) -> Any:
    """An argument whose tensors and devices have no memory; single numbers stay."""
    if isinstance(value, Tensor):
        return value if _is_single(value) else value.to("meta")
    if isinstance(value, torch.device):
        return torch.device("meta")
    if isinstance(value, dict):
        return {name: _weightless(one) for name, one in value.items()}
    return type(value)(map(_weightless, value)) if isinstance(value, list | tuple) else value


def _tensors(value: Any) -> Iterable[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _tensors(one)
