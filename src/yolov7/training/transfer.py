"""Fine-tuning: weights of one network for another, and which of them learn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from yolov7.errors import UsageError
from yolov7.models.detector import Detector


@dataclass(frozen=True)
class Transfer:
    """What a network took over from another.

    Attributes:
        taken: names of the tensors that were.
        left: names of its other tensors, and why these stay fresh.
        unused: names of the other network's tensors that have no place here.
    """

    taken: tuple[str, ...]
    left: dict[str, str]
    unused: tuple[str, ...]

    def summary(self) -> str:
        """One sentence, and a line for each part that stays fresh."""
        lines = [f"{len(self.taken)} of {len(self.taken) + len(self.left)} tensors taken from the weights"]
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

    Raises:
        UsageError: there is none.
    """
    theirs, mine = source.state_dict(), target.state_dict()
    taken, left = [], {}
    for name, tensor in mine.items():
        other = theirs.get(name)
        if name == "anchors":
            continue
        if other is None:
            left[name] = "not in the weights"
        elif other.shape != tensor.shape:
            left[name] = f"{tuple(tensor.shape)} here, {tuple(other.shape)} in the weights"
        else:
            tensor.copy_(other)
            taken.append(name)
    if not taken:
        raise UsageError(
            "nothing in the weights fits the network",
            expected=target.architecture.name,
            found=source.architecture.name,
        )
    unused = tuple(name for name in theirs if name not in mine)
    return Transfer(tuple(taken), left, unused)


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
