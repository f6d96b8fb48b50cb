"""Our own format: safetensors, with a description of the network in the metadata.

Tensors have our names (``Detector.state_dict()``). The metadata has ``format`` (``open-yolov7``), ``version``
and ``checkpoint``, a JSON document: architecture, class names, size, licence. Nothing in it is code.
`recover` reads tensors of our names that come without such a description.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from yolov7.checkpoints.description import architecture_from, describe, whole
from yolov7.checkpoints.fitting import Fit, Recovered, check_anchors, fitting, fold, mismatch
from yolov7.checkpoints.lookalikes import CANDIDATES, disambiguate
from yolov7.errors import CheckpointError, DamagedCheckpointError, MismatchedCheckpointError
from yolov7.files import write_file
from yolov7.layout import RowLayout
from yolov7.models.architecture import Architecture
from yolov7.models.detector import Detector
from yolov7.models.head import ImplicitHead, PlainHead
from yolov7.models.reparam import Reparameterizable
from yolov7.text import printable

FORMAT = "open-yolov7"
"""Name of the format, and of the naming of its tensors."""
VERSION = 1

_classes = whole(65_536)


def write(
    path: str | os.PathLike[str], model: Detector, document: Mapping[str, Any], *, half: bool = False
) -> None:
    """Write a network, in any form, with its description; the file appears, or is replaced, when complete.

    Args:
        document: other facts in JSON types: names, size, licence...
        half: store weights as float16; anchors keep their precision.

    Raises:
        OutputError: no permission, no space, ...
        CheckpointError: a part of the network has no import path.
    """
    described = {"architecture": describe(model.architecture), "classes": model.classes, **document}
    metadata = {"format": FORMAT, "version": str(VERSION), "checkpoint": json.dumps(described)}
    tensors = {}
    for name, tensor in model.state_dict().items():
        halved = half and tensor.is_floating_point() and name != "anchors"
        tensors[name] = tensor.detach().to("cpu", torch.float16 if halved else tensor.dtype).contiguous()
    write_file(path, save(tensors, metadata), sync=True)


def rebuild(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> tuple[Detector, dict[str, Any]]:
    """Rebuild the network that :func:`write` wrote, and the document with it.

    Raises:
        CheckpointError: a later version of this package wrote it, with fields that this one does not know.
        DamagedCheckpointError: invalid metadata.
        MismatchedCheckpointError: the tensors are not those of the architecture.
    """
    if metadata.get("version") != str(VERSION):
        raise CheckpointError(
            "written by another version of this package",
            expected=f"format {FORMAT}, version {VERSION}",
            found=f"version {printable(metadata.get('version'), 40)}",
        )
    try:
        document = json.loads(metadata["checkpoint"])
        architecture = architecture_from(document["architecture"])
        classes = _classes(document["classes"])
        check_anchors(tensors["anchors"])
        if (parts := _convolutions(architecture)) > len(tensors):  # checked before any of them is built
            raise MismatchedCheckpointError(
                "its description is of a larger network",
                expected=f"{parts:,} convolutions at least",
                found=f"{len(tensors):,} tensors",
            )
        anchors: Any = tensors["anchors"].tolist()
        with torch.device("meta"):
            model = Detector(architecture, classes, anchors)
    except CheckpointError:
        raise
    except Exception as error:  # the document is untrusted
        deep = isinstance(error, RecursionError)
        found = "nested too deeply" if deep else printable(f"{type(error).__name__}: {error}", 200)
        raise DamagedCheckpointError("its description makes no sense", found=found) from error
    return fit(model, tensors).load(), document


def _convolutions(architecture: Architecture) -> int:
    """Lower bound of a network's number of convolutions."""
    blocks = (*(stage.block for stage in architecture.stages), *architecture.neck)
    return len(architecture.stem) + sum(block.depth for block in blocks) * architecture.cardinality


def recover(tensors: Mapping[str, Tensor]) -> Recovered:
    """Find the network whose ``state_dict()`` this is: one of the paper's or a baseline, at any width.

    Raises: MismatchedCheckpointError: no network has these; the error lists the misfits of the nearest.
    """
    outputs, anchors = tensors.get("lead.convs.0.bias"), tensors.get("anchors")
    if outputs is None or outputs.dim() != 1 or anchors is None or anchors.dim() != 3 or not anchors.numel():
        raise mismatch("these are not the tensors of a network of ours", ["lead.convs.0.bias", "anchors"], [])
    check_anchors(anchors)
    levels, per_level, _ = anchors.shape
    pixels = tuple(anchors.tolist())
    classes = max(1, RowLayout.of_size(outputs.shape[0] // per_level).classes)
    implicit = any("implicit" in name for name in tensors)
    auxiliary = any(name.startswith("auxiliary.") for name in tensors)
    folded = not any(".bn." in name for name in tensors)

    def candidates() -> Iterator[tuple[Architecture, tuple[str, ...]]]:
        for candidate in CANDIDATES:
            if len(candidate.neck) == levels:
                network, notes = disambiguate(candidate, implicit=implicit, folded=folded)
                widths = network.auxiliary if auxiliary else ()
                yield replace(network, auxiliary=widths, head=network.head if implicit else PlainHead), notes

    def lined_up(architecture: Architecture) -> Fit:
        with torch.device("meta"):
            return fit(Detector(architecture, classes, pixels), tensors)

    if (found := fitting(candidates(), lined_up)) is None:
        raise MismatchedCheckpointError(
            "no network of ours has so many levels",
            expected=" or ".join(sorted({str(len(candidate.neck)) for candidate in CANDIDATES})),
            found=levels,
        )
    model, notes = found
    return Recovered(model, FORMAT, notes)


def fit(model: Detector, tensors: Mapping[str, Tensor]) -> Fit:
    """Line a network up with tensors of its own names; parts that are folded in the file are folded."""
    for path, module in list(model.named_modules()):
        if isinstance(module, Reparameterizable) and _is_folded(module, path, tensors):
            fold(model, path)
    return Fit(model, tensors, {name: name for name in model.state_dict()})


def _is_folded(module: object, path: str, tensors: Mapping[str, Tensor]) -> bool:
    if isinstance(module, ImplicitHead):
        return f"{path}.implicit_add.0" not in tensors
    return f"{path}.conv.bias" in tensors
