"""Bounds on the differences between an artefact and torch, by the precision that it computes in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Tolerance:
    """Bounds on the differences between two networks.

    Attributes:
        precision: name of the precision.
        box: largest difference of the sides of a box, pixels of the image; None for no bound.
        score: largest difference of its scores; None for no bound.
        margin: distance from a threshold, of scores, IoUs or (in pixels) sides of boxes, within which
            rounding decides on which side a detection falls.
        unmatched: fraction of torch's detections that may be lost or gained, besides those within a margin.
        ap: largest loss of AP.
        reason: why these numbers.
        pairs: least number of detections that both must have, if AP is not measured.
        box_share: further difference of a row's box, as a fraction of its longer side, where all rows of a
            picture are compared: boxes with low scores may be as large as the picture.
    """

    precision: str
    box: float | None
    score: float | None
    margin: float
    unmatched: float
    ap: float
    reason: str
    pairs: int = 1
    box_share: float = 0.0

    def agrees(self, box: npt.NDArray[np.float32], score: npt.NDArray[np.float32]) -> Mask:
        """Whether differences of boxes and scores, of one shape, may come from rounding; False for NaN.

        >>> TOLERANCES["float32"].agrees(np.float32([0.1, 0.1, 0.7]), np.float32([0, 0.002, 0])).tolist()
        [True, False, False]
        """
        near = np.isfinite(box) if self.box is None else box <= self.box
        return near & (score <= self.margin)


TOLERANCES = {
    tolerance.precision: tolerance
    for tolerance in (
        Tolerance(
            "float32",
            box=0.5,
            score=1e-3,
            margin=1e-3,
            unmatched=0,
            ap=0.001,
            reason="the same arithmetic in another order; hundreds of times its rounding errors",
        ),
        Tolerance(
            "float16",
            box=2.0,
            score=0.01,
            margin=0.01,
            unmatched=0.01,
            ap=0.005,
            reason="11 bits per weight: boxes of COCO move by up to 0.4 pixels, scores by 0.003",
        ),
        Tolerance(
            "bfloat16",
            box=8.0,
            score=0.1,
            margin=0.05,
            unmatched=0.02,
            ap=0.005,
            reason="8 bits per number: boxes of COCO move by up to 1 pixel, scores by 0.01; others by more",
            box_share=0.1,
        ),
        Tolerance(
            "int8",
            box=None,
            score=None,
            margin=0.05,
            unmatched=0.05,
            ap=0.010,
            reason="8 bits per number: boxes and scores move; 1 % of detections on COCO are lost or gained",
            pairs=100,  # only a fraction is bounded, which means nothing for a handful
        ),
    )
}
"""The only table of tolerances: of certificates, and of the choice of a runtime by ``auto``."""

RESIZED = Tolerance(
    "images that the artefact scales itself",
    box=2.0,
    score=0.05,
    margin=0.05,
    unmatched=0.01,
    ap=0.005,
    reason="some pixels are one grey level of 256 off, which matters as much as 16 bits",
)
"""Tolerance of the whole path, from an image's bytes to boxes; that of the network alone applies besides."""
