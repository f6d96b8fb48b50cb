"""The assistant loss of auxiliary heads, and the upper bound of their objectness.

Coarse labels lie up to half a cell beyond the reach of the lead head's decoder. An auxiliary head with that
decoder cannot fit them: the IoU of its best box, which is the label of its objectness, falls with the
distance. That "makes the optimizable upper bound of fine label always higher than coarse label". With a
decoder that reaches all coarse labels the bound is gone.

Paper: Sec. 4.2, Sec. 5.4.3, Table 7.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Auxiliary:
    """Training settings of auxiliary heads.

    Attributes:
        weight: weight of their loss; the lead head's is 1.
        upper_bound: True if they use the lead head's decoder (Table 7).
    """

    weight: float = 0.25
    upper_bound: bool = True
