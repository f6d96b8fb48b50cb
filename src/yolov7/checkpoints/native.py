"""Our own format: safetensors, with everything that is needed to rebuild the network in its metadata.

Tensors have our names (``Detector.state_dict()``). The metadata has ``format`` (``open-yolov7``), ``version``
and ``checkpoint``, a JSON document: architecture, class names, size, licence. Nothing in it is code.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from yolov7.checkpoints.lookalikes import CANDIDATES, taken_for, widened
from yolov7.checkpoints.rows import check_anchors, mismatch
from yolov7.errors import (
    CheckpointError,
    DamagedCheckpointError,
    MismatchedCheckpointError,
    UsageError,
)
from yolov7.files import safe_name, write_file
from yolov7.layout import RowLayout
from yolov7.models import head
from yolov7.models.architecture import Architecture, Block, Stage
from yolov7.models.detector import Detector
from yolov7.models.parts import PARTS, find_part, name_of
from yolov7.models.reparam import Reparameterizable
from yolov7.plugins import how_to_register
from yolov7.tensor_files.storages import separate
from yolov7.text import printable

FORMAT = "open-yolov7"
VERSION = 1

# Far above any network of sense; keeps a hostile file from making us build for ever.
LARGEST = {"depth": 64, "cardinality": 16, "sequence": 64, "number": 65_536, "size": 4096}
LONGEST_NAME = 80
"""Longest name of a network, in characters; it becomes part of file names."""


def write(
    path: str | os.PathLike[str], model: Detector, document: Mapping[str, Any], *, half: bool = False
) -> None:
    """Write a network with what describes it; the file appears under its name once it is complete.

    Args:
        path: where; an existing file is replaced.
        model: the network, in any form.
        document: what else to remember, JSON types only: names, size, licence...
        half: store weights as float16; anchors keep their precision.

    Raises:
        OutputError: it cannot be written.
    """
    described = {"architecture": describe(model.architecture), "classes": model.classes, **document}
    metadata = {"format": FORMAT, "version": str(VERSION), "checkpoint": json.dumps(described)}
    tensors = {
        name: tensor.detach().to("cpu", torch.float16 if half and _is_weight(name, tensor) else tensor.dtype)
        for name, tensor in model.state_dict().items()
    }
    content = save({name: tensor.contiguous() for name, tensor in tensors.items()}, metadata)
    write_file(path, content, sync=True)


def rebuild(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> tuple[Detector, dict[str, Any]]:
    """The network that :func:`write` wrote, and the document with it.

    Raises:
        CheckpointError: a later version of this package wrote it, with what this one does not know.
        DamagedCheckpointError: the metadata make no sense.
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
        classes = _number(document["classes"], "number")
        check_anchors(tensors["anchors"])
        if (parts := _convolutions(architecture)) > len(tensors):  # known before any of them is made
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
    except Exception as error:  # whatever is wrong with a document that somebody else wrote
        deep = isinstance(error, RecursionError)
        found = "nested too deeply" if deep else printable(f"{type(error).__name__}: {error}", 200)
        raise DamagedCheckpointError("its description makes no sense", found=found) from error
    fill(model, tensors)
    return model.eval(), document


