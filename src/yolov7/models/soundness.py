"""Validation of an architecture before it is built: numbers, lengths, strides and anchors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from yolov7.errors import ArchitectureError
from yolov7.models.architecture import Anchors, Architecture, Block
from yolov7.models.head import PlainHead


def require_sound(architecture: Architecture, classes: int, anchors: Anchors) -> None:
    """Refuse an architecture that would fail later, or whose settings would be ignored.

    Raises:
        ArchitectureError: a field is invalid; the first one is named.
    """
    name, levels = architecture.name, len(architecture.neck)
    if not _is_count(classes):
        raise ArchitectureError("a detector has at least one class", expected="an int from 1", found=classes)
    if levels < 1 or len(architecture.stages) < levels:
        raise ArchitectureError(
            f"stages of {name}: each level of the neck needs one",
            expected=f"1 level or more, and as many stages: {max(levels, 1)} or more",
            found=f"{levels} levels, {len(architecture.stages)} stages",
        )
    _require_numbers(architecture)
    for field, lengths in (("outputs", (levels,)), ("auxiliary", (0, levels))):
        widths = getattr(architecture, field)
        if len(widths) not in lengths:
            raise ArchitectureError(
                f"{field} of {name}: a width for each level of the neck",
                expected=f"{levels} widths" + (", or none" if 0 in lengths else ""),
                found=f"{len(widths)}: {widths}",
            )
    _require_strides(architecture)
    _require_anchors(name, levels, anchors)
    if not (isinstance(architecture.head, type) and issubclass(architecture.head, PlainHead)):
        raise ArchitectureError(
            f"head of {name}", expected="PlainHead, ImplicitHead or a subclass", found=architecture.head
        )
    if architecture.partial_auxiliary and architecture.auxiliary and architecture.cardinality == 1:
        raise ArchitectureError(
            f"partial_auxiliary of {name} reads one group of an E-ELAN, and there is none",
            expected="cardinality 2 or more",
            found="cardinality 1",
        )


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _require_numbers(architecture: Architecture) -> None:
    a = architecture

    def block_numbers(where: str, block: Block) -> dict[str, Any]:
        return {f"{where}.{name}": getattr(block, name) for name in ("branch", "depth", "width")}

    numbers: dict[str, Any] = {"size": a.size, "cardinality": a.cardinality}
    for i, (width, stride) in enumerate(a.stem):
        numbers |= {f"stem[{i}] width": width, f"stem[{i}] stride": stride}
    for i, stage in enumerate(a.stages):
        numbers |= {
            f"stages[{i}].down_width": stage.down_width,
            **block_numbers(f"stages[{i}].block", stage.block),
        }
    for i, block in enumerate(a.neck):
        numbers |= block_numbers(f"neck[{i}]", block)
    for field in ("outputs", "auxiliary"):
        numbers |= {f"{field}[{i}]": width for i, width in enumerate(getattr(a, field))}
    for name, value in numbers.items():
        if not _is_count(value):
            raise ArchitectureError(f"{name} of {a.name}", expected="an int from 1", found=repr(value))


def _require_strides(architecture: Architecture) -> None:
    """Require stride 8 at the finest level of the neck; each coarser level doubles it."""
    a = architecture
    halvings = len(a.stages) - len(a.neck) + 1
    stride = (2 if a.reorg else 1) * math.prod(stride for _, stride in a.stem) * 2**halvings
    if stride != a.strides[0]:
        raise ArchitectureError(
            f"stem and stages of {a.name}: the finest of {len(a.neck)} levels has the wrong stride",
            expected=f"{a.strides[0]} pixels per cell",
            found=f"{stride}: {'reorg, ' if a.reorg else ''}stem strides {[s for _, s in a.stem]}, then "
            f"{halvings} of {len(a.stages)} stages, each of which halves the sides",
        )
    if a.size % a.strides[-1]:
        raise ArchitectureError(
            f"size of {a.name}", expected=f"a multiple of its largest stride, {a.strides[-1]}", found=a.size
        )


def _require_anchors(name: str, levels: int, anchors: Anchors) -> None:
    counts: Sequence[int] = [len(level) for level in anchors]
    if len(counts) != levels or len(set(counts)) != 1 or counts[0] < 1:
        raise ArchitectureError(
            f"anchors of {name}",
            expected=f"{levels} levels of equally many (width, height) pairs",
            found=f"levels of {', '.join(map(str, counts))}" if counts else "none",
        )
    for level in anchors:
        for pair in level:
            if len(pair) != 2 or not all(math.isfinite(side) and side > 0 for side in pair):
                raise ArchitectureError(
                    f"anchors of {name}", expected="pairs of a width and a height above 0", found=pair
                )
