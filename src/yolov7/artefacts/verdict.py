"""The result of a comparison of two networks, and whether it is within the tolerance."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from math import ceil
from typing import Any

import numpy as np

from yolov7.artefacts.tolerance import Tolerance
from yolov7.types import FloatArray


@dataclass(frozen=True)
class Spread:
    """Distribution of differences; zeros if there are none."""

    median: float
    percentile_95: float
    largest: float

    @classmethod
    def of(cls, values: FloatArray) -> Spread:
        if len(values) == 0:
            return cls(0.0, 0.0, 0.0)
        return cls(float(np.median(values)), float(np.percentile(values, 95)), float(values.max()))


@dataclass(frozen=True)
class Check:
    """A line of the verdict."""

    what: str  # quantity in words
    measured: float  # its value
    allowed: float | None  # its bound; None for no bound
    ok: bool  # whether the bound holds
    at_least: bool = False  # whether it is a lower bound, instead of an upper one


@dataclass(frozen=True)
class Certificate:
    """Comparison of an artefact with torch on the same images.

    Attributes:
        tolerance: bounds on the differences.
        conf, iou: thresholds of the detections.
        suppresses: whether the artefact has NMS inside.
        images: number of images that were compared.
        skipped: images that could not be read, with reasons.
        found: number of detections (of torch, of the artefact).
        pairs: number of detections that both have.
        lost, gained: number of detections of only torch, or only the artefact, except those on the threshold.
        on_threshold: number of detections of either that a close decision explains, see
            :mod:`yolov7.artefacts.agreement`.
        box: differences of the pairs' boxes, the largest of the four sides, pixels of the image.
        score: differences of the pairs' scores.
        examples: largest differences, in words.
        labelled: number of images that AP was measured on.
        ap: COCO's AP (of torch, of the artefact); None without labels.
        whole: the same for the whole path from the images as they come, without AP; None unless the
            artefact letterboxes them.
    """

    tolerance: Tolerance
    conf: float
    iou: float
    suppresses: bool
    images: int
    skipped: tuple[str, ...]
    found: tuple[int, int]
    pairs: int
    lost: int
    gained: int
    on_threshold: int
    box: Spread
    score: Spread
    examples: tuple[str, ...]
    labelled: int = 0
    ap: tuple[float, float] | None = None
    whole: Certificate | None = None

    @property
    def checks(self) -> tuple[Check, ...]:
        """The verdict, line by line."""
        bounds = self.tolerance
        # Rounded up: of six detections, a single one is more than 5 %.
        unmatched: int | None = ceil(bounds.unmatched * self.found[0])
        if self.ap is not None and bounds.box is None:
            unmatched = None  # AP judges better
        few = bounds.pairs if self.ap is None else 1
        checks = [
            Check("detections compared", self.pairs, few, self.pairs >= few, at_least=True),
            _at_most("largest box difference, pixels", self.box.largest, bounds.box),
            _at_most("largest score difference", self.score.largest, bounds.score),
            _at_most("detections lost or gained", self.lost + self.gained, unmatched),
        ]
        if self.ap is not None:
            checks.append(_at_most("loss of AP", self.ap[0] - self.ap[1], bounds.ap))
        if self.whole is not None:
            checks += [replace(check, what=f"whole path: {check.what}") for check in self.whole.checks]
        return tuple(checks)

    @property
    def passed(self) -> bool:
        """Whether the artefact equals torch within the tolerance."""
        return all(check.ok for check in self.checks)

    def to_dict(self) -> dict[str, Any]:
        """JSON types: the numbers, and what follows from them."""
        return {**asdict(self), "checks": [asdict(check) for check in self.checks]}


def _at_most(what: str, measured: float, allowed: float | None) -> Check:
    return Check(what, measured, allowed, allowed is None or measured <= allowed)  # False for NaN
