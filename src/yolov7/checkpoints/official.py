"""Checkpoints in the released naming: which network a file holds, and where each of its tensors belongs.

A released file numbers the operations of its network: ``model.<row>.<rest>``. Rows with tensors come in
drawing order, which is the order in which our modules are created; so the n-th such row is our n-th
convolution or block, and only the names inside a row need a table. The last row is the head.

Each convolution may be folded or not, RepConv may be a plain convolution, auxiliary rows and implicit vectors
may be there or not: all combinations are in the wild. Every tensor must find its place, or the file is
refused.

Source of the names: docs/provenance.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from yolov7.checkpoints.released_names import (
    FOLDED_REPCONV,
    HEAD_NAMES,
    REPCONV_NAMES,
    ROW_NAMES,
    from_mit,
    is_mit_head,
)
from yolov7.errors import MismatchedCheckpointError
from yolov7.models.architecture import VARIANTS, YOLOV7_TINY, YOLOV7_TINY_SILU, Anchors, Architecture
from yolov7.models.blocks import Conv3x3, leaky_relu, silu
from yolov7.models.detector import Detector
from yolov7.models.head import ImplicitHead, PlainHead
from yolov7.models.reparam import Reparameterizable, RepConv

State = Mapping[str, Tensor]


@dataclass(frozen=True)
class Evidence:
    """What a file says beside its tensors, in plain data: all of it may be missing.

    Attributes:
        names: class names.
        activations: names of the activation classes in a pickled network, such as ``SiLU``.
    """

    names: tuple[str, ...] = ()
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


@dataclass
class _Rows:
    """The tensors of a file by row, and the facts that its head shows."""

    by_row: dict[int, dict[str, Tensor]]
    naming: str
    prefix: str

    @property
    def head(self) -> dict[str, Tensor]:
        return self.by_row[max(self.by_row)]

    @property
    def levels(self) -> int:
        return sum(bool(re.fullmatch(r"m\.\d+\.weight", name)) for name in self.head)

    def has(self, part: str) -> bool:
        return f"{part}.0.weight" in self.head or f"{part}.0.implicit" in self.head

    def full_name(self, row: int, rest: str) -> str:
        return f"{self.prefix}{row}.{rest}"


def recover(state: State, evidence: Evidence | None = None) -> Recovered:
    """The network that a state dict in released naming belongs to, with the tensors in their places.

    Args:
        state: tensors by name: ``model.<row>.<rest>``, or the MIT rewrite's ``<row>.<rest>``, any prefix.
        evidence: what else the file says.

    Raises:
        MismatchedCheckpointError: no variant has these tensors; lists what is missing and what is left over.
    """
    evidence = evidence or Evidence()
    rows = _group(state)
    classes, notes = _drop_mask_branch(rows)
    candidates = [a for a in VARIANTS if a is not YOLOV7_TINY_SILU]  # differs from tiny in no tensor of a row
    nearest: tuple[int, _Table] | None = None
    for candidate in candidates:
        if len(candidate.neck) != rows.levels or candidate.stem[0][0] != _stem_width(rows):
            continue
        architecture, choices = _as_in_file(candidate, rows, evidence)
        table = _match(architecture, rows, classes)
        if not table.missing and not table.unexpected:
            return Recovered(_load(table, rows), rows.naming, (*notes, *choices))
        distance = len(table.missing) + len(table.unexpected)
        if nearest is None or distance < nearest[0]:
            nearest = distance, table
    if nearest is None:
        raise MismatchedCheckpointError(
            "no YOLOv7 variant begins like this network",
            expected="3 levels and 32 or 40 channels in the first convolution, or 4 levels and 64, 80 or 96",
            found=f"{rows.levels} levels, {_stem_width(rows)} channels",
        )
    table = nearest[1]
    raise mismatch(f"the tensors are not those of {table.architecture.name}", table.missing, table.unexpected)


def mismatch(message: str, missing: list[str], unexpected: list[str]) -> MismatchedCheckpointError:
    """An error that lists the tensors a network lacks and those it has no place for."""

    def listed(names: list[str]) -> str:
        return "\n            ".join(names) if names else "nothing"

    return MismatchedCheckpointError(
        message,
        expected=f"{len(missing)} tensors that are not there\n            {listed(missing)}",
        found=f"{len(unexpected)} tensors without a place\n            {listed(unexpected)}",
    )


# -- reading the file's names ---------------------------------------------------------------------------


def _group(state: State) -> _Rows:
    by_row: dict[int, dict[str, Tensor]] = {}
    prefixes, strangers = set[str](), list[str]()
    for name, tensor in state.items():
        match = re.fullmatch(r"((?:[A-Za-z_]\w*\.)*)(\d{1,4})\.(.+)", name)
        if match is None:
            strangers.append(f"{name} {tuple(tensor.shape)}")
        else:
            prefixes.add(match[1])
            by_row.setdefault(int(match[2]), {})[match[3]] = tensor
    if strangers or len(prefixes) != 1 or len(by_row) < 2:
        raise MismatchedCheckpointError(
            "these are not the tensors of a YOLOv7 network",
            expected="names such as model.0.conv.weight, numbered by row",
            found=", ".join((strangers or list(state))[:8]) or "no tensor at all",
        )
    naming = "released"
    if any(map(is_mit_head, by_row[max(by_row)])):
        naming = "MIT rewrite"
        by_row = {row: from_mit(tensors) for row, tensors in by_row.items()}
    rows = _Rows(by_row, naming, prefixes.pop())
    if "m.0.weight" not in rows.head or "0.weight" in rows.head:
        raise MismatchedCheckpointError(
            "the last row is no YOLOv7 head",
            expected=rows.full_name(max(by_row), "m.0.weight"),
            found=", ".join(rows.full_name(max(by_row), name) for name in list(rows.head)[:8]),
        )
    return rows


def _stem_width(rows: _Rows) -> int:
    first = rows.by_row[min(rows.by_row)].get("conv.weight")
    return 0 if first is None or first.dim() != 4 else first.shape[0]


def _anchors_per_level(rows: _Rows) -> int:
    anchors = rows.head.get("anchors")
    return anchors.shape[1] if anchors is not None and anchors.dim() == 3 else 3


def _drop_mask_branch(rows: _Rows) -> tuple[int, list[str]]:
    """The number of classes; what an instance-segmentation head has on top is taken out and noted.

    Its head gives each anchor 5 + C channels and then mask coefficients, as many as the prototypes have.
    """
    outputs, per_level = rows.head["m.0.weight"].shape[0], _anchors_per_level(rows)
    prototypes = [name for name in rows.head if name.startswith("proto.")]
    if not prototypes:
        return outputs // per_level - 5, []
    coefficients = rows.head[max(n for n in prototypes if n.endswith("conv.weight"))].shape[0]
    kept = outputs // per_level - coefficients
    for name in prototypes:
        del rows.head[name]
    for name in [n for n in rows.head if re.fullmatch(r"m\.\d+\.(weight|bias)", n)]:
        tensor = rows.head[name]
        per_anchor = tensor.reshape(per_level, -1, *tensor.shape[1:])
        rows.head[name] = per_anchor[:, :kept].reshape(per_level * kept, *tensor.shape[1:]).contiguous()
    unused = [n for n in rows.head if n.startswith("im.")]
    for name in unused:
        del rows.head[name]
    left_out = f"{len(prototypes)} prototype tensors, {coefficients} mask coefficients an anchor"
    if unused:
        left_out += f"; {len(unused)} multiplying implicit vectors, which that head does not use"
    note = (
        f"an instance-segmentation checkpoint: used as a detector, its mask branch is left out ({left_out})"
    )
    return kept - 5, [note]


# -- the network as the file has it ---------------------------------------------------------------------


def _as_in_file(variant: Architecture, rows: _Rows, evidence: Evidence) -> tuple[Architecture, list[str]]:
    """The variant with the output convolutions, heads and activation of the file; and what to note."""
    notes = []
    trunk = sorted(rows.by_row)[:-1]
    auxiliary = variant.auxiliary if rows.has("m2") else ()
    outputs = trunk[len(trunk) - len(auxiliary) - rows.levels : len(trunk) - len(auxiliary)]
    branched = any(name.startswith("rbr_") for row in outputs for name in rows.by_row[row])
    if branched != (variant.output is RepConv):
        variant = replace(variant, output=RepConv if branched else Conv3x3)
        notes.append(
            f"its output convolutions are {'RepConv' if branched else 'plain 3x3'}, unlike the paper's"
        )
    variant = replace(variant, auxiliary=auxiliary, head=ImplicitHead if rows.has("ia") else PlainHead)

    if strange := evidence.activations - {"SiLU", "LeakyReLU"}:
        raise MismatchedCheckpointError(
            "this network has an activation that no YOLOv7 network has",
            expected="SiLU or LeakyReLU",
            found=", ".join(sorted(strange)),
        )
    # Tensors do not show the activation: pickled classes do, and without them the published pairing decides.
    if "LeakyReLU" in evidence.activations:
        return replace(variant, activation=leaky_relu), notes
    tiny = variant.name == YOLOV7_TINY.name
    if "SiLU" in evidence.activations:
        return replace(variant, activation=silu, name=YOLOV7_TINY_SILU.name if tiny else variant.name), notes
    if tiny and variant.head is PlainHead:
        folded = "conv.bias" in rows.by_row[min(rows.by_row)]
        chosen = YOLOV7_TINY if folded else YOLOV7_TINY_SILU
        notes.append(
            f"its tensors fit yolov7-tiny (LeakyReLU) and yolov7-tiny-silu (SiLU): taken as {chosen.name}"
        )
        variant = replace(variant, name=chosen.name, activation=chosen.activation)
    return variant, notes


@dataclass
class _Table:
    """Where each tensor of a file goes: our name -> (row, rest)."""

    architecture: Architecture
    model: Detector
    places: dict[str, tuple[int, str]] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)


def _match(architecture: Architecture, rows: _Rows, classes: int) -> _Table:
    """Line up a variant with a file: every tensor of both sides is placed or listed."""
    anchors = _anchors(rows, architecture)
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
        if found is None or tuple(found.shape) != shapes[name]:
            table.missing.append(f"{rows.full_name(row, rest)} {shapes[name]}")
        else:
            used.add((row, rest))
    for row in numbers:
        for rest, tensor in rows.by_row[row].items():
            if (row, rest) not in used:
                table.unexpected.append(f"{rows.full_name(row, rest)} {tuple(tensor.shape)}")
    return table


def _units(model: Detector) -> Iterator[tuple[str, nn.Module]]:
    """Modules that fill a row of their own, in drawing order."""
    inside = ""
    modules: list[tuple[str, nn.Module]] = list(model.named_modules())
    for path, module in modules:
        if inside and path.startswith(inside):
            continue
        if isinstance(module, tuple(ROW_NAMES)):
            inside = path + "."
            yield path, module


def _place_unit(table: _Table, path: str, unit: nn.Module, row: int, tensors: dict[str, Tensor]) -> None:
    names = next(names for kind, names in ROW_NAMES.items() if isinstance(unit, kind))
    for ours, released in names.items():
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


def _anchors(rows: _Rows, architecture: Architecture) -> Anchors:
    """Pixels: the file's own where it has them; stored as pixels, and again in cells."""
    grid, cells = rows.head.get("anchor_grid"), rows.head.get("anchors")
    if grid is not None and grid.numel() % (2 * rows.levels) == 0:
        pixels = grid.double().reshape(rows.levels, -1, 2)
    elif cells is not None and cells.dim() == 3 and cells.shape[0] == rows.levels:
        pixels = cells.double() * torch.tensor(architecture.strides, dtype=torch.float64)[:, None, None]
    else:
        return architecture.anchors
    return tuple(tuple((float(w), float(h)) for w, h in level) for level in pixels)


def _load(table: _Table, rows: _Rows) -> Detector:
    """The matched network with the file's tensors in it."""
    model, state = table.model, {}
    for name, placeholder in model.state_dict().items():
        row, rest = table.places.get(name, (-1, ""))
        tensor = rows.by_row.get(row, {}).get(rest)
        if tensor is not None:
            state[name] = tensor
        elif name == "anchors":
            state[name] = torch.tensor(_anchors(rows, table.architecture), dtype=torch.float32)
        else:  # a counter that the file lacks, or an implicit vector that the file's head does not use
            fill = 1 if "implicit_multiply" in name else 0
            state[name] = torch.full(placeholder.shape, fill, dtype=placeholder.dtype)
    model.load_state_dict(state, assign=True)
    return model.eval()
