"""Checkpoints in the released naming: which network a file holds, and where each of its tensors belongs.

A released file numbers the operations of its network: ``model.<row>.<rest>``. Rows with tensors come in
drawing order, which is the order in which our modules are created (but for the outputs of some networks, see
``OUTPUTS_BY_LEVEL``); so the n-th such row is our n-th convolution or block, and only the names inside a row
need a table. The last row is the head.

Each convolution may be folded or not, RepConv may be a plain convolution, auxiliary rows and implicit vectors
may be there or not: all combinations are in the wild. Every tensor must find its place, or the file is
refused.

Source of the names: docs/provenance.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from yolov7.checkpoints.lookalikes import CANDIDATES, taken_for, widened
from yolov7.checkpoints.released_names import (
    FOLDED_REPCONV,
    HEAD_NAMES,
    OUTPUTS_BY_LEVEL,
    REPCONV_NAMES,
    ROW_NAMES,
    names_in_row,
)
from yolov7.checkpoints.rows import Rows, mismatch
from yolov7.errors import MismatchedCheckpointError
from yolov7.models.architecture import Architecture
from yolov7.models.blocks import Activation, Conv3x3, leaky_relu, silu
from yolov7.models.detector import Detector
from yolov7.models.head import ImplicitHead, PlainHead
from yolov7.models.reparam import Reparameterizable, RepConv
from yolov7.tensor_files.storages import separate

State = Mapping[str, Tensor]

ACTIVATIONS: dict[str, Activation] = {
    "SiLU": silu,
    "LeakyReLU": leaky_relu,
    "LeakyReLU(0.01)": nn.LeakyReLU,
    "ReLU": nn.ReLU,
    "ReLU6": nn.ReLU6,
    "Hardswish": nn.Hardswish,
    "Mish": nn.Mish,
}
"""Activations of a pickled network: class, and slope where it is not YOLOv7-tiny's -> what makes it."""


@dataclass(frozen=True)
class Evidence:
    """What a file says beside its tensors, in plain data: all of it may be missing.

    Attributes:
        activations: names of the activation classes in a pickled network, such as ``SiLU``.
    """

    activations: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Recovered:
    """A network with the tensors of a file in it, as they were (precision included).

    Attributes:
        model: the detector, in the form that the file has.
        naming: ``released`` or ``MIT rewrite``.
        notes: what a user should know: parts left out, choices made.
    """

    model: Detector
    naming: str
    notes: tuple[str, ...]


def recover(state: State, evidence: Evidence | None = None) -> Recovered:
    """The network that a state dict in released naming belongs to, with the tensors in their places.

    Args:
        state: tensors by name: ``model.<row>.<rest>``, or the MIT rewrite's ``<row>.<rest>``, any prefix.
        evidence: what else the file says.

    Raises:
        MismatchedCheckpointError: no network has these tensors; lists what is missing and what is left over.
    """
    evidence = evidence or Evidence()
    rows = Rows.of(state)
    classes, notes = rows.drop_mask_branch()
    nearest: _Table | None = None
    for candidate in CANDIDATES:
        begins_alike = candidate.stem[0][0] == rows.stem_width
        if len(candidate.neck) != rows.levels or not (begins_alike or _one_factor(candidate, rows)):
            continue
        architecture, choices = _as_in_file(candidate, rows, evidence)
        table = _match(architecture, rows, classes)
        if table.misfits:
            architecture, factor = widened(architecture, table.channels(rows))
            table = _match(architecture, rows, classes) if factor else table
            choices += factor
        if not table.misfits:
            return Recovered(_load(table, rows), rows.naming, (*notes, *choices))
        if nearest is None or table.misfits < nearest.misfits:
            nearest = table
    if nearest is None:
        raise MismatchedCheckpointError(
            "no YOLOv7 network, nor one of its baselines, begins like this network",
            expected=f"{_beginnings()}, or all widths times one number",
            found=f"{rows.levels} levels, {rows.stem_width} channels",
        )
    raise mismatch(
        f"the tensors are not those of {nearest.architecture.name}", nearest.missing, nearest.unexpected
    )


def _one_factor(candidate: Architecture, rows: Rows) -> bool:
    """Whether one number gives the widths of a file's first convolution and of what its head reads."""
    ours = (candidate.stem[0][0], *candidate.outputs)
    return bool(widened(candidate, zip(ours, (rows.stem_width, *rows.head_widths), strict=True))[1])


def _beginnings() -> str:
    """How the networks begin that a file can hold: "3 levels and 32 or 40 channels...", for a message."""
    widths: dict[int, set[int]] = {}
    for candidate in CANDIDATES:
        widths.setdefault(len(candidate.neck), set()).add(candidate.stem[0][0])
    ways = (f"{n} levels and {' or '.join(map(str, sorted(widths[n])))} channels" for n in sorted(widths))
    return ", or ".join(ways) + " in the first convolution"


# -- the network as the file has it ---------------------------------------------------------------------


def _as_in_file(variant: Architecture, rows: Rows, evidence: Evidence) -> tuple[Architecture, list[str]]:
    """The variant with the output convolutions, heads and activation of the file; and what to note."""
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

    if len(evidence.activations) > 1 or evidence.activations - ACTIVATIONS.keys():
        raise MismatchedCheckpointError(
            "this network has activations that no YOLOv7 network has",
            expected=f"one throughout of {', '.join(ACTIVATIONS)}",
            found=", ".join(sorted(evidence.activations)),
        )
    # Tensors do not show the activation: pickled classes do, and without them the published pairing decides.
    shown = ACTIVATIONS[min(evidence.activations)] if evidence.activations else None
    if shown not in (None, silu, leaky_relu):
        notes.append(f"its activation is {min(evidence.activations)}, unlike the paper's")
    chosen, choice = taken_for(
        variant,
        implicit=variant.head is ImplicitHead,
        folded="conv.bias" in rows.by_row[min(rows.by_row)],
        activation=shown,
    )
    return replace(variant, name=chosen.name, activation=shown or chosen.activation), [*notes, *choice]


