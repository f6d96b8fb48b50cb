"""The networks of the paper's ablations, each derived from another network.

Paper: Sec. 5.4, Tables 3 to 8. Differences in training only (Tables 6 and 7) are in
:mod:`yolov7.reproduce.tables`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from torch import nn

from yolov7.models.architecture import (
    YOLOV7_E6,
    YOLOV7_E6E,
    YOLOV7_X,
    YOLOV7_X_LIGHT,
    scale,
    with_blocks,
)
from yolov7.models.baselines import YOLOR_CSP, YOLOR_W6
from yolov7.models.blocks import ELAN, Activation
from yolov7.models.csp import CSPA, CSPC, RepDarkBlock, RepReversedDarkBlock, ReversedDarkBlock
from yolov7.models.reparam import RepConv

# -- Table 3: scaling -----------------------------------------------------------------------------------

X_WIDTH_ONLY = replace(scale(YOLOV7_X_LIGHT, width=1.25, branch=1.25), name="yolov7-x-width-only")
X_DEPTH_ONLY = replace(scale(YOLOV7_X_LIGHT, depth=2), name="yolov7-x-depth-only")

# -- Table 4: RepConv in a 3-stacked ELAN ---------------------------------------------------------------


class RepELAN(ELAN):
    """ELAN with RepConv at some positions of its chain, counted from 1; even positions are concatenated.

    The paper shows the positions of (a) to (e) only as circles in Fig. 6; this is our reading of them.
    """

    positions: ClassVar[frozenset[int]] = frozenset()
    identity: ClassVar[bool | None] = None

    def link(self, position: int, in_channels: int, out_channels: int, activation: Activation) -> nn.Module:
        if position not in self.positions:
            return super().link(position, in_channels, out_channels, activation)
        return RepConv(
            in_channels,
            out_channels,
            activation,
            meets_residual_or_concat=position % self.tap_every == 0,
            identity=self.identity,
        )


class RepELANa(RepELAN):
    """RepConv first in each stack: no output is concatenated, so identities stay."""

    positions = frozenset((1, 3, 5))


class RepELANb(RepELAN):
    """RepConv second in each stack; its output is concatenated, so the plan drops the identity."""

    positions = frozenset((2, 4, 6))


class RepELANc(RepELAN):
    """RepConv at all positions, as planned."""

    positions = frozenset(range(1, 7))


class RepELANd(RepELAN):
    """RepConv in the first stack, as planned."""

    positions = frozenset((1, 2))


class RepELANe(RepELAN):
    """RepConv in the last stack, as planned."""

    positions = frozenset((5, 6))


class UnplannedRepELAN(RepELANb):
    """Variant of (b) with the identities that the plan forbids. Not in the paper's table."""

    identity = True


X_REP_A = replace(with_blocks(YOLOV7_X, ELAN, RepELANa), name="yolov7-x-rep-a")
X_REP_B = replace(with_blocks(YOLOV7_X, ELAN, RepELANb), name="yolov7-x-rep-b")
X_REP_C = replace(with_blocks(YOLOV7_X, ELAN, RepELANc), name="yolov7-x-rep-c")
X_REP_D = replace(with_blocks(YOLOV7_X, ELAN, RepELANd), name="yolov7-x-rep-d")
X_REP_E = replace(with_blocks(YOLOV7_X, ELAN, RepELANe), name="yolov7-x-rep-e")
X_REP_UNPLANNED = replace(with_blocks(YOLOV7_X, ELAN, UnplannedRepELAN), name="yolov7-x-rep-unplanned")

# -- Table 5: RepConv in residual blocks ----------------------------------------------------------------


class RepCSPA(CSPA):
    """RepCSP: CSPA with RepConv in its dark blocks (Table 5)."""

    unit = RepDarkBlock


class ReversedCSPA(CSPA):
    """RCSP: CSPA of reversed dark blocks (Table 5)."""

    unit = ReversedDarkBlock


class RepReversedCSPA(CSPA):
    """RepRCSP: CSPA of reversed dark blocks with RepConv (Table 5)."""

    unit = RepReversedDarkBlock


class RepReversedCSPC(CSPC):
    """RepRCSP for YOLOR-CSP: CSPC of reversed dark blocks with RepConv (Table 5)."""

    unit = RepReversedDarkBlock


W6_REP_CSP = replace(with_blocks(YOLOR_W6, CSPA, RepCSPA), name="yolor-w6-repcsp")
W6_RCSP = replace(with_blocks(YOLOR_W6, CSPA, ReversedCSPA), name="yolor-w6-rcsp")
W6_REP_RCSP = replace(with_blocks(YOLOR_W6, CSPA, RepReversedCSPA), name="yolor-w6-reprcsp")
CSP_REP_RCSP = replace(with_blocks(YOLOR_CSP, CSPC, RepReversedCSPC), name="yolor-csp-reprcsp")

# -- Tables 6, 7 and 8: auxiliary heads -----------------------------------------------------------------

E6_NO_AUX = replace(YOLOV7_E6, name="yolov7-e6-no-aux", auxiliary=())
E6E_NO_AUX = replace(YOLOV7_E6E, name="yolov7-e6e-no-aux", auxiliary=())
E6E_FULL_AUX = replace(YOLOV7_E6E, name="yolov7-e6e-full-aux", partial_auxiliary=False)

ABLATIONS = (
    YOLOV7_X_LIGHT,
    X_WIDTH_ONLY,
    X_DEPTH_ONLY,
    X_REP_A,
    X_REP_B,
    X_REP_C,
    X_REP_D,
    X_REP_E,
    X_REP_UNPLANNED,
    W6_REP_CSP,
    W6_RCSP,
    W6_REP_RCSP,
    CSP_REP_RCSP,
    E6_NO_AUX,
    E6E_NO_AUX,
    E6E_FULL_AUX,
)
