"""Checkpoints in the released naming: the network of a file, and the place of each tensor in it.

A released file numbers the operations of its network: ``model.<row>.<rest>``. Rows with tensors come in
drawing order, which is the order in which our modules are created (except outputs of some networks, see
``OUTPUTS_BY_LEVEL``); so the n-th such row is our n-th convolution or block, and only the names inside a row
need a table. The last row is the head.

Each convolution may be folded or not, RepConv may be a plain convolution, auxiliary rows and implicit vectors
may be there or not: all combinations are in the wild.

Source of the names: docs/provenance.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from yolov7.checkpoints.fitting import Fit, Recovered, fitting, fold
from yolov7.checkpoints.lookalikes import CANDIDATES, disambiguate, widened
from yolov7.checkpoints.released_names import (
    FOLDED_REPCONV,
    HEAD_NAMES,
    OUTPUTS_BY_LEVEL,
    REPCONV_NAMES,
    ROW_NAMES,
    names_in_row,
)
from yolov7.checkpoints.rows import Rows
from yolov7.errors import MismatchedCheckpointError
from yolov7.models.architecture import Architecture
from yolov7.models.blocks import Activation, Conv3x3, leaky_relu, silu
from yolov7.models.detector import Detector
from yolov7.models.head import ImplicitHead, PlainHead
from yolov7.models.reparam import RepConv

ACTIVATIONS: dict[str, Activation] = {
    "SiLU": silu,
    "LeakyReLU": leaky_relu,
    "LeakyReLU(0.01)": nn.LeakyReLU,
    "ReLU": nn.ReLU,
    "ReLU6": nn.ReLU6,
    "Hardswish": nn.Hardswish,
    "Mish": nn.Mish,
}
"""Class of an activation in a pickled network, with its slope if not YOLOv7-tiny's -> its factory."""


def recover(tensors: Mapping[str, Tensor], activations: frozenset[str] = frozenset()) -> Recovered:
    """Find the network that tensors in released naming belong to, and load them into it.

    Args:
        tensors: tensors by name: ``model.<row>.<rest>``, or the MIT rewrite's ``<row>.<rest>``, any prefix.
        activations: names of the activation classes in a pickled network, such as ``SiLU``.

    Raises: MismatchedCheckpointError: no network has these; the error lists the misfits of the nearest.
    """
    rows = Rows.of(tensors)
    classes, left_out = rows.drop_mask_branch()

    def candidates() -> Iterator[tuple[Architecture, tuple[str, ...]]]:
        for candidate in CANDIDATES:
            begins_alike = candidate.stem[0][0] == rows.stem_width
            if len(candidate.neck) == rows.levels and (begins_alike or _one_factor(candidate, rows)):
                yield _as_in_file(candidate, rows, activations)

    found = fitting(candidates(), lambda architecture: _lined_up(architecture, rows, classes))
    if found is None:
        raise MismatchedCheckpointError(
            "neither YOLOv7 nor a baseline has a network that begins like this one",
            expected=f"{_beginnings()}, or all widths times one number",
            found=f"{rows.levels} levels, {rows.stem_width} channels",
        )
    model, choices = found
    return Recovered(model, rows.naming, (*left_out, *choices))


def _one_factor(candidate: Architecture, rows: Rows) -> bool:
    """True if one factor gives the widths of a file's first convolution and of its head's inputs."""
    ours = (candidate.stem[0][0], *candidate.outputs)
    return bool(widened(candidate, zip(ours, (rows.stem_width, *rows.head_widths), strict=True))[1])


def _beginnings() -> str:
    """First layers of all networks, for a message: "3 levels and 32 or 40 channels..."."""
    widths: dict[int, set[int]] = {}
    for candidate in CANDIDATES:
        widths.setdefault(len(candidate.neck), set()).add(candidate.stem[0][0])
    ways = (f"{n} levels and {' or '.join(map(str, sorted(widths[n])))} channels" for n in sorted(widths))
    return ", or ".join(ways) + " in the first convolution"


