"""Three photos of scikit-image, for use without images of one's own."""

from __future__ import annotations

import numpy as np

from yolov7.errors import MissingDependencyError
from yolov7.types import Image

_NAMES = {"cat": "chelsea", "coffee": "coffee", "astronaut": "astronaut"}
"""Our names -> scikit-image's names; all are in the public domain."""


def photos(*, purpose: str) -> dict[str, Image]:
    """Read photos of a cat, a cup of coffee and an astronaut: name -> uint8 (H, W, 3) RGB.

    Without scikit-image, a MissingDependencyError names the feature that needs them (`purpose`).
    """
    try:
        from skimage import data
    except ImportError:
        raise MissingDependencyError("scikit-image", purpose=purpose, extra="demo") from None
    return {name: np.ascontiguousarray(getattr(data, theirs)()) for name, theirs in _NAMES.items()}
