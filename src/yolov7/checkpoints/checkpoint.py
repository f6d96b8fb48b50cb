"""Any weight file that people have, as one thing: a network with what is known about it."""

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
from yolov7.tensor_files.reading import read_file
from yolov7.tensor_files.sniff import open_file
from yolov7.text import printable

Form = Literal["training", "deployed"]


@dataclass(frozen=True)
class Checkpoint:
    """A network with trained weights, and everything its file says about it.

    Attributes:
        model: float32, in evaluation mode, in the form that the file has.
        names: class names, C of them.
        size: the image size it is meant for, pixels.
        naming: whose names its tensors have: ``open-yolov7``, ``released`` or ``MIT rewrite``.
        precision: type of the weights in the file, such as ``float16``.
        container: kind of file; ``none`` for a network that comes from none.
        training: what is left of its training: epoch, whether an optimizer state is there...
        about: licence, provenance and whatever else a file of ours remembers.
        notes: what a user should know: parts that were left out, choices that were made.

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
        """``training`` while there are implicit vectors or auxiliary heads, which no deployed network has.

        Networks that never had them (yolov7-tiny-silu, yolov4-csp) are in it while batch norms are apart.
        """
        model = self.model
        if model.auxiliary is not None or isinstance(model.lead, ImplicitHead):
            return "training"
        stripped = model.architecture.name not in NEVER_IMPLICIT
        return "deployed" if stripped or model.deployed else "training"

    @property
    def folded(self) -> tuple[str, ...]:
        """Parts of the network in training form that are folded into convolutions, or left out."""
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
        """The same with everything folded."""
        return replace(self, model=fuse(self.model))

    def save(self, path: str | os.PathLike[str], *, half: bool = False) -> None:
        """Write it in our own format.

        Args:
            path: an existing file is replaced once the new one is complete.
            half: store float16.

        Raises:
            OutputError: it cannot be written.
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
        """Everything but the weights, as JSON types: what ``yolov7 doctor`` prints."""
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
        UnsafeCheckpointError: it asks to run code.
        DamagedCheckpointError: it is no checkpoint, or not a whole one.
        MismatchedCheckpointError: its tensors are those of no YOLOv7 network.
        CheckpointError: it cannot be opened.

    >>> load_checkpoint("best.pt").model.strides
    (8, 16, 32)
    """
    with open_file(path) as file:
        try:
            contents = read_file(file)
            return _checked(find_network(contents), contents.kind)
        except (CheckpointError, OSError):
            raise
        except Exception as error:  # somebody else wrote the content, and it went past every check
            what = printable(f"{type(error).__name__}: {error}", 200)
            raise DamagedCheckpointError("its content makes no sense", found=what) from error


def _checked(found: Found, container: str) -> Checkpoint:
    """The checkpoint that a file holds, once everything that the file says is what it should be."""
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
