"""Names inside the rows of a released checkpoint, and inside those of the authors' MIT rewrite.

Source: names and shapes in the files, see docs/provenance.md.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor, nn

from yolov7.models.baselines import BASELINES
from yolov7.models.blocks import SPPCSPC, ConvBNAct, DownC
from yolov7.models.csp import CSPA, CSPC, DarkBlock
from yolov7.models.reparam import RepConv

# Module that fills one row of a released file -> our name inside the module -> the released one in the row.
ROW_NAMES: dict[type[nn.Module], dict[str, str]] = {
    ConvBNAct: {"": ""},
    RepConv: {"": ""},
    DownC: {"conv": "cv1", "conv_down": "cv2", "pool_conv": "cv3"},
    SPPCSPC: {
        "before.0": "cv1",
        "shortcut": "cv2",
        "before.1": "cv3",
        "before.2": "cv4",
        "after.0": "cv5",
        "after.1": "cv6",
        "out": "cv7",
    },
    DarkBlock: {"conv1": "cv1", "conv2": "cv2"},
    CSPC: {"main": "cv1", "past": "cv2", "after": "cv3", "out": "cv4"},  # before CSPA, its base class
    CSPA: {"main": "cv1", "past": "cv2", "out": "cv3"},
}

# Networks whose output convolutions have their rows right after their level of the neck, not at the end.
OUTPUTS_BY_LEVEL = frozenset(baseline.name for baseline in BASELINES)

# Inside RepConv; a ConvBNAct has the same names on both sides.
REPCONV_NAMES = {
    "conv3x3": "rbr_dense.0",
    "bn3x3": "rbr_dense.1",
    "conv1x1": "rbr_1x1.0",
    "bn1x1": "rbr_1x1.1",
    "bn_identity": "rbr_identity",
}
FOLDED_REPCONV = "rbr_reparam"

HEAD_NAMES = {
    "lead.convs": ("m", ""),
    "lead.implicit_add": ("ia", ".implicit"),
    "lead.implicit_multiply": ("im", ".implicit"),
    "auxiliary.convs": ("m2", ""),
}

# The authors' MIT rewrite numbers the same rows, and names their insides its own way (YOLOv7 only): its names
# in an SPPCSPC and in a RepConv -> the released ones.
MIT_NAMES = {
    "pre_conv.0": "cv1",
    "pre_conv.1": "cv3",
    "pre_conv.2": "cv4",
    "post_conv.0": "cv5",
    "post_conv.1": "cv6",
    "short_conv": "cv2",
    "merge_conv": "cv7",
    "conv1.conv": "rbr_dense.0",
    "conv1.bn": "rbr_dense.1",
    "conv2.conv": "rbr_1x1.0",
    "conv2.bn": "rbr_1x1.1",
}
MIT_HEAD = re.compile(r"heads\.(\d+)\.(head_conv|implicit_a|implicit_m)\.(.+)")
MIT_HEAD_NAMES = {"head_conv": "m", "implicit_a": "ia", "implicit_m": "im"}


def names_in_row(unit: nn.Module) -> dict[str, str]:
    """Names of a module's convolutions: ours inside the module -> the released one inside the row."""
    names = next(names for kind, names in ROW_NAMES.items() if isinstance(unit, kind))
    if not isinstance(unit, CSPA):
        return names
    return names | {
        f"units.{i}.{ours}": f"m.{i}.{released}"
        for i in range(len(unit.units))
        for ours, released in ROW_NAMES[DarkBlock].items()
    }


def from_mit(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the tensors of one row from the MIT rewrite's names to the released ones."""
    translated = {}
    for name, tensor in tensors.items():
        if match := MIT_HEAD.fullmatch(name):
            name = f"{MIT_HEAD_NAMES[match[2]]}.{match[1]}.{match[3]}"
        for theirs, released in MIT_NAMES.items():
            if name.startswith(theirs + "."):
                name = released + name[len(theirs) :]
        translated[name] = tensor
    return translated
