"""Checkpoint: a network with everything that its file says about it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from torch import nn

from yolov7.checkpoints import border, native
from yolov7.checkpoints.lookalikes import NEVER_IMPLICIT
from yolov7.checkpoints.readers import Found, find_network
from yolov7.errors import CheckpointError, DamagedCheckpointError
from yolov7.models.complexity import count_parameters
from yolov7.models.detector import Detector, fuse
from yolov7.models.head import ImplicitHead
from yolov7.models.reparam import Reparameterizable, RepConv
from yolov7.tensor_files.reading import open_file, read_file
from yolov7.text import printable

Form = Literal["training", "deployed"]


@dataclass(frozen=True)
class Checkpoint:
    """A network with trained weights, and everything that its file says about it.

    Attributes:
        model: network, float32, in evaluation mode, in the form that the file has.
        names: C class names.
        size: image size that the network is meant for, pixels.
        naming: naming scheme of the tensors in the file: ``open-yolov7``, ``released`` or ``MIT rewrite``.
        precision: dtype of the weights in the file, such as ``float16``.
        container: kind of file; ``none`` for a network that does not come from a file.
        training: facts about the training: epoch, presence of an optimizer state...
        about: licence, provenance and other facts from a file of ours.
        notes: remarks for the user: parts that were left out, choices that were made.

    >>> checkpoint = load_checkpoint("best.pt")
    >>> checkpoint.names, checkpoint.size, checkpoint.form
    (('red', 'green', 'blue'), 128, 'deployed')
    >>> checkpoint.save("copy.safetensors")
    """

    model: Detector
    names: tuple[str, ...]
    size: int
    naming: str
    precision: str
    container: str = "none"
    training: Mapping[str, Any] = field(default_factory=dict)
    about: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def form(self) -> Form:
        """Form of the network: ``training`` if it has implicit vectors or auxiliary heads, else ``deployed``.

        yolov7-tiny-silu and yolov4-csp have neither: they count as ``training`` until batch norms are folded.
        """
        model = self.model
        if model.auxiliary is not None or isinstance(model.lead, ImplicitHead):
            return "training"
        stripped = model.architecture.name not in NEVER_IMPLICIT
        return "deployed" if stripped or model.deployed else "training"

    @property
    def folded(self) -> tuple[str, ...]:
        """Parts of the training form that are folded into convolutions, or left out."""
        model = self.model
        modules = list(model.modules())
        folded = []
        if model.architecture.name not in NEVER_IMPLICIT and not isinstance(model.lead, ImplicitHead):
            folded.append("implicit vectors")
        if not any(isinstance(part, nn.BatchNorm2d) for part in modules):
            folded.append("batch norms")
        if model.architecture.output is RepConv and not any(isinstance(part, RepConv) for part in modules):
            folded.append("branches of RepConv")
        return tuple(folded)

    def deployed(self) -> Checkpoint:
        """Copy with everything folded."""
        return replace(self, model=fuse(self.model))

    def save(self, path: str | os.PathLike[str], *, half: bool = False) -> None:
        """Write the checkpoint in our own format.

        Args:
            path: file to write; an existing one is replaced once the new one is complete.
            half: store weights as float16.

        Raises:
            OutputError: no permission, no space, ...
        """
        document = {
            "names": list(self.names),
            "size": self.size,
            "training": dict(self.training),
            "about": dict(self.about),
            "notes": list(self.notes),
        }
        native.write(path, self.model, document, half=half)

    def describe(self) -> dict[str, Any]:
        """Describe everything but the weights in JSON types, as ``yolov7 doctor`` prints it."""
        model = self.model
        to_fold = sum(isinstance(part, Reparameterizable) for part in model.modules())
        return {
            "variant": model.architecture.name,
            "form": self.form,
            "classes": model.classes,
            "names": list(self.names),
            "anchors": model.anchors.tolist(),
            "strides": list(model.strides),
            "size": self.size,
            "precision": self.precision,
            "parameters": count_parameters(model),
            "auxiliary_heads": model.auxiliary is not None,
            "implicit_knowledge": isinstance(model.lead, ImplicitHead),
            "parts_to_fold": to_fold,
            "folded": list(self.folded),
            "output_convolutions": model.architecture.output.__name__,
            "container": self.container,
            "naming": self.naming,
            "training": dict(self.training),
            "about": dict(self.about),
            "notes": list(self.notes),
        }


def load_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Read a weight file without running anything in it: see the list in docs/checkpoints.md.

    Raises:
        UnsafeCheckpointError: the file asks to run code.
        DamagedCheckpointError: the file is not a checkpoint, or not a whole one.
        MismatchedCheckpointError: the tensors are not those of a YOLOv7 network.
        CheckpointError: the file cannot be opened or read.

    >>> load_checkpoint("best.pt").model.strides
    (8, 16, 32)
    """
    with open_file(path) as file:
        try:
            contents = read_file(file)
            return _checked(find_network(contents), contents.kind)
        except (CheckpointError, OSError):
            raise
        except Exception as error:  # untrusted content that passed every check
            what = printable(f"{type(error).__name__}: {error}", 200)
            raise DamagedCheckpointError("its content makes no sense", found=what) from error


def _checked(found: Found, container: str) -> Checkpoint:
    """Check the file's metadata, and make the checkpoint."""
    model, naming, choices = found.recovered
    model.float()
    border.check_network(model)
    names, about_names = border.class_names(found.says.get("names"), model.classes)
    size, about_size = border.image_size(found.says.get("size"), model)
    training, about, notes = (
        border.remembered(found.says.get(key)) for key in ("training", "about", "notes")
    )
    noted = [note for note in notes if isinstance(note, str)] if isinstance(notes, list) else []
    return Checkpoint(
        model=model,
        names=names,
        size=size,
        naming=naming,
        precision=found.precision,
        container=container,
        training=training if isinstance(training, dict) else {},
        about=about if isinstance(about, dict) else {},
        notes=(*noted, *choices, *about_names, *about_size, *border.not_finite(model)),
    )
