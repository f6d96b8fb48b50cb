"""Fine-tuning: copying weights into another network, and parts to freeze."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from yolov7.errors import UsageError
from yolov7.layout import FIRST_CLASS
from yolov7.models.detector import Detector


@dataclass(frozen=True)
class Transfer:
    """Result of :func:`transfer`.

    Attributes:
        taken: names of the copied tensors.
        partly: names of head tensors of which only the box and objectness rows were copied.
        left: names of the tensors that stay fresh, and the reasons.
    """

    taken: tuple[str, ...]
    partly: tuple[str, ...]
    left: dict[str, str]

    def summary(self) -> str:
        """One sentence, then a line per part that stays fresh, at most 12."""
        count = len(self.taken) + len(self.partly) + len(self.left)
        lines = [f"{len(self.taken)} of {count} tensors taken from the weights"]
        if self.partly:
            lines.append(f"  boxes and objectness taken, classes fresh: {', '.join(self.partly)}")
        reasons: dict[str, list[str]] = {}
        for name, reason in self.left.items():
            reasons.setdefault(f"{name.rpartition('.')[0]}: {reason}", []).append(name)
        lines += [f"  fresh: {reason} ({len(names)})" for reason, names in list(reasons.items())[:12]]
        if len(reasons) > 12:
            lines.append(f"  ... and {len(reasons) - 12} more parts")
        return "\n".join(lines)


@torch.no_grad()
def transfer(source: Detector, target: Detector) -> Transfer:
    """Copy each tensor whose name and shape match, except the anchors.

    If the number of classes differs, heads take only the rows of x, y, w, h and objectness.

    Raises:
        UsageError: no tensor matches.
    """
    theirs, mine = source.state_dict(), target.state_dict()
    taken, partly, left = [], [], {}
    for name, tensor in mine.items():
        other = theirs.get(name)
        if name == "anchors":
            continue
        if other is None:
            left[name] = "not in the weights"
        elif other.shape == tensor.shape:
            tensor.copy_(other)
            taken.append(name)
        elif _take_rows_without_classes(name, other, source, tensor, target):
            partly.append(name)
        else:
            left[name] = f"{tuple(tensor.shape)} here, {tuple(other.shape)} in the weights"
    if not taken:
        raise UsageError(
            "nothing in the weights fits the network",
            expected=target.architecture.name,
            found=source.architecture.name,
        )
    return Transfer(tuple(taken), tuple(partly), left)


def _take_rows_without_classes(
    name: str, theirs: torch.Tensor, source: Detector, mine: torch.Tensor, target: Detector
) -> bool:
    """Copy x, y, w, h and objectness of each anchor, if one axis of the tensor is a head's outputs."""
    axis = 1 if "implicit_multiply" in name else 0
    anchors = target.anchors.shape[1]
    outputs = [anchors * network.layout.size for network in (source, target)]
    others = [(*t.shape[:axis], *t.shape[axis + 1 :]) for t in (theirs, mine)]
    if (
        not name.startswith(("lead.", "auxiliary."))
        or others[0] != others[1]
        or [theirs.shape[axis], mine.shape[axis]] != outputs
        or source.anchors.shape[1] != anchors
    ):
        return False
    by_anchor = (t.unflatten(axis, (anchors, -1)) for t in (theirs, mine))  # (..., A, 5 + C, ...)
    given, to = (t.narrow(axis + 1, 0, FIRST_CLASS) for t in by_anchor)
    to.copy_(given)
    return True


def parts(model: Detector, names: Sequence[str]) -> list[nn.Module]:
    """Parts of a network by name: backbone, neck, backbone.stages.0, ...; UsageError for an unknown name."""
    modules = dict(model.named_modules())
    unknown = [name for name in names if name not in modules or not name]
    if unknown:
        known = [name for name, _ in model.named_children()]
        raise UsageError(
            "the network has no such part to freeze",
            expected=", ".join(known) + " or a part of one",
            found=", ".join(unknown),
        )
    return [modules[name] for name in names]