def from_own_names(tensors: Mapping[str, Tensor]) -> tuple[Detector, tuple[str, ...]]:
    """The network whose ``state_dict()`` this is, without any metadata, and what to note.

    The paper's variants and baselines are tried one after the other, at any width.

    Raises:
        MismatchedCheckpointError: it is none of them.
    """
    outputs, anchors = tensors.get("lead.convs.0.bias"), tensors.get("anchors")
    if outputs is None or outputs.dim() != 1 or anchors is None or anchors.dim() != 3 or not anchors.numel():
        raise mismatch("these are not the tensors of a network of ours", ["lead.convs.0.bias", "anchors"], [])
    check_anchors(anchors)
    classes = RowLayout.of_size(outputs.shape[0] // anchors.shape[1]).classes
    implicit = any("implicit" in name for name in tensors)

    def compared(variant: Architecture) -> tuple[Detector, list[str], list[str]]:
        with torch.device("meta"):
            model = Detector(variant, max(1, classes), tuple(anchors.tolist()))
        return model, *_differences(model, tensors)

    nearest: tuple[int, CheckpointError] | None = None
    for candidate in CANDIDATES:
        if len(candidate.neck) != anchors.shape[0]:
            continue
        variant, notes = taken_for(
            candidate, implicit=implicit, folded=not any(".bn." in name for name in tensors)
        )
        if not any(name.startswith("auxiliary.") for name in tensors):
            variant = replace(variant, auxiliary=())
        if not implicit:
            variant = replace(variant, head=head.PlainHead)
        model, missing, unexpected = compared(variant)
        if missing:
            variant, factor = widened(variant, _channels(model, tensors))
            notes += factor
            model, missing, unexpected = compared(variant) if factor else (model, missing, unexpected)
        if not missing and not unexpected:
            model.load_state_dict(separate(tensors), assign=True)
            return model.eval(), notes
        if nearest is None or len(missing) + len(unexpected) < nearest[0]:
            error = mismatch(f"the tensors are not those of {variant.name}", missing, unexpected)
            nearest = len(missing) + len(unexpected), error
    if nearest is not None:
        raise nearest[1]
    raise MismatchedCheckpointError(
        "no network of ours has so many levels",
        expected=" or ".join(sorted({str(len(candidate.neck)) for candidate in CANDIDATES})),
        found=anchors.shape[0],
    )


def fill(model: Detector, tensors: Mapping[str, Tensor]) -> None:
    """Put tensors of our names into a network; convolutions that are folded in the file are folded first.

    Raises:
        MismatchedCheckpointError: a tensor is missing, too many, or of another shape.
    """
    missing, unexpected = _differences(model, tensors)
    if missing or unexpected:
        raise mismatch(f"the tensors are not those of {model.architecture.name}", missing, unexpected)
    model.load_state_dict(separate(tensors), assign=True)


def _differences(model: Detector, tensors: Mapping[str, Tensor]) -> tuple[list[str], list[str]]:
    """Tensors that a network lacks in a file, and those of the file that it has no place for.

    Convolutions of the network that are folded in the file are folded.
    """
    for path, module in list(model.named_modules()):
        if isinstance(module, Reparameterizable) and _is_folded(module, path, tensors):
            parent, _, name = path.rpartition(".")
            setattr(model.get_submodule(parent), name, module.fused())
    expected = {name: _kind(tensor) for name, tensor in model.state_dict().items()}
    found = {name: _kind(tensor) for name, tensor in tensors.items()}
    missing = [f"{name} {kind}" for name, kind in expected.items() if found.get(name) != kind]
    return missing, [f"{name} {kind}" for name, kind in found.items() if expected.get(name) != kind]


def _channels(model: Detector, tensors: Mapping[str, Tensor]) -> Iterator[tuple[int, int]]:
    """Output channels of each convolution before the heads: the network's, the file's."""
    for name, ours in model.state_dict().items():
        found = tensors.get(name)
        if (
            found is not None
            and ours.dim() == found.dim() == 4
            and not name.startswith(("lead", "auxiliary."))
        ):
            yield ours.shape[0], found.shape[0]


def _is_weight(name: str, tensor: Tensor) -> bool:
    return tensor.is_floating_point() and name != "anchors"


def _kind(tensor: Tensor) -> str:
    """Shape, and whether it holds weights of any precision or something else."""
    shape = str(tuple(tensor.shape))
    return shape if tensor.is_floating_point() else f"{shape} {tensor.dtype}"


def _is_folded(module: object, path: str, tensors: Mapping[str, Tensor]) -> bool:
    if isinstance(module, head.ImplicitHead):
        return f"{path}.implicit_add.0" not in tensors
    return f"{path}.conv.bias" in tensors


# -- an architecture as plain data ----------------------------------------------------------------------


def describe(architecture: Architecture) -> dict[str, Any]:
    """An architecture as JSON types; classes and functions become their names, one's own their import paths.

    Raises:
        CheckpointError: a part that no file could refer to.
    """

    def plain(value: Any) -> Any:
        if is_dataclass(value) and not isinstance(value, type):
            return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
        if isinstance(value, tuple):
            return [plain(item) for item in value]
        if callable(value):
            try:
                return name_of(value)
            except UsageError as error:
                raise CheckpointError(error.message, expected=error.expected, found=error.found) from None
        return value

    return plain(architecture)


def architecture_from(described: Mapping[str, Any]) -> Architecture:
    """The architecture that :func:`describe` described.

    What it does not say has its default. Fields that a later version adds must have one too, and be written
    only where they differ from it: then whatever this version can build, it can read.

    Raises:
        CheckpointError: it has a field that this version does not know.
        DamagedCheckpointError: it names a part that does not exist, or a number beyond all sense.
    """
    _check_known(described, Architecture)
    values: dict[str, Any] = {
        "auxiliary": [],
        "activation": "silu",
        "cardinality": 1,
        "head": "ImplicitHead",
        **described,
    }
    values["name"] = safe_name(printable(values["name"], LONGEST_NAME), "network")
    values["size"] = _number(values["size"], "size")
    for name in ("reorg", "partial_auxiliary"):
        values[name] = values.get(name, False) is True
    values["stages"] = tuple(_stage(stage) for stage in _sequence(values["stages"]))
    values["neck"] = tuple(_block(block) for block in _sequence(values["neck"]))
    values["stem"] = tuple(
        (_number(width, "number"), _number(stride, "number")) for width, stride in _sequence(values["stem"])
    )
    for name in ("outputs", "auxiliary"):
        values[name] = tuple(_number(width, "number") for width in _sequence(values[name]))
    for name in ("pool", "neck_down", "output", "activation", "head"):
        values[name] = _part(values[name])
    values["anchors"] = tuple(
        tuple((float(w), float(h)) for w, h in _sequence(level)) for level in _sequence(values["anchors"])
    )
    values["cardinality"] = _number(values["cardinality"], "cardinality")
    return Architecture(**values)


def _convolutions(architecture: Architecture) -> int:
    """Convolutions of a network, at least."""
    blocks = (*(stage.block for stage in architecture.stages), *architecture.neck)
    return len(architecture.stem) + sum(block.depth for block in blocks) * architecture.cardinality


def _check_known(described: Mapping[str, Any], kind: type[Architecture | Stage | Block]) -> None:
    """Raises: CheckpointError: a part of the description has a field that this version does not know."""
    known = [field.name for field in fields(kind)]
    if unknown := [printable(name, 40) for name in described if name not in known]:
        raise CheckpointError(
            "a later version of this package wrote it: its network has what this version does not know",
            expected=", ".join(known),
            found=", ".join(unknown[:5]),
        )


def _stage(described: Mapping[str, Any]) -> Stage:
    _check_known(described, Stage)
    return Stage(
        _part(described["down"]), _number(described["down_width"], "number"), _block(described["block"])
    )


def _block(described: Mapping[str, Any]) -> Block:
    _check_known(described, Block)
    return Block(
        _part(described["kind"]),
        branch=_number(described["branch"], "number"),
        depth=_number(described["depth"], "depth"),
        width=_number(described["width"], "number"),
    )


def _part(name: Any) -> Any:
    part = find_part(name) if isinstance(name, str) else None
    if part is not None:
        return part
    if isinstance(name, str) and ":" in name and len(name) < 200:
        raise CheckpointError(
            "the network has a part of somebody's own, which nothing imports because a file says so",
            expected=how_to_register(name),
            found=repr(name),
        )
    raise DamagedCheckpointError(
        "the architecture names a part that does not exist",
        expected=", ".join(PARTS),
        found=printable(repr(name), 80),
    )


def _number(value: Any, kind: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= LARGEST[kind]:
        raise DamagedCheckpointError(
            "a number of the architecture is beyond all sense",
            expected=f"1 to {LARGEST[kind]}",
            found=printable(repr(value), 80),
        )
    return value


def _sequence(values: Any) -> list[Any]:
    if not isinstance(values, list) or len(values) > LARGEST["sequence"]:
        raise DamagedCheckpointError(
            "a list of the architecture is none, or too long", found=printable(repr(values), 80)
        )
    return values
