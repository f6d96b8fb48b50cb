"""How far from torch an artefact may be, by the precision that it computes in."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Tolerance:
    """What is allowed.

    Attributes:
        precision: that it is for.
        box: largest difference of two boxes of the same object, pixels of the image; None: any.
        score: largest difference of their scores; None: any.
        hair: of scores, of overlaps, and, in pixels, of the sides that overlap. A decision by less than this
            may fall either way.
        unmatched: share of torch's detections that may be gained or lost, besides those decided by a hair.
        ap: by which AP may fall.
        reason: why these numbers.
        pairs: detections that both must have, at least, where AP is not measured.
    """

    precision: str
    box: float | None
    score: float | None
    hair: float
    unmatched: float
    ap: float
    reason: str
    pairs: int = 1


TOLERANCES = {
    tolerance.precision: tolerance
    for tolerance in (
        Tolerance(
            "float32",
            box=0.5,
            score=1e-3,
            hair=1e-3,
            unmatched=0,
            ap=0.001,
            reason="the same arithmetic in another order; hundreds of times what that makes",
        ),
        Tolerance(
            "float16",
            box=2.0,
            score=0.01,
            hair=0.01,
            unmatched=0.01,
            ap=0.005,
            reason="11 bits a weight: boxes of COCO move by up to 0.4 pixels, scores by 0.003",
        ),
        Tolerance(
            "bfloat16",
            box=8.0,
            score=0.1,
            hair=0.05,
            unmatched=0.02,
            ap=0.005,
            reason="8 bits a number: boxes of COCO move by up to 1 pixel, scores by 0.01; others by more",
        ),
        Tolerance(
            "int8",
            box=None,
            score=None,
            hair=0.05,
            unmatched=0.05,
            ap=0.010,
            reason="8 bits a number: boxes and scores move; of the detections on COCO 1 % are lost or gained",
            pairs=100,  # their share is all that is bounded: of a handful it says nothing
        ),
    )
}

RESIZED = Tolerance(
    "images that the artefact scales itself",
    box=2.0,
    score=0.05,
    hair=0.05,
    unmatched=0.01,
    ap=0.005,
    reason="some pixels are one grey level of 256 off, which does as much as 16 bits",
)
"""For the whole path, from an image's bytes to boxes: besides what is allowed for the network alone."""
