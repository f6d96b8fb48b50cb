"""Settings of the augmentation."""

from __future__ import annotations

from dataclasses import dataclass, fields

from yolov7.errors import UsageError

_LIMITS = {"scale": 0.999, "translate": 1.0, "degrees": 180.0, "shear": 44.0, "perspective": 0.01, "hue": 0.4}
"""Maximum values; 1 for all other settings, which are probabilities or fractions."""


@dataclass(frozen=True)
class Augmentation:
    """Settings of the augmentation; the defaults are those of the P5 models.

    Attributes:
        mosaic: probability of a mosaic instead of a single letterboxed image.
        mosaic9_share: fraction of the mosaics with nine images instead of four.
        mixup: probability that a mosaic is blended with a second one.
        paste_in: probability that objects of other images are pasted in, if the data set has polygons.
        copy_paste: fraction of the objects with polygons that are copied, mirrored.
        translate: maximum shift of the centre, as a fraction of the size.
        scale: s; scales are uniform in [1 - s, 1.1 + s].
        degrees: maximum rotation, degrees.
        shear: maximum shear along either axis, degrees.
        perspective: maximum slope of the perspective divisor, per pixel.
        hue, saturation, value: maximum relative changes.
        flip_horizontal, flip_vertical: probabilities of a flip.

    Raises:
        UsageError: a setting is out of range.

    >>> Augmentation(mixup=0.05).mosaic
    1.0
    """

    mosaic: float = 1.0
    mosaic9_share: float = 0.2
    mixup: float = 0.15
    paste_in: float = 0.15
    copy_paste: float = 0.0
    translate: float = 0.2
    scale: float = 0.9
    degrees: float = 0.0
    shear: float = 0.0
    perspective: float = 0.0
    hue: float = 0.015
    saturation: float = 0.7
    value: float = 0.4
    flip_horizontal: float = 0.5
    flip_vertical: float = 0.0

    def __post_init__(self) -> None:
        for field in fields(self):
            number, limit = getattr(self, field.name), _LIMITS.get(field.name, 1.0)
            if not 0 <= number <= limit:
                raise UsageError(
                    f"augmentation: {field.name} is out of range", expected=f"0 to {limit:g}", found=number
                )