@dataclass
class _Table:
    """Where each tensor of a file goes: our name -> (row, rest)."""

    architecture: Architecture
    model: Detector
    places: dict[str, tuple[int, str]] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)

    @property
    def misfits(self) -> int:
        """Number of tensors that are missing or have no place."""
        return len(self.missing) + len(self.unexpected)

    def channels(self, rows: Rows) -> Iterator[tuple[int, int]]:
        """Output channels of each convolution before the head: the architecture's, the file's."""
        head = max(rows.by_row)
        for name, tensor in self.model.state_dict().items():
            row, rest = self.places.get(name, (head, ""))
            found = rows.by_row[row].get(rest)
            if row != head and tensor.dim() == 4 and found is not None and found.dim() == 4:
                yield tensor.shape[0], found.shape[0]


def _match(architecture: Architecture, rows: Rows, classes: int) -> _Table:
    """Line up a variant with a file: every tensor of both sides is placed or listed."""
    anchors = rows.anchors(architecture)
    with torch.device("meta"):
        model = Detector(architecture, max(classes, 1), anchors)
    table = _Table(architecture, model)
    numbers = sorted(rows.by_row)
    units = list(_units(model))
    head_row = numbers[-1]
    for (path, unit), row in zip(units, numbers[:-1], strict=False):
        _place_unit(table, path, unit, row, rows.by_row[row])
    for path, _ in units[len(numbers) - 1 :]:
        table.missing.append(f"a row for {path}")
    for ours, (part, suffix) in HEAD_NAMES.items():
        for name in _names_under(model, ours):
            level, _, rest = name[len(ours) + 1 :].partition(".")
            if part == "im" and not rows.has("im"):
                continue  # dropped above; stays at one
            table.places[name] = head_row, f"{part}.{level}{suffix or '.' + rest}"

    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    used = {(head_row, "anchors"), (head_row, "anchor_grid")}
    for name, (row, rest) in table.places.items():
        found = rows.by_row[row].get(rest)
        if found is None and rest.endswith("num_batches_tracked"):
            continue  # says nothing in evaluation; some writers leave it out
        counter = rest.endswith("num_batches_tracked")
        if (
            found is None
            or tuple(found.shape) != shapes[name]
            or not (found.is_floating_point() or (counter and found.dtype == torch.int64))
        ):
            table.missing.append(f"{rows.full_name(row, rest)} {shapes[name]}")
        else:
            used.add((row, rest))
    for row in numbers:
        for rest, tensor in rows.by_row[row].items():
            if (row, rest) not in used:
                table.unexpected.append(f"{rows.full_name(row, rest)} {tuple(tensor.shape)}")
    return table


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
    """The detector in pieces, in the order of the rows; paths as in ``named_modules``."""
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


def _place_unit(table: _Table, path: str, unit: nn.Module, row: int, tensors: dict[str, Tensor]) -> None:
    for ours, released in names_in_row(unit).items():
        leaf_path = ".".join(part for part in (path, ours) if part)
        prefix = released + "." if released else ""
        leaf = table.model.get_submodule(leaf_path)
        if isinstance(leaf, RepConv):
            inner = REPCONV_NAMES
            if f"{prefix}{FOLDED_REPCONV}.weight" in tensors or f"{prefix}conv.bias" in tensors:
                leaf = _deploy(table.model, leaf_path)
                inner = {"conv": "conv" if f"{prefix}conv.bias" in tensors else FOLDED_REPCONV}
        else:
            inner = {"conv": "conv", "bn": "bn"}
            if f"{prefix}conv.bias" in tensors:
                leaf = _deploy(table.model, leaf_path)
        for name in leaf.state_dict():
            part, _, tensor_name = name.partition(".")
            table.places[f"{leaf_path}.{name}"] = row, f"{prefix}{inner[part]}.{tensor_name}"


def _deploy(model: Detector, path: str) -> nn.Module:
    """Put the module at ``path`` into its deployed form, in place."""
    parent, _, name = path.rpartition(".")
    leaf = model.get_submodule(path)
    assert isinstance(leaf, Reparameterizable)
    fused = leaf.fused()
    setattr(model.get_submodule(parent), name, fused)
    return fused


def _names_under(model: nn.Module, prefix: str) -> list[str]:
    return [name for name in model.state_dict() if name.startswith(prefix + ".")]


def _load(table: _Table, rows: Rows) -> Detector:
    """The matched network with the file's tensors in it."""
    model, state = table.model, {}
    for name, placeholder in model.state_dict().items():
        row, rest = table.places.get(name, (-1, ""))
        tensor = rows.by_row.get(row, {}).get(rest)
        if tensor is not None:
            state[name] = tensor
        elif name == "anchors":
            state[name] = torch.tensor(rows.anchors(table.architecture), dtype=torch.float32)
        else:  # a counter that the file lacks, or an implicit vector that the file's head does not use
            fill = 1 if "implicit_multiply" in name else 0
            state[name] = torch.full(placeholder.shape, fill, dtype=placeholder.dtype)
    model.load_state_dict(separate(state), assign=True)
    return model.eval()
