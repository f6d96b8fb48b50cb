"""Three photos that are always at hand, for whoever has brought none."""

from __future__ import annotations

import numpy as np

from yolov7.errors import MissingDependencyError
from yolov7.types import Image

_NAMES = {"cat": "chelsea", "coffee": "coffee", "astronaut": "astronaut"}
"""Names of ours -> names of scikit-image's photos, all in the public domain."""


def photos(*, purpose: str) -> dict[str, Image]:
    """A cat, a cup of coffee and an astronaut, by name: uint8 (H, W, 3) RGB.

    Args:
        purpose: what they are for, should they not be there.

    Raises:
        MissingDependencyError: scikit-image, which has them, is not installed.
    """
    try:
        from skimage import data
    except ImportError:
        raise MissingDependencyError("scikit-image", purpose=purpose, extra="demo") from None
    return {name: np.ascontiguousarray(getattr(data, theirs)()) for name, theirs in _NAMES.items()}
