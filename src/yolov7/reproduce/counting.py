"""Parameters and floating-point operations of a network, counted as the paper counts them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import torch
from torch import nn

from yolov7.models.architecture import Architecture
from yolov7.models.complexity import conv_flops, count_operations, count_parameters
from yolov7.models.detector import Detector, fuse
from yolov7.models.reparam import reparameterize
from yolov7.reproduce.tables import TABLE_1, TABLE_2, TABLE_3

COUNTING_SIZE = 640
"""Side in pixels of the input that the paper counts with, for every network."""


Graph = Literal["deployed", "unfolded", "training"]
"""Network counted in a row of the paper: deployed; deployed with separate batch norms; or the training
network, with auxiliary heads and folded convolutions."""


GRAPHS: dict[str, Graph] = {
    "yolov7-tiny-silu": "unfolded",
    "yolov7-d6": "training",
    "yolov7-x-width-only": "unfolded",
    "yolov7-x-depth-only": "unfolded",
}
"""Rows that count another network than the deployed one. The paper does not say so; its numbers do."""


PRINTED: dict[str, tuple[float, float]] = {"yolov7-tiny": (6.2, 13.8)} | {
    row.architecture.name: (row.paper["parameters_m"], row.paper["gflops"])
    for table in (TABLE_1, TABLE_2, TABLE_3)
    for row in table.rows
    if row.size == row.architecture.size
}
"""The paper's parameters (millions) and operations (billions) of a network at its own size. At 640 it lists
tiny with SiLU only, whose numbers serve for both activations."""


@dataclass(frozen=True)
class Complexity:
    """Size and cost of a variant.

    Attributes:
        parameters_training: parameters of the training network.
        parameters_deployed: parameters after :func:`yolov7.models.detector.fuse`.
        conv_gflops: 2 x multiply-adds of the deployed convolutions at the network's own size, billions.
        paper_gflops: :func:`paper_flops` of the paper's graph at the network's own size, billions.
        paper_parameters: parameters of the graph that the paper counts.
        graph: graph that the paper counts.
    """

    parameters_training: int
    parameters_deployed: int
    conv_gflops: float
    paper_gflops: float
    paper_parameters: int
    graph: Graph


def paper_flops(model: nn.Module, size: int) -> int:
    """Floating-point operations for one (3, size, size) image, counted as in the paper.

    2 x multiply-adds of every convolution, 2 per output element of a convolution with bias, 4 per output
    element of a separate batch norm, 2 per LeakyReLU element; none for SiLU, pooling and upsampling.
    """
    return sum(count_operations(model, size)[:2])


@lru_cache(maxsize=128)
def complexity(architecture: Architecture) -> Complexity:
    """Count on the meta device, without memory for weights; cached. The largest network takes a second."""
    graph = GRAPHS.get(architecture.name, "deployed")
    with torch.device("meta"):
        training = Detector(architecture)
        deployed = fuse(training)
        counted = training if graph == "unfolded" else deployed
        if graph == "training":
            counted = Detector(architecture)
            for name, part in counted.named_children():
                if name != "lead":
                    reparameterize(part)
    at_640 = round(paper_flops(counted, COUNTING_SIZE) / 1e9, 1)
    return Complexity(
        parameters_training=count_parameters(training),
        parameters_deployed=count_parameters(deployed),
        conv_gflops=conv_flops(deployed, architecture.size) / 1e9,
        # The paper rounds at 640 first, then scales.
        paper_gflops=round(at_640 * (architecture.size / COUNTING_SIZE) ** 2, 1),
        paper_parameters=count_parameters(training if graph == "training" else deployed),
        graph=graph,
    )


def beside_the_paper(architecture: Architecture) -> dict[str, str | int | float | None]:
    """Counts of a network beside the paper's numbers, which are None if the paper has none."""
    counts, paper = complexity(architecture), PRINTED.get(architecture.name)
    return {
        "variant": architecture.name,
        "size": architecture.size,
        "parameters_training": counts.parameters_training,
        "parameters_deployed": counts.parameters_deployed,
        "conv_gflops": round(counts.conv_gflops, 2),
        "parameters_m": round(counts.paper_parameters / 1e6, 1),
        "paper_parameters_m": paper[0] if paper else None,
        "gflops": counts.paper_gflops,
        "paper_gflops": paper[1] if paper else None,
        "counted": counts.graph,
    }
