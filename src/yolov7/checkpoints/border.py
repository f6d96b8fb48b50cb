"""Checks of a file's metadata about its network, whichever reader it comes from.

Values come from untrusted pickles or JSON and are typed ``object``; an invalid one is refused, or left out
with a note.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import attrgetter
from typing import Any

import torch

from yolov7.checkpoints.coco_names import COCO_NAMES
from yolov7.checkpoints.fitting import check_anchors
from yolov7.checkpoints.lookalikes import CANDIDATES
from yolov7.data.classes import MAX_CLASS_NAME
from yolov7.errors import DamagedCheckpointError, MismatchedCheckpointError
from yolov7.models.complexity import count_parameters, demand
from yolov7.models.detector import Detector
from yolov7.tensor_files.tree import describe
from yolov7.text import printable

MAX_CLASSES = 65_536
MAX_SIZE = 4096
"""Largest image size that a file may ask for, pixels."""
MAX_DEPTH = 8
"""Deepest nesting of a file's remarks on its training and origin."""
MAX_ITEMS = 10_000
"""Most values in one list or object of these remarks."""
MAX_TEXT = 10_000
"""Longest text, characters; longer ones are cut."""

_BODY = attrgetter(
    *("size", "stem", "stages", "pool", "neck", "neck_down", "output", "outputs", "reorg", "cardinality")
)
"""Parts of an architecture that decide its memory and time; heads, anchors and activation hardly matter."""
_FREE_VALUES = 2**27
_FREE_PRODUCTS = 2 * 10**11
"""Values in one layer, and multiplications, allowed to any network, however few its weights."""


def check_network(model: Detector) -> None:
    """Check that a network is usable.

    Raises:
        MismatchedCheckpointError: invalid anchors, too many classes, or a demand for memory or time that is
            out of all proportion to the weights.
    """
    check_anchors(model.anchors)
    if model.classes > MAX_CLASSES:
        raise MismatchedCheckpointError(
            "too many classes", expected=f"at most {MAX_CLASSES:,}", found=f"{model.classes:,}"
        )
    if excess := _excess(model, model.architecture.size):
        raise MismatchedCheckpointError(
            "a network that asks for memory or time out of all proportion to its weights", found=excess
        )


def _excess(model: Detector, size: int) -> str | None:
    """Describe a network's demand for one square image; None if it is in proportion to the weights."""
    own = model.architecture
    if _BODY(own) in map(_BODY, CANDIDATES):
        return None
    side = math.ceil(size / own.strides[-1]) * own.strides[-1]
    with torch.device("meta"):
        values, multiplications = demand(Detector(own, model.classes), side)
    weights = count_parameters(model)
    if values <= _FREE_VALUES + 10 * weights and multiplications <= _FREE_PRODUCTS + 10_000 * weights:
        return None
    return f"{values:,} values in one layer, {multiplications / 1e9:,.0f} billion products at {side} pixels"


def not_finite(model: Detector) -> tuple[str, ...]:
    """Note about weights that are NaN or infinite; empty if there are none."""
    # One such number makes the sum NaN or infinite, and a sum is quicker.
    suspects = {n: t for n, t in model.state_dict().items() if not t.sum(dtype=torch.float32).isfinite()}
    bad = [name for name, tensor in suspects.items() if not torch.isfinite(tensor).all()]
    if not bad:
        return ()
    examples = ", ".join(bad[:5])
    return (f"{len(bad)} tensors hold NaN or infinity, nothing can be found with them: {examples}",)


def class_names(found: object, classes: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of all classes, and notes.

    The file's names if they fit; COCO's if it has 80 classes and no names; else "class 0", "class 1"...
    """
    listed = _by_label(found)
    numbered = tuple(f"class {label}" for label in range(classes))
    if listed is not None and not listed:
        return (COCO_NAMES if classes == len(COCO_NAMES) else numbered), ()
    if listed is None or not all(isinstance(name, str | int | float) for name in listed):
        return numbered, ("its class names make no sense: its classes are numbered",)
    if len(listed) != classes:
        some = ", ".join(printable(name, 40) for name in listed[:5])
        more = ", ..." if len(listed) > 5 else ""
        note = (
            f"it has {len(listed):,} class names ({some}{more}) for {classes:,} classes: these are numbered"
        )
        return numbered, (note,)
    cut = sum(len(str(name)) > MAX_CLASS_NAME for name in listed)
    notes = (f"{cut:,} class names are cut to {MAX_CLASS_NAME} characters",) if cut else ()
    return tuple(printable(name, MAX_CLASS_NAME) for name in listed), notes


def _by_label(found: object) -> Sequence[object] | None:
    """Names by label, from a list or a dict; empty if the file has none, None if they are unclear."""
    if not isinstance(found, dict):
        return found if isinstance(found, list | tuple) else () if found is None else None
    numbered = {int(key): name for key, name in found.items() if str(key).isdecimal() and len(str(key)) < 9}
    if len(numbered) != len(found) or sorted(numbered) != list(range(len(found))):
        return None
    return [numbered[label] for label in range(len(found))]


def image_size(found: object, model: Detector) -> tuple[int, tuple[str, ...]]:
    """Image size that the network is meant for, pixels, and notes."""
    if isinstance(found, list | tuple) and found:
        found = found[0]
    nominal = model.architecture.size
    if found is None:
        return nominal, ()
    side = found if isinstance(found, int) else 0
    if model.strides[-1] <= side <= MAX_SIZE and not _excess(model, side):
        return side, ()
    return nominal, (f"it names an image size that makes no sense ({describe(found)}): {nominal} is used",)


def one_line(text: object) -> str:
    """Text of a file with control characters escaped, cut to `MAX_TEXT`."""
    return printable(text if isinstance(text, str) else describe(text), MAX_TEXT)


def remembered(value: object, depth: int = MAX_DEPTH) -> Any:
    """Plain data of a file as JSON types; text is safe to show.

    Raises: DamagedCheckpointError: nested too deep, too long, or not plain data.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int) and abs(value) < 2**63:
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, str):
        return one_line(value)
    if isinstance(value, list | tuple | dict) and depth and len(value) <= MAX_ITEMS:
        if isinstance(value, dict):
            return {one_line(key): remembered(item, depth - 1) for key, item in value.items()}
        return [remembered(item, depth - 1) for item in value]
    raise DamagedCheckpointError(
        "what it remembers of its training or origin makes no sense",
        expected=f"plain values, at most {MAX_DEPTH} deep and {MAX_ITEMS:,} long",
        found=describe(value),
    )
