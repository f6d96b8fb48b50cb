"""What every runtime has in common: what it writes, what travels with it, and how its network is run.

Checkpoint ── Runtime.write ──> artefact, a file or a directory, with a Description inside
artefact ──── Runtime.open ───> ArtefactBackend: the same protocol that torch fulfils
"""

from __future__ import annotations

import importlib.util
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from yolov7.artefacts.identity import weights_sha256
from yolov7.artefacts.written import (
    MAX_BATCH,
    MAX_CLASSES,
    MAX_JSON,
    MAX_SIDE,
    mapping,
    parsed_json,
    positive,
    several,
    text,
    whole,
)
from yolov7.checkpoints.checkpoint import Checkpoint
from yolov7.errors import CheckpointError, MissingDependencyError, UsageError
from yolov7.layout import OBJECTNESS, RowLayout
from yolov7.text import printable

REJECTED = ".rejected"
"""Suffix of an artefact that was compared with torch and differs."""
KEY = "open-yolov7"
"""Under which a description is found among an artefact's metadata."""

VERSION = 1
"""Of descriptions: see :class:`Description`."""

Precision = Literal["float32", "float16", "int8"]
_PRECISIONS: dict[object, Precision] = {"float32": "float32", "float16": "float16", "int8": "int8"}


@dataclass(frozen=True)
class ExportOptions:
    """What an artefact should be like.

    Attributes:
        size: side of the square images, pixels; of a dynamic one the size it is meant for. The checkpoint's
            own where not given.
        batch: images that go through together.
        dynamic: takes any batch, and sides that are multiples of the stride.
        half: weights in 16 bits.
        calibration: folder of images like those it will see: what 8-bit formats need.
    """

    size: int | None = None
    batch: int = 1
    dynamic: bool = False
    half: bool = False
    calibration: Path | None = None


@dataclass(frozen=True)
class Description:
    """What travels in every artefact, so that it needs nothing beside it.

    Attributes:
        format: name of its :class:`Runtime`.
        variant: name of the network.
        names: class names by label.
        size: side of the images that it is meant for, pixels.
        shape: (batch, height, width) of the only images that it takes; None where it is dynamic.
        strides: pixels per cell, by level.
        anchors: (width, height) in pixels, by level.
        precision: of its weights.
        weights: SHA-256 of the checkpoint's tensors: see :func:`~yolov7.artefacts.identity.weights_sha256`.
        about: licence, provenance and whatever else the checkpoint remembers.
        made_by: versions of this package and of torch.
        version: of this description. Fields that are added later are ignored by older packages; where one
            changes its meaning the version rises, and older packages refuse it.
    """

    format: str
    variant: str
    names: tuple[str, ...]
    size: int
    shape: tuple[int, int, int] | None
    strides: tuple[int, ...]
    anchors: tuple[tuple[tuple[float, float], ...], ...]
    precision: Precision
    weights: str
    about: Mapping[str, Any] = field(default_factory=dict)
    made_by: Mapping[str, str] = field(default_factory=dict)
    version: int = VERSION

    @property
    def layout(self) -> RowLayout:
        """Columns of the rows that it gives."""
        return RowLayout(len(self.names))

    @classmethod
    def of(
        cls,
        checkpoint: Checkpoint,
        format_: str,
        options: ExportOptions,
        *,
        precision: Precision | None = None,
    ) -> Description:
        """Of the artefact that a checkpoint becomes.

        Raises:
            UsageError: a size that the network does not take.
        """
        model = checkpoint.model
        size = checkpoint.size if options.size is None else options.size
        if size < 1 or size % model.strides[-1]:
            raise UsageError(
                f"{model.architecture.name} takes sides that are multiples of {model.strides[-1]}", found=size
            )
        if options.batch < 1:
            raise UsageError("a batch has at least one image", found=options.batch)
        return cls(
            format=format_,
            variant=model.architecture.name,
            names=checkpoint.names,
            size=size,
            shape=None if options.dynamic else (options.batch, size, size),
            strides=model.strides,
            anchors=tuple(tuple((w, h) for w, h in level) for level in model.anchors.tolist()),
            precision=precision or ("float16" if options.half else "float32"),
            weights=weights_sha256(model),
            about=dict(checkpoint.about),
            made_by={"open-yolov7": version("open-yolov7"), "torch": torch.__version__},
        )

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, said: str | bytes | None, path: Path) -> Description:
        """The description inside an artefact.

        Raises:
            CheckpointError: there is none, or not a whole one: this package did not write the artefact; or a
                later version of it did.
        """
        if not said or len(said) > MAX_JSON:
            raise _undescribed(path, f"{len(said)} bytes" if said else None)
        try:
            return cls._parsed(mapping(parsed_json(said)), path)
        except KeyError as error:
            raise _undescribed(path, f"no {error.args[0]}") from None
        except (ValueError, TypeError, OverflowError) as error:
            raise _undescribed(path, printable(error, 200)) from None

    @classmethod
    def _parsed(cls, said: Mapping[str, Any], path: Path) -> Description:
        """See :meth:`from_json`. Raises: ValueError, KeyError, TypeError where it makes no sense."""
        version_ = whole(said.get("version", 1), 2**31)
        if version_ > VERSION:
            raise CheckpointError(
                "this artefact was written by a later version of open-yolov7: upgrade this one",
                file=path,
                expected=f"a description of version {VERSION}",
                found=version_,
            )
        strides = tuple(whole(stride, 1024) for stride in several(said["strides"], 10))
        anchors = tuple(
            tuple((positive(width), positive(height)) for width, height in several(level, 100))
            for level in several(said["anchors"], 10)
        )
        if len({len(level) for level in anchors}) != 1 or len(anchors) != len(strides):
            raise ValueError("the anchors are not those of the strides")
        size, shape = whole(said["size"], MAX_SIDE), said["shape"]
        if shape is not None:
            batch, height, width = several(shape, 3)
            shape = whole(batch, MAX_BATCH), whole(height, MAX_SIDE), whole(width, MAX_SIDE)
        return cls(
            format=text(said["format"]),
            variant=text(said["variant"]),
            names=tuple(map(text, several(said["names"], MAX_CLASSES))),
            size=size,
            shape=shape,
            strides=strides,
            anchors=anchors,
            precision=_PRECISIONS[said["precision"]],
            weights=text(said["weights"]),
            about=mapping(said["about"]),
            made_by={text(name): text(value) for name, value in mapping(said["made_by"]).items()},
            version=version_,
        )


def _undescribed(path: Path, found: str | None) -> CheckpointError:
    return CheckpointError(
        "this artefact does not say what it is",
        file=path,
        expected=f"a description of the network among its metadata, as `{KEY} export` writes it",
        found=found,
    )


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