def _as_in_file(
    variant: Architecture, rows: Rows, activations: frozenset[str]
) -> tuple[Architecture, tuple[str, ...]]:
    """Give a variant the output convolutions, heads and activation of the file; returns it with notes."""
    notes = []
    branched = any(name.startswith("rbr_") for tensors in rows.by_row.values() for name in tensors)
    if branched != (variant.output is RepConv):
        variant = replace(variant, output=RepConv if branched else Conv3x3)
        notes.append(
            f"its output convolutions are {'RepConv' if branched else 'plain 3x3'}, unlike the paper's"
        )
    variant = replace(
        variant,
        auxiliary=variant.auxiliary if rows.has("m2") else (),
        head=ImplicitHead if rows.has("ia") else PlainHead,
    )

    if len(activations) > 1 or activations - ACTIVATIONS.keys():
        raise MismatchedCheckpointError(
            "this network has activations that no YOLOv7 network has",
            expected=f"one throughout of {', '.join(ACTIVATIONS)}",
            found=", ".join(sorted(activations)),
        )
    # Tensors do not show the activation: pickled classes do, and without them the published pairing decides.
    shown = ACTIVATIONS[min(activations)] if activations else None
    if shown not in (None, silu, leaky_relu):
        notes.append(f"its activation is {min(activations)}, unlike the paper's")
    chosen, choice = disambiguate(
        variant,
        implicit=variant.head is ImplicitHead,
        folded="conv.bias" in rows.by_row[min(rows.by_row)],
        activation=shown,
    )
    named = replace(variant, name=chosen.name, activation=shown or chosen.activation)
    return named, (*notes, *choice)


def _lined_up(architecture: Architecture, rows: Rows, classes: int) -> Fit:
    """Line a network up with the file, row by row; parts that are folded in the file are folded."""
    anchors = rows.anchors(architecture)
    with torch.device("meta"):
        model = Detector(architecture, max(classes, 1), anchors)
    *numbers, head = sorted(rows.by_row)
    units = list(_units(model))
    places: dict[str, str] = {}
    for (path, unit), row in zip(units, numbers, strict=False):
        inside = _names_of_unit(model, path, unit, rows.by_row[row])
        places |= {name: rows.full_name(row, rest) for name, rest in inside.items()}
    converted = {"anchors": torch.tensor(anchors, dtype=torch.float32)}  # no tensor of a row has such a name
    for ours, (part, suffix) in HEAD_NAMES.items():
        for name, placeholder in model.state_dict().items():
            if not name.startswith(ours + "."):
                continue
            level, _, rest = name[len(ours) + 1 :].partition(".")
            if part == "im" and not rows.has("im"):  # an instance-segmentation head does not use them
                converted[name] = torch.ones(placeholder.shape)
            else:
                places[name] = rows.full_name(head, f"{part}.{level}{suffix or '.' + rest}")
    fit = Fit(model, rows.tensors | converted, places | {name: name for name in converted})
    fit.missing[:0] = [f"a row for {path}" for path, _ in units[len(numbers) :]]
    return fit


def _units(model: Detector) -> Iterator[tuple[str, nn.Module]]:
    """Modules that fill a row of their own, in the order of the rows."""
    for path, part in _parts(model):
        inside = ""
        modules: Iterator[tuple[str, nn.Module]] = part.named_modules(prefix=path)
        for name, module in modules:
            if isinstance(module, tuple(ROW_NAMES)) and not (inside and name.startswith(inside)):
                inside = name + "."
                yield name, module


def _parts(model: Detector) -> Iterator[tuple[str, nn.Module]]:
    """Split the detector into parts in the order of the rows; paths as in ``named_modules``."""
    if model.architecture.name not in OUTPUTS_BY_LEVEL:
        yield "", model
        return
    yield "backbone", model.backbone
    yield "neck.pool", model.neck.pool
    yield "neck.top_down", model.neck.top_down
    for level, output in enumerate(model.outputs):
        if level > 0:
            yield f"neck.bottom_up.{level - 1}", model.neck.bottom_up[level - 1]
        yield f"outputs.{level}", output


def _names_of_unit(
    model: Detector, path: str, unit: nn.Module, tensors: Mapping[str, Tensor]
) -> dict[str, str]:
    """Tensors of a module that fills a row: name in the network -> name inside of the row."""
    names = {}
    for ours, released in names_in_row(unit).items():
        leaf_path = ".".join(part for part in (path, ours) if part)
        prefix = released + "." if released else ""
        leaf = model.get_submodule(leaf_path)
        branched = isinstance(leaf, RepConv)
        inner = REPCONV_NAMES if branched else {"conv": "conv", "bn": "bn"}
        for folded in ("conv", FOLDED_REPCONV) if branched else ("conv",):
            if f"{prefix}{folded}.bias" in tensors:
                leaf, inner = fold(model, leaf_path), {"conv": folded}
                break
        for name in leaf.state_dict():
            part, _, tensor_name = name.partition(".")
            names[f"{leaf_path}.{name}"] = f"{prefix}{inner[part]}.{tensor_name}"
    return names
