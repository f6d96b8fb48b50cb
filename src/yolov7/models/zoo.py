"""Named networks: the paper's variants, baselines and ablations."""

from __future__ import annotations

from yolov7.errors import ArchitectureError
from yolov7.models.ablations import ABLATIONS
from yolov7.models.architecture import VARIANTS, Architecture
from yolov7.models.baselines import BASELINES

NETWORKS = (*VARIANTS, *BASELINES, *ABLATIONS)


def find_architecture(name: str) -> Architecture:
    """Find an architecture by a name such as ``yolov7-w6``, ``yolor-csp`` or ``yolov7-x-rep-a``.

    Raises:
        ArchitectureError: unknown name.

    >>> find_architecture("yolov7-w6").size
    1280
    """
    for architecture in NETWORKS:
        if architecture.name == name:
            return architecture
    known = ", ".join(variant.name for variant in VARIANTS)
    raise ArchitectureError(
        "unknown network", expected=f"{known}, or one of `yolov7 models --all`", found=repr(name)
    )
