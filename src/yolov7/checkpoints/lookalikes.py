"""Networks that tensors cannot tell apart, and which of them a file is taken for."""

from __future__ import annotations

from yolov7.models.architecture import VARIANTS, YOLOV7_TINY, YOLOV7_TINY_SILU, Architecture
from yolov7.models.baselines import BASELINES, YOLOR_CSP, YOLOV4_CSP
from yolov7.models.blocks import Activation

LOOKALIKES: dict[str, Architecture] = {
    YOLOV7_TINY.name: YOLOV7_TINY_SILU,  # another activation, which is in no tensor
    YOLOR_CSP.name: YOLOV4_CSP,
}
"""Network -> the one with the same convolutions that never had implicit vectors."""

NEVER_IMPLICIT = frozenset(network.name for network in LOOKALIKES.values())

CANDIDATES = tuple(n for n in (*VARIANTS, *BASELINES) if n.name not in NEVER_IMPLICIT)
"""The networks that a file's tensors are compared with: one of each pair of lookalikes."""


def taken_for(
    network: Architecture, *, implicit: bool, folded: bool, activation: Activation | None = None
) -> tuple[Architecture, tuple[str, ...]]:
    """Which network a file holds, and a note where that had to be chosen.

    Args:
        network: the one of ``CANDIDATES`` whose convolutions the file has.
        implicit: whether it has implicit vectors.
        folded: whether batch norms are folded; then implicit vectors are taken to be folded too.
        activation: where something beside the tensors shows it.
    """
    both = (network, *(other for name, other in LOOKALIKES.items() if name == network.name))
    possible = [one for one in both if activation in (None, one.activation)] or [network]
    if implicit or len(possible) == 1:
        return possible[0], ()
    chosen = possible[0] if folded else possible[1]
    return chosen, (f"its tensors fit both {network.name} and {possible[1].name}: taken as {chosen.name}",)
