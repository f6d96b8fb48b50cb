"""Fine-tuning: weights of one network for another, and which of them learn."""

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
    """What a network took over from another.

    Attributes:
        taken: names of the tensors that were.
        partly: names of head tensors of which the rows of boxes and objectness were, not those of classes.
        left: names of its other tensors, and why these stay fresh.
        unused: names of the other network's tensors that have no place here.
    """

    taken: tuple[str, ...]
    partly: tuple[str, ...]
    left: dict[str, str]
    unused: tuple[str, ...]

    def summary(self) -> str:
        """One sentence, and a line for each part that stays fresh."""
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
    """Copy each tensor whose name and shape match; anchors stay the target's.

    Heads for other classes take what does not depend on these: where and how large an object is, and whether
    there is one.

    Raises:
        UsageError: there is none.
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
    unused = tuple(name for name in theirs if name not in mine)
    return Transfer(tuple(taken), tuple(partly), left, unused)


def _take_rows_without_classes(
    name: str, theirs: torch.Tensor, source: Detector, mine: torch.Tensor, target: Detector
) -> bool:
    """Copy x, y, w, h and objectness of each anchor, where a tensor holds a head's outputs along an axis."""
    axis = 1 if "implicit_multiply" in name else 0
    anchors = target.anchors.shape[1]
    outputs = [anchors * network.layout.size for network in (source, target)]
    sizes = [(*t.shape[:axis], *t.shape[axis + 1 :]) for t in (theirs, mine)]
    is_output = name.startswith(("lead.", "auxiliary.")) and sizes[0] == sizes[1]
    if (
        not is_output
        or [theirs.shape[axis], mine.shape[axis]] != outputs
        or source.anchors.shape[1] != anchors
    ):
        return False
    for anchor in range(anchors):
        to, given = (anchor * network.layout.size for network in (target, source))
        mine.narrow(axis, to, FIRST_CLASS).copy_(theirs.narrow(axis, given, FIRST_CLASS))
    return True


def parts(model: Detector, names: Sequence[str]) -> list[nn.Module]:
    """The parts of a network that a person names: backbone, neck, backbone.stages.0, ...

    Raises:
        UsageError: it has no such part.
    """
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
