"""Networks that a file's tensors are compared with, at any width, and how lookalikes are told apart."""

from __future__ import annotations

import math
from collections.abc import Iterable

from yolov7.models.architecture import VARIANTS, YOLOV7_TINY, YOLOV7_TINY_SILU, Architecture, scale
from yolov7.models.baselines import BASELINES, YOLOR_CSP, YOLOV4_CSP
from yolov7.models.blocks import Activation

LOOKALIKES: dict[str, Architecture] = {
    YOLOV7_TINY.name: YOLOV7_TINY_SILU,  # another activation, which is in no tensor
    YOLOR_CSP.name: YOLOV4_CSP,
}
"""Network -> the one with the same convolutions that never had implicit vectors."""

NEVER_IMPLICIT = frozenset(network.name for network in LOOKALIKES.values())

CANDIDATES = tuple(n for n in (*VARIANTS, *BASELINES) if n.name not in NEVER_IMPLICIT)
"""Networks that a file's tensors are compared with: one of each pair of lookalikes."""

LARGEST_WIDTH = 16.0
"""Largest factor between a file's channels and those of the network they are taken for."""


def disambiguate(
    network: Architecture, *, implicit: bool, folded: bool, activation: Activation | None = None
) -> tuple[Architecture, tuple[str, ...]]:
    """Choose between a network and its lookalike; returns the choice, and a note if a file left it open.

    Args:
        network: the one of ``CANDIDATES`` whose convolutions the file has.
        implicit: True if the file has implicit vectors.
        folded: True if batch norms are folded; then implicit vectors are taken to be folded too.
        activation: the activation, where something beside the tensors shows it.
    """
    both = (network, *(other for name, other in LOOKALIKES.items() if name == network.name))
    possible = [one for one in both if activation in (None, one.activation)] or [network]
    if implicit or len(possible) == 1:
        return possible[0], ()
    chosen = possible[0] if folded else possible[1]
    return chosen, (f"its tensors fit both {network.name} and {possible[1].name}: taken as {chosen.name}",)


def widened(
    network: Architecture, channels: Iterable[tuple[int, int]]
) -> tuple[Architecture, tuple[str, ...]]:
    """Scale all widths by the one number that gives a file's channels; returns the network and a note.

    Args:
        network: as in ``CANDIDATES``; returned unchanged, without a note, if no single number fits.
        channels: output channels of each convolution of the network, and of those in the file.
    """
    least, most = 0.0, LARGEST_WIDTH  # round_up(base * width) == found where least < width <= most
    for base, found in channels:
        least, most = max(least, (found - 8) / base), min(most, found / base)
    if least < 1 <= most:
        return network, ()
    for digits in range(1, 7):  # any number in between gives these channels: take one with few digits
        width = math.floor(most * 10**digits + 1e-6) / 10**digits
        if width > least:
            note = f"its channels are {width:g} times those of {network.name}"
            return scale(network, width=width, branch=width), (note,)
    return network, ()
