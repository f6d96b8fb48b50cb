"""Parts of architectures, and their names in files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn

from yolov7 import plugins
from yolov7.models import ablations, blocks, csp, head, reparam
from yolov7.models.architecture import Architecture

PARTS: dict[str, Any] = {
    part.__name__: part
    for part in (
        blocks.ELAN,
        blocks.ELANH,
        blocks.TinyELAN,
        blocks.StridedConv,
        blocks.MaxPool,
        blocks.MP,
        blocks.DownC,
        blocks.SPPCSPC,
        blocks.TinySPP,
        blocks.Conv3x3,
        blocks.silu,
        blocks.leaky_relu,
        csp.Residual,
        csp.CSPA,
        csp.CSPB,
        csp.CSPC,
        ablations.RepELANa,
        ablations.RepELANb,
        ablations.RepELANc,
        ablations.RepELANd,
        ablations.RepELANe,
        ablations.UnplannedRepELAN,
        ablations.RepCSPA,
        ablations.ReversedCSPA,
        ablations.RepReversedCSPA,
        ablations.RepReversedCSPC,
        reparam.RepConv,
        head.PlainHead,
        head.ImplicitHead,
        nn.ReLU,
        nn.ReLU6,
        nn.SiLU,
        nn.GELU,
        nn.Mish,
        nn.Hardswish,
        nn.LeakyReLU,
        nn.Identity,
    )
}
"""Built-in parts, which need no registration."""


def name_of(part: Any) -> str:
    """Name of a part in a file: its key in PARTS, or the import path of a user-defined part.

    Raises:
        UsageError: the part has no import path.

    >>> name_of(blocks.ELAN)
    'ELAN'
    """
    name = getattr(part, "__name__", "")
    return name if PARTS.get(name) is part else plugins.import_path(part)


def find_part(name: str) -> Any:
    """Find a part by name, in PARTS or registered by the user; None if unknown."""
    return PARTS.get(name) or plugins.registered(name)


def own_parts(architecture: Architecture) -> Iterator[Any]:
    """User-defined parts of an architecture: those not in PARTS."""
    a = architecture
    all_blocks = [*(stage.block for stage in a.stages), *a.neck]
    used = [a.pool, a.neck_down, a.output, a.activation, a.head, *(stage.down for stage in a.stages)]
    for part in dict.fromkeys([*used, *(block.kind for block in all_blocks)]):
        if PARTS.get(getattr(part, "__name__", "")) is not part:
            yield part
