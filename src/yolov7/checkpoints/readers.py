"""Network in a file, found by the reader of its family, with the file's metadata."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from yolov7.checkpoints import native, official
from yolov7.checkpoints.families import mistaken_for
from yolov7.checkpoints.fitting import Recovered
from yolov7.errors import MismatchedCheckpointError
from yolov7.tensor_files.reading import Contents
from yolov7.tensor_files.tree import Foreign, attributes_of, describe, is_module, state_dict_of, walk
from yolov7.text import printable

# Keys under which people keep the network, best first: the averaged weights are the ones to use.
NETWORK_KEYS = ("ema", "model", "state_dict", "model_state_dict", "ema_state_dict", "module", "weights")


class Found(NamedTuple):
    """Network of a file, and the file's unchecked metadata."""

    recovered: Recovered
    precision: str  # dtype of most of the tensors, such as ``float16``
    says: Mapping[str, Any]  # ``names``, ``size``, ``training``, ``about``, ``notes`` as the file has them


def find_network(contents: Contents) -> Found:
    """Find the network in a file.

    Raises:
        MismatchedCheckpointError: there is none of YOLOv7 or its baselines.
        DamagedCheckpointError: its description makes no sense.
        CheckpointError: a later version of this package wrote it.
    """
    kind = (contents.metadata or {}).get("format", "")
    if kind.startswith(native.FORMAT) and kind != native.FORMAT:  # such as a run's training state
        raise MismatchedCheckpointError(
            f"this is an {printable(kind, 80)}, without a network",
            expected="best.safetensors or last.safetensors of the run",
        )
    try:
        tensors, network, key = _network(contents.tree)
        if kind != native.FORMAT:
            return _recovered(contents, tensors, network, key)
    except MismatchedCheckpointError as error:
        raise mistaken_for(contents.tree) or error from None
    model, document = native.rebuild(tensors, contents.metadata or {})
    return Found(Recovered(model, native.FORMAT, ()), _precision(tensors), document)


def _recovered(contents: Contents, tensors: dict[str, Tensor], network: object, key: str) -> Found:
    """Find the network of a file without a description of ours."""
    recovered = (
        native.recover(tensors)
        if any(name.startswith("backbone.stem.") for name in tensors)
        else official.recover(tensors, _activations(network))
    )
    if contents.metadata is not None:
        return Found(recovered, _precision(tensors), {})
    top = contents.tree if isinstance(contents.tree, dict) else {}
    attributes = attributes_of(network) if isinstance(network, Foreign) else {}
    training: dict[str, Any] = {
        name: value
        for name in ("epoch", "best_fitness", "updates", "date")
        if isinstance(value := top.get(name), int | float | str)
    }
    if key == "ema" and top.get("model") is not None:
        note = "it holds two networks; the averaged one (ema) is used"
        recovered = recovered._replace(notes=(*recovered.notes, note))
    says = {
        "names": attributes.get("names", top.get("names")),
        "size": _trained_size(top.get("opt")),
        "training": training | {"optimizer": top.get("optimizer") is not None},
    }
    return Found(recovered, _precision(tensors), says)


def _network(tree: dict[object, object] | Foreign) -> tuple[dict[str, Tensor], object, str]:
    """Tensors of the network in a tree, the network itself, and its key."""
    if (tensors := state_dict_of(tree)) is not None:
        return tensors, tree, ""
    inside = tree if isinstance(tree, dict) else attributes_of(tree)
    for key in NETWORK_KEYS:
        node = inside.get(key)
        if isinstance(node, Foreign) and not is_module(node):  # a wrapper, such as an average's
            node = next((inner for inner in attributes_of(node).values() if is_module(inner)), node)
        if (tensors := state_dict_of(node)) is not None:
            return tensors, node, key
    keys = [printable(key, 40) if isinstance(key, str) else describe(key) for key in list(inside)[:12]]
    raise MismatchedCheckpointError(
        "there is no network in this file",
        expected="tensors by name, or a network under one of: " + ", ".join(NETWORK_KEYS),
        found="keys: " + ", ".join(keys) if keys else "nothing",
    )


def _activations(network: object) -> frozenset[str]:
    """Classes of the activations in a pickled network, with the slope where it is not YOLOv7-tiny's 0.1."""
    found = set()
    for node in walk(network):
        if isinstance(node, Foreign) and node.module == "torch.nn.modules.activation":
            slope = attributes_of(node).get("negative_slope", 0.1)
            usual = isinstance(slope, float) and slope == 0.1
            found.add(node.name if usual else f"{node.name}({describe(slope)})")
    return frozenset(found)


def _precision(tensors: Mapping[str, Tensor]) -> str:
    sizes: Counter[torch.dtype] = Counter()
    for tensor in tensors.values():
        sizes[tensor.dtype] += tensor.numel()
    return str(sizes.most_common(1)[0][0]).removeprefix("torch.")


def _trained_size(options: object) -> object:
    """Image size among the options of a training run, under any of its historical names."""
    values = attributes_of(options) if isinstance(options, Foreign) else options
    return values.get("imgsz", values.get("img_size")) if isinstance(values, dict) else None
