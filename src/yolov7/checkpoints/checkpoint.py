"""Any weight file that people have, as one thing: a network with what is known about it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from torch import Tensor

from yolov7.checkpoints import native, official
from yolov7.checkpoints.coco_names import COCO_NAMES
from yolov7.checkpoints.container import read_checkpoint
from yolov7.checkpoints.lookalikes import NEVER_IMPLICIT
from yolov7.checkpoints.sniff import sniff
from yolov7.checkpoints.tree import Foreign, attributes_of, is_module, state_dict_of, walk
from yolov7.errors import CheckpointError, MismatchedCheckpointError
from yolov7.models.complexity import count_parameters
from yolov7.models.detector import Detector, fuse
from yolov7.models.head import ImplicitHead
from yolov7.models.reparam import Reparameterizable

Form = Literal["training", "deployed"]

CONTAINERS = {"zip": "torch", "legacy": "torch before 1.6", "safetensors": "safetensors"}

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
    """
    kind = sniff(path)
    try:
        if kind == "safetensors":
            tensors, metadata = native.read(path)
            if metadata.get("format") == native.FORMAT:
                checkpoint = _from_native(tensors, metadata, path)
            else:
                checkpoint = _from_tensors(tensors, official.Evidence())
        else:
            checkpoint = _from_torch(read_checkpoint(path))
    except CheckpointError as error:
        if error.file is not None:
            raise
        # What knows tensors alone does not know the file.
        named = type(error)(error.message, file=path, expected=error.expected, found=error.found)
        raise named from None
    model = checkpoint.model.float().eval()
    notes = (*checkpoint.notes, *_not_finite(model))
    return replace(checkpoint, model=model, container=CONTAINERS[kind], notes=notes)


def _from_native(
    tensors: Mapping[str, Tensor], metadata: Mapping[str, str], path: str | os.PathLike[str]
) -> Checkpoint:
    model, document = native.rebuild(tensors, metadata, path)
    names = document.get("names")
    return Checkpoint(
        model=model,
        names=_names(names, model.classes),
        size=_size(document.get("size"), model),
        naming="open-yolov7",
        precision=_precision(tensors),
        training=_as_dict(document.get("training")),
        about=_as_dict(document.get("about")),
        notes=_plain_names(document.get("notes")),
    )


def _from_tensors(tensors: Mapping[str, Tensor], evidence: official.Evidence) -> Checkpoint:
    if any(name.startswith("backbone.") for name in tensors):
        model, notes = native.from_own_names(tensors)
        recovered = official.Recovered(model, "open-yolov7", notes)
    else:
        recovered = official.recover(tensors, evidence)
        model = recovered.model
    return Checkpoint(
        model=model,
        names=_names(evidence.names, model.classes),
        size=model.architecture.size,
        naming=recovered.naming,
        precision=_precision(tensors),
        notes=recovered.notes,
    )


def _from_torch(tree: dict[object, object] | Foreign) -> Checkpoint:
    network, key = _network(tree)
    tensors = state_dict_of(network)
    assert tensors is not None
    attributes = attributes_of(network) if isinstance(network, Foreign) else {}
    top = tree if isinstance(tree, dict) else {}
    evidence = official.Evidence(
        names=_plain_names(attributes.get("names", top.get("names"))),
        activations=frozenset(
            _activation(node)
            for node in walk(network)
            if isinstance(node, Foreign) and node.module == "torch.nn.modules.activation"
        ),
    )
    checkpoint = _from_tensors(tensors, evidence)
    training = {
        name: _one_line(value) if isinstance(value, str) else value
        for name in ("epoch", "best_fitness", "updates", "date")
        if isinstance(value := top.get(name), int | float | str)
    }
    training["optimizer"] = top.get("optimizer") is not None
    notes = list(checkpoint.notes)
    if key == "ema" and top.get("model") is not None:
        notes.append("it holds two networks; the averaged one (ema) is used")
    return replace(
        checkpoint,
        size=_size(_trained_size(top.get("opt")), checkpoint.model),
        training=training,
        notes=tuple(notes),
    )


def _activation(node: Foreign) -> str:
    """Its class; with the slope where that is not the 0.1 of YOLOv7-tiny."""
    slope = attributes_of(node).get("negative_slope", 0.1)
    return node.name if slope == 0.1 else f"{node.name}({slope})"


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
    raise MismatchedCheckpointError(
        "there is no network in this file",
        expected="tensors by name, or a network under one of: " + ", ".join(NETWORK_KEYS),
        found="keys: " + ", ".join(str(key)[:40] for key in list(inside)[:12]) if inside else "nothing",
    )


def _precision(tensors: Mapping[str, Tensor]) -> str:
    """The type of most weights."""
    sizes: Counter[torch.dtype] = Counter()
    for tensor in tensors.values():
        sizes[tensor.dtype] += tensor.numel()
    return str(sizes.most_common(1)[0][0]).removeprefix("torch.")


def _not_finite(model: Detector) -> list[str]:
    # One number out of line makes the sum so, which is quicker to ask for.
    suspects = {n: t for n, t in model.state_dict().items() if not t.sum(dtype=torch.float32).isfinite()}
    bad = [name for name, tensor in suspects.items() if not torch.isfinite(tensor).all()]
    if not bad:
        return []
    examples = ", ".join(bad[:5])
    return [f"{len(bad)} tensors hold NaN or infinity, nothing can be found with them: {examples}"]


def _plain_names(value: object) -> tuple[str, ...]:
    """Class names as released files keep them: a list, or a dict by label."""
    if isinstance(value, dict):
        value = [value[key] for key in sorted(key for key in value if isinstance(key, int))]
    return tuple(_one_line(name) for name in value) if isinstance(value, list | tuple) else ()


def _one_line(text: object) -> str:
    """Text out of a file without what would steer a terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in str(text))


def _as_dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _names(found: object, classes: int) -> tuple[str, ...]:
    """One name a class: the file's where they fit, COCO's for 80 nameless ones, else numbers."""
    names = _plain_names(found)
    if len(names) == classes:
        return names
    return COCO_NAMES if classes == len(COCO_NAMES) else tuple(f"class {label}" for label in range(classes))


def _size(found: object, model: Detector) -> int:
    stride = model.strides[-1]
    fits = isinstance(found, int) and stride <= found <= 4096
    return found if isinstance(found, int) and fits else model.architecture.size


def _trained_size(options: object) -> object:
    """The image size among the options of a training run, under the names they had."""
    values = attributes_of(options) if isinstance(options, Foreign) else options
    if not isinstance(values, dict):
        return None
    size = values.get("imgsz", values.get("img_size"))
    return size[0] if isinstance(size, list) and size else size
