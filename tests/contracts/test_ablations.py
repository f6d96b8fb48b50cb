"""The networks of the paper's ablations: sizes of Table 3, and where Tables 4 and 5 have a RepConv."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from yolov7.models import ablations
from yolov7.models.ablations import ABLATIONS
from yolov7.models.architecture import YOLOV7_X, YOLOV7_X_LIGHT, Architecture
from yolov7.models.blocks import ELAN
from yolov7.models.csp import CSPA, DarkBlock
from yolov7.models.detector import Detector
from yolov7.models.reparam import RepConv
from yolov7.reproduce.counting import complexity


@pytest.mark.parametrize(
    ("network", "parameters_m", "gflops"),
    [
        (YOLOV7_X_LIGHT, 47.0, 125.5),
        (ablations.X_WIDTH_ONLY, 73.4, 195.5),
        (ablations.X_DEPTH_ONLY, 69.3, 187.6),
        (YOLOV7_X, 71.3, 189.9),
    ],
    ids=["base", "width only", "depth only", "compound"],
)
def test_table_3(network: Architecture, parameters_m: float, gflops: float):
    counts = complexity(network)
    assert counts.parameters_deployed / 1e6 == pytest.approx(parameters_m, rel=0.003)
    assert counts.paper_gflops == pytest.approx(gflops, rel=0.003)


# Positions in the chain of six of each ELAN, counted from 1: those that are RepConv, those with an identity.
IN_CHAINS = {
    "yolov7-x-rep-a": ({1, 3, 5}, {1, 3, 5}),
    "yolov7-x-rep-b": ({2, 4, 6}, set()),
    "yolov7-x-rep-c": ({1, 2, 3, 4, 5, 6}, {1, 3, 5}),
    "yolov7-x-rep-d": ({1, 2}, {1}),
    "yolov7-x-rep-e": ({5, 6}, {5}),
    "yolov7-x-rep-unplanned": ({2, 4, 6}, {2, 4, 6}),
}
# Which of the two convolutions of each dark block in the backbone is RepConv; none has an identity.
IN_DARK_BLOCKS = {"yolor-w6-repcsp": "conv2", "yolor-w6-reprcsp": "conv1", "yolor-csp-reprcsp": "conv1"}


@pytest.mark.parametrize("network", ABLATIONS, ids=lambda network: network.name)
def test_rep_conv_is_where_the_ablation_has_it(network: Architecture):
    with torch.device("meta"):
        model = Detector(network)
    branched, with_identity = set(), set()
    if network.name in IN_CHAINS:
        chains = [f"{path}.chain" for path, part in model.named_modules() if isinstance(part, ELAN)]
        assert len(chains) == 8  # four in the backbone, four in the neck
        positions, identities = IN_CHAINS[network.name]
        branched = {f"{chain}.{position - 1}" for chain in chains for position in positions}
        with_identity = {f"{chain}.{position - 1}" for chain in chains for position in identities}
    elif network.name in IN_DARK_BLOCKS:
        units = [
            f"{path}.units.{i}"
            for path, part in model.backbone.named_modules(prefix="backbone")
            if isinstance(part, CSPA)
            for i in range(len(part.units))
        ]
        assert (
            len(units)
            == {"yolor-w6": 3 + 7 + 7 + 3 + 3, "yolor-csp": 2 + 8 + 8 + 4}[network.name.rsplit("-", 1)[0]]
        )
        branched = {f"{unit}.{IN_DARK_BLOCKS[network.name]}" for unit in units}
    found = {path: part for path, part in model.named_modules() if isinstance(part, RepConv)}
    assert set(found) == branched
    assert {path for path, part in found.items() if part.bn_identity is not None} == with_identity


def test_reversed_blocks_are_3x3_first_in_the_backbone_alone():
    with torch.device("meta"):
        model = Detector(ablations.W6_RCSP)

    def kernels(part: nn.Module) -> set[tuple[int, ...]]:
        blocks = [block for block in part.modules() if isinstance(block, DarkBlock)]
        return {(b.conv1.conv.kernel_size[0], b.conv2.conv.kernel_size[0]) for b in blocks}

    assert kernels(model.backbone) == {(3, 1)}
    assert kernels(model.neck) == {(1, 3)}


def test_auxiliary_heads():
    """Tables 6 to 8: none, of both groups merged, of one group."""
    assert ablations.E6_NO_AUX.auxiliary == ablations.E6E_NO_AUX.auxiliary == ()
    with torch.device("meta"):
        partial, full = Detector(ablations.YOLOV7_E6E), Detector(ablations.E6E_FULL_AUX)
    assert [level.partial_auxiliary for level in partial.neck.top_down] == [True] * 3
    assert [level.partial_auxiliary for level in full.neck.top_down] == [False] * 3
