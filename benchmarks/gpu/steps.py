"""Steps of the GPU check: what they get, and the rows that they give."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

import yolov7
from yolov7.models.architecture import Architecture, scale
from yolov7.models.detector import Detector
from yolov7.models.zoo import find_architecture

Row = dict[str, Any]
"""A line of the report: ``what``; then ``found``, ``allowed``, ``right`` of a comparison, or timings."""


class Step(NamedTuple):
    """A part of the check that can fail without ending the others."""

    section: str
    name: str
    run: Callable[[Check], Iterator[Row]]
    seconds: float
    """Time after which it is stopped."""


@dataclass(frozen=True)
class Check:
    """Settings of a check.

    Attributes:
        device: the GPU; the processor in a dry run.
        dry: True for tiny sizes, where times mean nothing.
        deadline: time.time() at which all is to be over.
        scratch: folder for data sets and runs.
        data: data set to learn from; None for the shapes of the demo.
    """

    device: torch.device
    dry: bool
    deadline: float
    scratch: Path
    data: str | None

    @property
    def left(self) -> float:
        """Seconds until the deadline."""
        return self.deadline - time.time()

    def wait(self) -> None:
        """Wait until the device has done everything."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def size(self, side: int) -> int:
        """Side of images in pixels: 128 in a dry run."""
        return 128 if self.dry else side

    def network(self, name: str, *, narrow: bool = False, side: int = 256) -> Detector:
        """A fresh network on the processor whose batch norms know its activations: none of these vanish.

        Args:
            name: of a variant.
            narrow: an eighth as many channels; always so in a dry run.
            side: of the noise that batch norms are calibrated on.
        """
        torch.manual_seed(0)
        model = yolov7.create(narrowed(name) if narrow or self.dry else name).train()
        norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
        momenta = [norm.momentum for norm in norms]
        for norm in norms:
            norm.momentum = 1.0
        with torch.no_grad():
            model(noise(2, self.size(side)).float() / 255)
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        return model.eval()


def narrowed(name: str) -> Architecture:
    """A variant with an eighth of its channels."""
    return scale(find_architecture(name), width=1 / 8, branch=1 / 8)


def noise(count: int, side: int) -> Tensor:
    """Images of smooth noise, (count, 3, side, side) uint8: edges at several scales, the same every time."""
    generator = torch.Generator().manual_seed(1)
    image = torch.zeros(count, 3, side, side)
    for cells in (4, 16, 64):
        coarse = torch.rand(count, 3, cells, cells, generator=generator)
        image += nn.functional.interpolate(coarse, size=(side, side), mode="bilinear") / 3
    return (255 * image).to(torch.uint8)


def compared(what: str, found: float, allowed: float, unit: str = "") -> Row:
    """Row of a comparison, which is right if `found` is at most `allowed`; NaN never is."""
    return {"what": what, "found": found, "allowed": allowed, "unit": unit, "right": bool(found <= allowed)}


def stated(what: str, right: bool, found: str) -> Row:
    """Row of something that holds or not."""
    return {"what": what, "found": found, "right": right}


def difference(found: Tensor, expected: Tensor) -> float:
    """Largest difference as a fraction of the largest expected value; NaN if any value is."""
    found, expected = found.detach().float().cpu(), expected.detach().float().cpu()
    if not found.numel():
        return 0.0
    return float((found - expected).abs().max() / expected.abs().max().clamp_min(1e-12))
