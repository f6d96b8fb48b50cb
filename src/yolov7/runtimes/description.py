"""The description of an artefact: JSON that travels inside, so that nothing is needed beside it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import torch

from yolov7.checkpoints.checkpoint import Checkpoint
from yolov7.errors import CheckpointError, UsageError
from yolov7.layout import RowLayout
from yolov7.models.detector import Detector
from yolov7.text import printable
from yolov7.untrusted.values import (
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

KEY = "open-yolov7"
"""Name of the description among an artefact's metadata."""
FILE = "description.json"
"""Name of the description where an artefact is a directory or an archive."""
VERSION = 1
"""Version of the form of descriptions. Later fields leave it alone and are ignored by older packages; a field
that changes its meaning raises it, and older packages refuse the artefact."""

Precision = Literal["float32", "float16", "int8"]
_PRECISIONS: dict[object, Precision] = {"float32": "float32", "float16": "float16", "int8": "int8"}


@dataclass(frozen=True)
class ExportOptions:
    """Options of an export.

    Attributes:
        size: side of the square images, pixels; of a dynamic artefact, the size it is meant for. By default
            the checkpoint's own.
        batch: images per batch.
        dynamic: take any batch, and sides that are multiples of the stride.
        half: weights in float16.
        calibration: folder of images like those of later use; INT8 formats need it.
    """

    size: int | None = None
    batch: int = 1
    dynamic: bool = False
    half: bool = False
    calibration: Path | None = None


@dataclass(frozen=True)
class Description:
    """Facts that are needed to run an artefact.

    Attributes:
        format: name of its :class:`~yolov7.runtimes.runtime.Runtime`.
        variant: name of the network.
        names: class names by label.
        size: side of the images that it is meant for, pixels.
        shape: (batch, height, width) of the only images that it takes; None if it is dynamic.
        strides: pixels per cell of each level.
        anchors: (width, height) in pixels of each level's anchors.
        precision: dtype of the weights.
        weights: SHA-256 of the checkpoint's tensors, see :func:`weights_sha256`.
        about: licence, provenance and further facts from the checkpoint.
        made_by: versions of this package and of torch.
        version: version of the description, see :data:`VERSION`.
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
        """Columns of the artefact's rows."""
        return RowLayout(len(self.names))

    @classmethod
    def of(cls, checkpoint: Checkpoint, format_: str, options: ExportOptions) -> Description:
        """Describe the artefact that a checkpoint becomes.

        Raises:
            UsageError: the network does not take this size, or the batch is empty.
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
            precision="float16" if options.half else "float32",
            weights=weights_sha256(model),
            about=dict(checkpoint.about),
            made_by={"open-yolov7": version("open-yolov7"), "torch": torch.__version__},
        )

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, said: str | bytes | None, path: Path) -> Description:
        """Parse the description inside an artefact.

        Raises:
            CheckpointError: it is missing, incomplete or out of bounds, so this package did not write the
                artefact; or a later version of this package did.
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


def weights_sha256(model: Detector) -> str:
    """SHA-256 of a network's tensors, their names, shapes and dtypes, whatever file they came from."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy())
    return digest.hexdigest()
