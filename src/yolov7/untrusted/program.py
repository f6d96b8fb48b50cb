"""A network from an untrusted file as a list of tensor operations, run by a machine that knows no others.

    torchscript.py        the code of a TorchScript archive  ─┐
                                                              ├─> Program ─> rows
    exported_graph.py     the graph of a torch.export archive ┘

Such files are programs, and torch's own loaders would run whatever they hold. Here a program is data: at most
`MAX_STEPS` steps, each an operation of `OPERATIONS`, none of which touches a file, a process or the internet,
without loops, conditions and functions.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from yolov7.errors import UnsafeCheckpointError
from yolov7.untrusted.demand import Demand, leaves
from yolov7.untrusted.values import refused

MAX_STEPS = 20_000
"""Most operations; the largest network has 3,500."""

_NAMES = """
    _convolution conv2d
    elu hardswish leaky_relu leaky_relu_ mish mish_ relu relu_ sigmoid silu silu_ softplus tanh
    max_pool2d upsample_nearest2d
    add div mul pow sub
    arange cat chunk expand flatten meshgrid permute reshape select slice split stack transpose unbind
    unsqueeze view
    contiguous to
"""
OPERATIONS = frozenset(_NAMES.split())
"""Names in ``torch.ops.aten``: operations of the networks of this package, and their close relatives."""


@dataclass(frozen=True, slots=True)
class Register:
    """Place of a value that is known only when the program runs."""

    number: int


@dataclass(slots=True)
class Step:
    """A call of a function with plain values, registers, and lists and tuples of both."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    keywords: Mapping[str, Any]
    results: tuple[Register, ...]
    """Registers of the result, or of its parts if there are several."""
    done: list[Register] = field(default_factory=list)
    """Registers that no later step needs."""


class Program:
    """Steps from the register of the images to that of the rows; several threads may call it at once."""

    def __init__(self, steps: list[Step], image: Register, result: Register) -> None:
        self._steps, self._image, self._result = steps, image, result
        self._affordable: set[tuple[int, ...]] = set()
        needed = {result}
        for step in reversed(steps):
            used = set(leaves((step.arguments, tuple(step.keywords.values())), Register)) | set(step.results)
            step.done = [register for register in used if register not in needed]
            needed |= used

    def __call__(self, images: Tensor) -> Any:
        """Compute the rows of images.

        Raises:
            CheckpointError: it would take memory or time out of proportion to the images.
            RuntimeError, ValueError, TypeError, IndexError, OverflowError: a step fails.
        """
        if (shape := tuple(images.shape)) not in self._affordable:
            self._run(images.to("meta"), Demand(shape[0] * math.prod(shape[2:])))
            self._affordable.add(shape)
        return self._run(images)

    def _run(self, images: Tensor, demand: Demand | None = None) -> Any:
        values: dict[Register, Any] = {self._image: images}
        for step in self._steps:
            arguments = [_filled(argument, values) for argument in step.arguments]
            keywords = {name: _filled(value, values) for name, value in step.keywords.items()}
            if demand is None:
                found = step.function(*arguments, **keywords)
            else:
                found = demand.of_step(step.function, arguments, keywords)
            if len(step.results) == 1:
                values[step.results[0]] = found
            else:
                values.update(zip(step.results, found, strict=True))
            for register in step.done:
                values.pop(register, None)
            if demand is not None:
                demand.hold(values.values())
        return values[self._result]


class Builder:
    """A program that grows step by step."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self._registers = 0

    def register(self) -> Register:
        """A new register."""
        self._registers += 1
        return Register(self._registers)

    def operation(
        self,
        name: str,
        arguments: Iterable[Any],
        keywords: Mapping[str, Any] | None = None,
        *,
        overload: str = "",
    ) -> tuple[Register, ...]:
        """Add an operation by its name in ``torch.ops.aten``, and return the registers of its results.

        Raises:
            UnsafeCheckpointError: it is not one of `OPERATIONS`.
        """
        if name not in OPERATIONS:
            raise self.refused(f"torch's operation {name}")
        function = getattr(torch.ops.aten, name)
        if overload:
            if overload not in function.overloads():
                raise self.refused(f"torch's operation {name}.{overload}")
            function = getattr(function, overload)
        return self.add(function, arguments, keywords)

    def add(
        self,
        function: Callable[..., Any],
        arguments: Iterable[Any],
        keywords: Mapping[str, Any] | None = None,
        *,
        results: int = 1,
    ) -> tuple[Register, ...]:
        """Add a step, and return the registers of its results."""
        if len(self.steps) >= MAX_STEPS:
            raise self.refused(f"more than {MAX_STEPS} steps")
        places = tuple(self.register() for _ in range(results))
        self.steps.append(Step(function, tuple(arguments), keywords or {}, places))
        return places

    def parts(self, value: Any, count: int) -> tuple[Any, ...]:
        """Values or registers of the parts of a list or tuple."""
        if isinstance(value, list | tuple):
            if len(value) != count:
                raise self.refused("a list of another length than is taken from it")
            return tuple(value)
        return self.add(_itself, (value,), results=count) if count > 1 else self.add(_only, (value,))

    def refused(self, what: str) -> UnsafeCheckpointError:
        """The error about something that no network of this package has."""
        hint = "if you know who made it, let torch run it: --trust-artefact, or load(..., trust=True)"
        return refused(what, hint=f"; {hint}")


def size_of(tensor: Tensor, dimension: int) -> int:
    """Length of a tensor's dimension."""
    return int(tensor.shape[dimension])


def product(a: int, b: int) -> int:
    """Product of two integers, not of texts or lists, bounded: each square in a chain doubles the digits.

    Raises:
        OverflowError: it has more than 64 bits.
    """
    found = operator.index(a) * operator.index(b)
    if abs(found) >= 2**63:
        raise OverflowError("a product of more than 64 bits")
    return found


def _itself(value: Any) -> Any:
    return value


def _only(value: Any) -> Any:
    (only,) = value
    return only


def _filled(value: Any, values: dict[Register, Any]) -> Any:
    """An argument with the values of its registers."""
    if isinstance(value, Register):
        return values[value]
    if isinstance(value, list):
        return [_filled(one, values) for one in value]
    return value
