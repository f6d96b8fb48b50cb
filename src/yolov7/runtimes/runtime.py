"""Base of all runtimes: writing an artefact, opening it, and running its network.

checkpoint ── Runtime.write ──> artefact, a file or a directory, with a Description inside
artefact ──── Runtime.open ───> ArtefactBackend, which fulfils the same protocol as torch
"""

from __future__ import annotations

import importlib.util
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from yolov7.checkpoints.checkpoint import Checkpoint
from yolov7.errors import CheckpointError, MissingDependencyError, UsageError
from yolov7.inference.backend import Backend, TorchBackend
from yolov7.layout import OBJECTNESS
from yolov7.memory import is_allocation
from yolov7.runtimes.description import Description, ExportOptions

REJECTED = ".rejected"
"""Suffix of an artefact whose detections differ from torch's."""


class Runtime(ABC):
    """A format of artefacts. Vendor libraries are imported inside its methods and nowhere else."""

    name: ClassVar[str]
    """Name that users type."""
    suffix: ClassVar[str]
    """End of an artefact's file name."""
    extra: ClassVar[str]
    """Extra of this package with all that is needed; "" if users install the libraries by name."""
    writes_with: ClassVar[tuple[str, ...]] = ()
    """Modules that :meth:`write` imports."""
    runs_with: ClassVar[tuple[str, ...]] = ()
    """Modules that :meth:`open` imports."""
    takes_any_size: ClassVar[bool] = True
    """Whether an artefact can be dynamic."""
    needs_trust: ClassVar[bool] = False
    """Whether an artefact is a program that nothing can inspect before it runs."""

    def require(self, *modules: str) -> None:
        """Make sure that modules are installed.

        Raises:
            MissingDependencyError: one is not; the message has the pip command.
        """
        for module in modules:
            if not is_installed(module):
                raise MissingDependencyError(module, purpose=f"the format {self.name}", extra=self.extra)

    def why_not_here(self) -> str | None:
        """Reason why this machine, whatever is installed, cannot run artefacts; None if it can."""
        return None

    def new_description(self, checkpoint: Checkpoint, options: ExportOptions) -> Description:
        """Description of the artefact that a checkpoint becomes.

        Raises:
            UsageError: options that the network or this format does not have.
        """
        if options.dynamic and not self.takes_any_size:
            raise UsageError(f"{self.name} takes images of one size, in batches of one size")
        return Description.of(checkpoint, self.name, options)

    @abstractmethod
    def write(self, checkpoint: Checkpoint, path: Path, options: ExportOptions) -> None:
        """Write the artefact to a path at which there is nothing yet.

        Raises:
            UsageError: options that the network or this format does not have.
        """

    @abstractmethod
    def recognises(self, path: Path) -> bool:
        """Whether a file or directory is built like an artefact of this format, whatever its name."""

    @abstractmethod
    def describe(self, path: Path) -> Description:
        """Read the description of an artefact. Nothing in it is run.

        Raises:
            CheckpointError: it is damaged, or was not written by this package.
        """

    @abstractmethod
    def open(
        self, path: Path, *, parallel: int = 1, exact: bool = False, trust: bool = False
    ) -> ArtefactBackend:
        """Make an artefact ready to run.

        Args:
            path: the artefact.
            parallel: number of calls at the same time, each with its share of the processor.
            exact: compute in float32 even where the runtime would choose 16 bits by itself.
            trust: let the artefact's own runtime run it uninspected, in formats that can hold programs.

        Raises:
            UnsafeCheckpointError: it asks for what no artefact needs, and is not trusted.
            CheckpointError: it is damaged, or was not written by this package.
        """


