"""What every runtime has in common: what it writes, what travels with it, and how its network is run.

Checkpoint ── Runtime.write ──> artefact, a file or a directory, with a Description inside
artefact ──── Runtime.open ───> ArtefactBackend: the same protocol that torch fulfils
"""

from __future__ import annotations

import importlib.util
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from yolov7.checkpoints.checkpoint import Checkpoint
from yolov7.errors import CheckpointError, MissingDependencyError, UsageError
from yolov7.layout import OBJECTNESS
from yolov7.runtimes.description import Description, ExportOptions

REJECTED = ".rejected"
"""Suffix of an artefact that was compared with torch and differs."""


class Runtime(ABC):
    """One kind of artefact. Vendor libraries are imported inside its methods, and nowhere else."""

    name: ClassVar[str]
    """What users type."""
    suffix: ClassVar[str]
    """How the artefact's name ends."""
    extra: ClassVar[str]
    """Of this package, with all that is needed; "" where there is none: users install libraries by name."""
    writes_with: ClassVar[tuple[str, ...]] = ()
    """Modules that :meth:`write` imports."""
    runs_with: ClassVar[tuple[str, ...]] = ()
    """Modules that :meth:`open` imports."""
    takes_any_size: ClassVar[bool] = True
    """Whether an artefact can be dynamic."""
    needs_trust: ClassVar[bool] = False
    """Whether no artefact can be looked into before it runs."""

    def require(self, *modules: str) -> None:
        """Say with the pip command what is not installed.

        Raises:
            MissingDependencyError: one of the modules cannot be imported.
        """
        for module in modules:
            if not is_installed(module):
                raise MissingDependencyError(module, purpose=f"the format {self.name}", extra=self.extra)

    def why_not_here(self) -> str | None:
        """Why this machine cannot run artefacts though it can write them; None where it can.

        For what no installation mends: what is only not installed is said by :meth:`require`.
        """
        return None

    @abstractmethod
    def write(self, checkpoint: Checkpoint, path: Path, options: ExportOptions) -> None:
        """Write the artefact to a path at which there is nothing yet.

        Raises:
            UsageError: options that this format does not have.
        """

    @abstractmethod
    def recognises(self, path: Path) -> bool:
        """Whether what is there is built like an artefact of this format, whatever it is called."""

    @abstractmethod
    def describe(self, path: Path) -> Description:
        """What an artefact says about itself; nothing of it is run.

        Raises:
            CheckpointError: it is damaged, or was not written by this package.
        """

    @abstractmethod
    def open(
        self, path: Path, *, parallel: int = 1, exact: bool = False, trust: bool = False
    ) -> ArtefactBackend:
        """The artefact, ready to run.

        Args:
            path: of the artefact.
            parallel: calls that are made at the same time, each with its share of the processor.
            exact: float32 throughout, even where the runtime would round to 16 bits by itself.
            trust: the artefact's own runtime may run whatever is in it: for formats that can hold programs.

        Raises:
            UnsafeCheckpointError: it cannot be opened safely, and is not trusted.
            CheckpointError: it is damaged, or was not written by this package.
        """


class ArtefactBackend(ABC):
    """A network on a runtime: :class:`yolov7.inference.backend.Backend` for artefacts.

    Args:
        description: of the artefact.

    Attributes:
        precision: of the convolutions, as far as the runtime says; else of the weights.
        largest_batch: images that a dynamic one takes at once, at most; None where there is no limit.
    """

    largest_batch: int | None = None

    def __init__(self, description: Description) -> None:
        self.description = description
        self.stride, self.layout = description.strides[-1], description.layout
        self.shape = None if description.shape is None else description.shape[1:]
        self.variant, self.runtime = description.variant, description.format
        self.precision: str = description.precision

    def __call__(self, images: Tensor, objectness: float) -> tuple[Tensor, ...]:
        """See the protocol. Images of another number than the artefact's batch are passed in portions."""
        if self.shape is not None and tuple(images.shape[2:]) != self.shape:
            raise UsageError(
                "this artefact takes images of one size",
                expected="{} x {}".format(*self.shape),
                found="{} x {}".format(*images.shape[2:]),
            )
        if any(side % self.stride for side in images.shape[2:]):  # not every runtime would notice
            raise UsageError(
                f"this network takes sides that are multiples of {self.stride}",
                found="{} x {}".format(*images.shape[2:]),
            )
        fixed = None if self.description.shape is None else self.description.shape[0]
        found: list[Tensor] = []
        for portion in torch.split(images, fixed or self.largest_batch or len(images)):
            missing = 0 if fixed is None else fixed - len(portion)
            full = torch.cat((portion, portion[-1:].expand(missing, -1, -1, -1))) if missing else portion
            found.extend(self.infer_above(full, objectness)[: len(portion)])
        return tuple(found)

    @abstractmethod
    def infer(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W), uint8 or float in [0, 1] -> decoded rows float32 (B, N, 5 + C).

        The rows need be valid only until the same thread calls again.
        """

    def check_logits(self, *channels: int) -> None:
        """Make sure that the levels of a network without decoding are those of the description.

        Raises:
            CheckpointError: they are not.
        """
        wanted = [len(level) * self.layout.size for level in self.description.anchors]
        if list(channels) != wanted:
            raise CheckpointError(
                f"what this {self.description.format} artefact gives is not what its description tells of",
                expected=f"{len(wanted)} levels of {wanted[0]} channels",
                found=", ".join(map(str, channels)),
            )

    def infer_above(self, images: Tensor, objectness: float) -> tuple[Tensor, ...]:
        """Of each image the rows with a higher objectness, (n, 5 + C), in memory of their own."""
        rows = self.infer(images)
        if rows.ndim != 3 or (len(rows), rows.shape[2]) != (len(images), self.layout.size):
            raise CheckpointError(
                f"what this {self.description.format} artefact gives is not what its description tells of",
                expected=f"{len(images)} x N x {self.layout.size} numbers",
                found=" x ".join(map(str, rows.shape)),
            )
        return tuple(one[one[:, OBJECTNESS] > objectness] for one in rows)


def to_float_array(images: Tensor) -> npt.NDArray[np.float32]:
    """Images (B, 3, H, W), uint8 or float in [0, 1] -> float32 in [0, 1], channels first in memory."""
    pixels = images.to(torch.float32, memory_format=torch.contiguous_format)
    return (pixels.div_(255) if images.dtype == torch.uint8 else pixels).numpy()


def is_installed(module: str) -> bool:
    """Whether a module is there; it is not imported."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # a part of a package that is not there
        return False
