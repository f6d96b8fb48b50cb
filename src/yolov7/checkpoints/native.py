"""Our own format: safetensors, with a description of the network in the metadata.

Tensors have our names (``Detector.state_dict()``). The metadata has ``format`` (``open-yolov7``), ``version``
and ``checkpoint``, a JSON document: architecture, class names, size, licence. Nothing in it is code.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from yolov7.checkpoints.description import architecture_from, describe, whole
from yolov7.checkpoints.fitting import check_anchors
from yolov7.checkpoints.own_names import fit
from yolov7.errors import CheckpointError, DamagedCheckpointError, MismatchedCheckpointError
from yolov7.files import write_file
from yolov7.models.architecture import Architecture
from yolov7.models.detector import Detector
from yolov7.text import printable

FORMAT = "open-yolov7"
VERSION = 1

_classes = whole(65_536)


def write(
    path: str | os.PathLike[str], model: Detector, document: Mapping[str, Any], *, half: bool = False
) -> None:
    """Write a network with its description; the file appears under its name once it is complete.

    Args:
        path: file to write; an existing one is replaced.
        model: network in any form.
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
