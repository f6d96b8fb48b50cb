"""Networks lined up with the tensors of a file, and the search for the network that fits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from yolov7.checkpoints.lookalikes import widened
from yolov7.errors import MismatchedCheckpointError
from yolov7.models.architecture import Architecture
from yolov7.models.detector import Detector
from yolov7.models.reparam import Reparameterizable
from yolov7.tensor_files.storages import separate
from yolov7.text import plural, printable

MAX_LEVELS = MAX_ANCHORS = 64
"""Most levels, and most anchors per level; released networks have 3 or 4 levels with 3 anchors each."""
_LISTED = 5
"""Tensors that a message lists; the others are counted."""
_COUNTER = "num_batches_tracked"


class Recovered(NamedTuple):
    """A network with the tensors of a file, in their own precision."""

    model: Detector  # in the form that the file has, in evaluation mode
    naming: str  # of the tensors: ``open-yolov7``, ``released`` or ``MIT rewrite``
    notes: tuple[str, ...]  # remarks for a user: parts left out, choices made


class Fit:
    """A network lined up with the tensors of a file: each tensor has a counterpart or is a misfit.

    Args:
        model: network with the form of the file.
        tensors: tensors of the file, and converted ones under names that no tensor of it has.
        places: name in the network -> name in the file.

    Attributes:
        missing: name and shape of each tensor that the file lacks.
        unexpected: name and shape of each tensor of the file without a counterpart.
    """

    def __init__(self, model: Detector, tensors: Mapping[str, Tensor], places: Mapping[str, str]) -> None:
        self.model = model
        self._tensors, self._places = tensors, places
        self._expected = model.state_dict()
        self.missing: list[str] = []
        used = set[str]()
        for name, place in places.items():
            ours, found = self._expected[name], tensors.get(place)
            if found is not None and _alike(ours, found):
                used.add(place)
            elif found is not None or not name.endswith(_COUNTER):  # without effect in evaluation
                self.missing.append(f"{place} {_kind(ours)}")
        self.unexpected = [f"{name} {_kind(found)}" for name, found in tensors.items() if name not in used]

    @property
    def misfits(self) -> int:
        """Number of tensors that are missing or have no place."""
        return len(self.missing) + len(self.unexpected)

    def channels(self) -> Iterator[tuple[int, int]]:
        """Output channels of each convolution before the heads: (in the network, in the file)."""
        for name, ours in self._expected.items():
            found = self._tensors.get(self._places.get(name, ""))
            before = not name.startswith(("lead.", "auxiliary."))
            if before and found is not None and ours.dim() == found.dim() == 4:
                yield ours.shape[0], found.shape[0]

    def mismatch(self) -> MismatchedCheckpointError:
        """Error that lists the misfits."""
        name = self.model.architecture.name
        return mismatch(f"the tensors are not those of {name}", self.missing, self.unexpected)

    def load(self) -> Detector:
        """Load the tensors of the file into the network, in evaluation mode.

        Raises: MismatchedCheckpointError: a tensor is missing, unexpected, or of another shape.
        """
        if self.misfits:
            raise self.mismatch()
        state = {}
        for name, placeholder in self._expected.items():
            found = self._tensors.get(self._places.get(name, ""))
            # Only a counter can be absent here.
            state[name] = torch.zeros(placeholder.shape, dtype=placeholder.dtype) if found is None else found
        self.model.load_state_dict(separate(state), assign=True)
        return self.model.eval()


def fitting(
    candidates: Iterable[tuple[Architecture, tuple[str, ...]]], lined_up: Callable[[Architecture], Fit]
) -> tuple[Detector, tuple[str, ...]] | None:
    """Find the network that fits a file, at any width; returns it with notes, or None without candidates.

    Args:
        candidates: networks to try, in this order, with notes on each.
        lined_up: lines a network up with the file.

    Raises: MismatchedCheckpointError: none fits; the error lists the misfits of the nearest.
    """
    nearest: Fit | None = None
    for architecture, notes in candidates:
        fit = lined_up(architecture)
        if fit.misfits:
            architecture, factor = widened(architecture, fit.channels())
            fit, notes = (lined_up(architecture), notes + factor) if factor else (fit, notes)
        if not fit.misfits:
            return fit.load(), notes
        if nearest is None or fit.misfits < nearest.misfits:
            nearest = fit
    if nearest is not None:
        raise nearest.mismatch()
    return None


def fold(model: Detector, path: str) -> nn.Module:
    """Fold the module at ``path`` in place, and return its deployed form."""
    parent, _, name = path.rpartition(".")
    module = model.get_submodule(path)
    assert isinstance(module, Reparameterizable)
    fused = module.fused()
    setattr(model.get_submodule(parent), name, fused)
    return fused


def check_anchors(pixels: Tensor) -> None:
    """Check anchors (levels, anchors, 2) in pixels. Raises: MismatchedCheckpointError: invalid ones."""
    expected = f"up to {MAX_LEVELS} levels, for each up to {MAX_ANCHORS} pairs of positive numbers"
    if (
        not pixels.is_floating_point()
        or pixels.dim() != 3
        or pixels.shape[2] != 2
        or not 0 < pixels.shape[0] <= MAX_LEVELS
        or not 0 < pixels.shape[1] <= MAX_ANCHORS
    ):
        raise MismatchedCheckpointError(
            "the anchors make no sense", expected=expected, found=f"{tuple(pixels.shape)}, {pixels.dtype}"
        )
    pixels = pixels.float()
    wrong = pixels[~(torch.isfinite(pixels) & (pixels > 0))]
    if len(wrong):
        raise MismatchedCheckpointError(
            "the anchors make no sense", expected=expected, found=listed([f"{n:g}" for n in wrong.tolist()])
        )


def mismatch(message: str, missing: list[str], unexpected: list[str]) -> MismatchedCheckpointError:
    """Error with the first tensors that are missing and the first that are unexpected, and their numbers."""
    return MismatchedCheckpointError(
        message,
        expected=f"{plural(len(missing), 'missing tensor')}: {listed(missing)}",
        found=f"{plural(len(unexpected), 'unexpected tensor')}: {listed(unexpected)}",
    )


def listed(texts: list[str]) -> str:
    """First few texts, and the number of the others."""
    shown = ", ".join(printable(text, 120) for text in texts[:_LISTED]) or "none"
    return shown + (f", and {len(texts) - _LISTED:,} more" if len(texts) > _LISTED else "")


def _alike(ours: Tensor, found: Tensor) -> bool:
    """True if a tensor of a file fits: weights in any precision; some files have counters in floats, too."""
    counter = not ours.is_floating_point() and found.dtype == ours.dtype
    return found.shape == ours.shape and (found.is_floating_point() or counter)


def _kind(tensor: Tensor) -> str:
    """Shape, and the dtype if it is not a floating one."""
    shape = str(tuple(tensor.shape))
    return shape if tensor.is_floating_point() else f"{shape} {tensor.dtype}"
