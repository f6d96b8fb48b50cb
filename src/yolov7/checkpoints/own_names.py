"""Tensors under our own names (``Detector.state_dict()``), without a description of their network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from yolov7.checkpoints.fitting import Fit, Recovered, check_anchors, fitting, fold, mismatch
from yolov7.checkpoints.lookalikes import CANDIDATES, disambiguate
from yolov7.errors import MismatchedCheckpointError
from yolov7.layout import RowLayout
from yolov7.models.architecture import Architecture
from yolov7.models.detector import Detector
from yolov7.models.head import ImplicitHead, PlainHead
from yolov7.models.reparam import Reparameterizable

NAMING = "open-yolov7"


def recover(tensors: Mapping[str, Tensor]) -> Recovered:
    """Find the network whose ``state_dict()`` this is: one of the paper's or a baseline, at any width.

    Raises:
        MismatchedCheckpointError: no network has these tensors; the error lists the misfits of the nearest.
    """
    outputs, anchors = tensors.get("lead.convs.0.bias"), tensors.get("anchors")
    if outputs is None or outputs.dim() != 1 or anchors is None or anchors.dim() != 3 or not anchors.numel():
        raise mismatch("these are not the tensors of a network of ours", ["lead.convs.0.bias", "anchors"], [])
    check_anchors(anchors)
    levels, per_level, _ = anchors.shape
    pixels = tuple(anchors.tolist())
    classes = max(1, RowLayout.of_size(outputs.shape[0] // per_level).classes)
    implicit = any("implicit" in name for name in tensors)
    auxiliary = any(name.startswith("auxiliary.") for name in tensors)
    folded = not any(".bn." in name for name in tensors)

    def candidates() -> Iterator[tuple[Architecture, tuple[str, ...]]]:
        for candidate in CANDIDATES:
            if len(candidate.neck) == levels:
                network, notes = disambiguate(candidate, implicit=implicit, folded=folded)
                widths = network.auxiliary if auxiliary else ()
                yield replace(network, auxiliary=widths, head=network.head if implicit else PlainHead), notes

    def lined_up(architecture: Architecture) -> Fit:
        with torch.device("meta"):
            return fit(Detector(architecture, classes, pixels), tensors)

    if (found := fitting(candidates(), lined_up)) is None:
        raise MismatchedCheckpointError(
            "no network of ours has so many levels",
            expected=" or ".join(sorted({str(len(candidate.neck)) for candidate in CANDIDATES})),
            found=levels,
        )
    model, notes = found
    return Recovered(model, NAMING, notes)


def fit(model: Detector, tensors: Mapping[str, Tensor]) -> Fit:
    """Line a network up with tensors of its own names; parts that are folded in the file are folded."""
    for path, module in list(model.named_modules()):
        if isinstance(module, Reparameterizable) and _is_folded(module, path, tensors):
            fold(model, path)
    return Fit(model, tensors, {name: name for name in model.state_dict()})


def _is_folded(module: object, path: str, tensors: Mapping[str, Tensor]) -> bool:
    if isinstance(module, ImplicitHead):
        return f"{path}.implicit_add.0" not in tensors
    return f"{path}.conv.bias" in tensors