class ArtefactBackend:
    """A network on a runtime: the :class:`~yolov7.inference.backend.Backend` of an artefact.

    Attributes:
        precision: dtype of the convolutions, as far as the runtime says; else of the weights.
        largest_batch: largest batch of a dynamic artefact; None if there is no limit.
    """

    largest_batch: int | None = None

    def __init__(self, description: Description) -> None:
        self.description = description
        self.stride, self.layout = description.strides[-1], description.layout
        self.shape = None if description.shape is None else description.shape[1:]
        self.variant, self.runtime = description.variant, description.format
        self.precision: str = description.precision

    def __call__(self, images: Tensor, objectness: float) -> tuple[Tensor, ...]:
        """See the protocol. A batch of another size than the artefact's is passed in portions."""
        sides = tuple(images.shape[2:])
        if self.shape is not None and sides != self.shape:
            raise UsageError(
                "this artefact takes images of one size",
                expected="{} x {}".format(*self.shape),
                found="{} x {}".format(*sides),
            )
        if any(side % self.stride for side in sides):  # not every runtime would notice
            raise UsageError(
                f"this network takes sides that are multiples of {self.stride}",
                found="{} x {}".format(*sides),
            )
        fixed = None if self.description.shape is None else self.description.shape[0]
        found: list[Tensor] = []
        for portion in torch.split(images, fixed or self.largest_batch or len(images)):
            missing = 0 if fixed is None else fixed - len(portion)
            full = torch.cat((portion, portion[-1:].expand(missing, -1, -1, -1))) if missing else portion
            found.extend(self.infer_above(full, objectness)[: len(portion)])
        return tuple(found)

    def infer(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W), uint8 or float in [0, 1] -> decoded rows float32 (B, N, 5 + C).

        The rows are valid until the same thread calls again. A backend defines this method, or `infer_above`,
        which then never calls it.
        """
        raise NotImplementedError

    def infer_above(self, images: Tensor, objectness: float) -> tuple[Tensor, ...]:
        """Rows (n, 5 + C) of each image with a higher objectness, in memory of their own."""
        rows = self.infer(images)
        if rows.ndim != 3 or (len(rows), rows.shape[2]) != (len(images), self.layout.size):
            found = " x ".join(map(str, rows.shape))
            raise self.undescribed(f"{len(images)} x N x {self.layout.size} numbers", found)
        return tuple(one[one[:, OBJECTNESS] > objectness] for one in rows)

    def check_logits(self, *channels: int) -> None:
        """Raise a CheckpointError unless a network without decoding has the levels of the description."""
        wanted = [len(level) * self.layout.size for level in self.description.anchors]
        if list(channels) != wanted:
            found = ", ".join(map(str, channels))
            raise self.undescribed(f"{len(wanted)} levels of {wanted[0]} channels", found)

    def undescribed(self, expected: str, found: str) -> CheckpointError:
        """The error for an output of another shape than the description says."""
        return CheckpointError(
            f"the output of this {self.description.format} artefact does not match its description",
            expected=expected,
            found=found,
        )


def precision_of(backend: Backend) -> str:
    """Precision of a backend's convolutions."""
    if isinstance(backend, TorchBackend):
        return str(backend.dtype).removeprefix("torch.")
    return backend.precision if isinstance(backend, ArtefactBackend) else "float32"


@contextmanager
def library_errors(path: Path, what: str, line: int = 0) -> Iterator[None]:
    """Turn the exceptions of a vendor's library, which share no base class, into errors about an artefact.

    Args:
        path: the artefact.
        what: what failed, the beginning of the message.
        line: index of the line of the library's message that gives the reason.

    Raises:
        CheckpointError: anything failed, except that memory ran out: that exception passes unchanged.
    """
    try:
        yield
    except CheckpointError as error:
        error.file = error.file or os.fspath(path)
        raise
    except Exception as error:
        if is_allocation(error):
            raise
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise CheckpointError(f"{what}: {lines[line]}", file=path) from None


def threads(parallel: int) -> int:
    """Number of threads of each of several calls at the same time."""
    return max(1, (os.cpu_count() or 1) // parallel)


def to_unit_range(images: Tensor) -> Tensor:
    """Images (B, 3, H, W), uint8 or float in [0, 1] -> float32 in [0, 1], contiguous."""
    pixels = images.to(torch.float32, memory_format=torch.contiguous_format)
    return pixels.div_(255) if images.dtype == torch.uint8 else pixels


def to_float_array(images: Tensor) -> npt.NDArray[np.float32]:
    """Images (B, 3, H, W), uint8 or float in [0, 1] -> float32 in [0, 1], contiguous."""
    return to_unit_range(images).numpy()


def is_installed(module: str) -> bool:
    """Whether a module, not one inside a package, can be found. It is not imported."""
    return importlib.util.find_spec(module) is not None
