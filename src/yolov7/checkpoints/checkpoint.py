"""Any weight file that people have, as one thing: a network with what is known about it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from yolov7.checkpoints import border, native, official
from yolov7.checkpoints.families import mistaken_for
from yolov7.checkpoints.lookalikes import NEVER_IMPLICIT
from yolov7.errors import CheckpointError, DamagedCheckpointError, MismatchedCheckpointError
from yolov7.models.complexity import count_parameters
from yolov7.models.detector import Detector, fuse
from yolov7.models.head import ImplicitHead
from yolov7.models.reparam import Reparameterizable, RepConv
from yolov7.tensor_files.reading import read_file
from yolov7.tensor_files.sniff import open_file
from yolov7.tensor_files.tree import Foreign, attributes_of, describe, is_module, state_dict_of, walk
from yolov7.text import printable

Form = Literal["training", "deployed"]

# Where people keep the network in a dict, best first: the averaged weights are the ones to use.
NETWORK_KEYS = ("ema", "model", "state_dict", "model_state_dict", "ema_state_dict", "module", "weights")


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
    with open_file(path) as file, _sense():
        contents = read_file(file)
        if contents.metadata is not None:
            found = _from_safetensors(contents.tree, contents.metadata)
        else:
            found = _from_torch(contents.tree)
        return _checked(found, contents.kind)


@contextmanager
def _sense() -> Iterator[None]:
    """Turn whatever the content of a file sets off into a CheckpointError."""
    try:
        yield
    except (CheckpointError, OSError):
        raise
    except Exception as error:  # somebody else wrote the content, and it went past every check
        what = printable(f"{type(error).__name__}: {error}", 200)
        raise DamagedCheckpointError("its content makes no sense", found=what) from error


@dataclass(frozen=True)
class _Found:
    """What a file holds: a network with the tensors of the file in it, and what the file says, unchecked.

    Attributes:
        model: the network.
        naming, precision: see `Checkpoint`.
        names, size, training, about, remembered: class names, image size... as they stand in the file.
        notes: about what was read.
    """

    model: Detector
    naming: str
    precision: str
    names: object = None
    size: object = None
    training: object = None
    about: object = None
    remembered: object = None
    notes: tuple[str, ...] = ()


def _checked(found: _Found, container: str) -> Checkpoint:
    """The checkpoint that a file holds, once everything that the file says is what it should be."""
    model = found.model.float().eval()
    border.check_network(model)
    names, about_names = border.class_names(found.names, model.classes)
    size, about_size = border.image_size(found.size, model)
    training, about, notes = map(border.remembered, (found.training, found.about, found.remembered))
    noted = (*(note for note in notes if isinstance(note, str)),) if isinstance(notes, list) else ()
    return Checkpoint(
        model=model,
        names=names,
        size=size,
        naming=found.naming,
        precision=found.precision,
        container=container,
        training=training if isinstance(training, dict) else {},
        about=about if isinstance(about, dict) else {},
        notes=(*noted, *found.notes, *about_names, *about_size, *border.not_finite(model)),
    )


def _from_safetensors(tensors: Any, metadata: Mapping[str, str]) -> _Found:
    kind = metadata.get("format", "")
    if kind == native.FORMAT:
        model, document = native.rebuild(tensors, metadata)
        return _Found(
            model,
            naming="open-yolov7",
            precision=_precision(tensors),
            names=document.get("names"),
            size=document.get("size"),
            training=document.get("training"),
            about=document.get("about"),
            remembered=document.get("notes"),
        )
    if kind.startswith(native.FORMAT):  # such as a run's training state
        raise MismatchedCheckpointError(
            f"this is an {printable(kind, 80)}, without a network",
            expected="best.safetensors or last.safetensors of the run",
        )
    with _families(tensors):
        return _from_tensors(tensors)


def _from_torch(tree: dict[object, object] | Foreign) -> _Found:
    with _families(tree):
        return _from_tree(tree)


@contextmanager
def _families(tree: object) -> Iterator[None]:
    """Say which other family a file that does not fit belongs to."""
    try:
        yield
    except MismatchedCheckpointError as error:
        raise mistaken_for(tree) or error from None


def _from_tensors(tensors: Mapping[str, Tensor], activations: frozenset[str] = frozenset()) -> _Found:
    if any(name.startswith("backbone.stem.") for name in tensors):
        model, notes = native.from_own_names(tensors)
        return _Found(model, "open-yolov7", _precision(tensors), notes=notes)
    recovered = official.recover(tensors, official.Evidence(activations))
    return _Found(recovered.model, recovered.naming, _precision(tensors), notes=recovered.notes)


def _from_tree(tree: dict[object, object] | Foreign) -> _Found:
    network, key = _network(tree)
    tensors = state_dict_of(network)
    assert tensors is not None
    attributes = attributes_of(network) if isinstance(network, Foreign) else {}
    top = tree if isinstance(tree, dict) else {}
    activations = frozenset(
        _activation(node)
        for node in walk(network)
        if isinstance(node, Foreign) and node.module == "torch.nn.modules.activation"
    )
    found = _from_tensors(tensors, activations)
    training = {
        name: value
        for name in ("epoch", "best_fitness", "updates", "date")
        if isinstance(value := top.get(name), int | float | str)
    }
    notes = found.notes
    if key == "ema" and top.get("model") is not None:
        notes += ("it holds two networks; the averaged one (ema) is used",)
    return replace(
        found,
        names=attributes.get("names", top.get("names")),
        size=_trained_size(top.get("opt")),
        training=training | {"optimizer": top.get("optimizer") is not None},
        notes=notes,
    )


def _activation(node: Foreign) -> str:
    """Its class; with the slope where that is not the 0.1 of YOLOv7-tiny."""
    slope = attributes_of(node).get("negative_slope", 0.1)
    return node.name if isinstance(slope, float) and slope == 0.1 else f"{node.name}({describe(slope)})"


def _network(tree: dict[object, object] | Foreign) -> tuple[object, str]:
    """The network in a tree, and the key that it stands under."""
    if state_dict_of(tree) is not None:
        return tree, ""
    inside = tree if isinstance(tree, dict) else attributes_of(tree)
    for key in NETWORK_KEYS:
        node = inside.get(key)
        if isinstance(node, Foreign) and not is_module(node):  # a wrapper, such as an average's
            node = next((inner for inner in attributes_of(node).values() if is_module(inner)), node)
        if state_dict_of(node) is not None:
            return node, key
    keys = [printable(key, 40) if isinstance(key, str) else describe(key) for key in list(inside)[:12]]
    raise MismatchedCheckpointError(
        "there is no network in this file",
        expected="tensors by name, or a network under one of: " + ", ".join(NETWORK_KEYS),
        found="keys: " + ", ".join(keys) if keys else "nothing",
    )


def _precision(tensors: Mapping[str, Tensor]) -> str:
    """The type of most weights."""
    sizes: Counter[torch.dtype] = Counter()
    for tensor in tensors.values():
        sizes[tensor.dtype] += tensor.numel()
    return str(sizes.most_common(1)[0][0]).removeprefix("torch.")


def _trained_size(options: object) -> object:
    """The image size among the options of a training run, under the names they had."""
    values = attributes_of(options) if isinstance(options, Foreign) else options
    return values.get("imgsz", values.get("img_size")) if isinstance(values, dict) else None
