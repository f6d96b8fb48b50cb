"""Parameters and floating-point operations of a network, counted as the paper counts them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from yolov7.models.architecture import Architecture
from yolov7.models.detector import Detector, fuse
from yolov7.models.reparam import reparameterize

COUNTING_SIZE = 640
"""The paper's counts are of this input, whatever the network's own size."""


Graph = Literal["deployed", "unfolded", "training"]
"""What a row of the paper counts: the deployed network; the same with batch norms apart; or the network as it
is trained, auxiliary heads included, with convolutions folded."""


@dataclass(frozen=True)
class PaperNumbers:
    """A row of the paper's Tables 1 and 2: millions of parameters, billions of operations at ``size``.

    ``graph`` says which form of the network the row counts; that was found by counting, the paper is silent.
    """

    parameters_m: float
    gflops: float
    size: int
    graph: Graph = "deployed"


PAPER: dict[str, PaperNumbers] = {
    "yolov7-tiny": PaperNumbers(6.2, 13.8, 640),
    "yolov7-tiny-silu": PaperNumbers(6.2, 13.8, 640, "unfolded"),
    "yolov7": PaperNumbers(36.9, 104.7, 640),
    "yolov7-x": PaperNumbers(71.3, 189.9, 640),
    "yolov7-w6": PaperNumbers(70.4, 360.0, 1280),
    "yolov7-e6": PaperNumbers(97.2, 515.2, 1280),
    "yolov7-d6": PaperNumbers(154.7, 806.8, 1280, "training"),
    "yolov7-e6e": PaperNumbers(151.7, 843.2, 1280),
}


@dataclass(frozen=True)
class Complexity:
    """Size and cost of a variant.

    Attributes:
        parameters_training: of the network as it is trained.
        parameters_deployed: after :func:`yolov7.models.detector.fuse`.
        conv_gflops: 2 x multiply-adds of the deployed convolutions at the variant's own size, billions.
        paper_gflops: what :func:`paper_flops` gives for the graph that the paper counts, billions.
        paper_parameters: parameters of the graph that the paper's row counts.
        graph: which graph that is.
    """

    parameters_training: int
    parameters_deployed: int
    conv_gflops: float
    paper_gflops: float
    paper_parameters: int
    graph: Graph


def count_parameters(model: nn.Module) -> int:
    """Number of parameters; buffers such as anchors and running statistics are none."""
    return sum(parameter.numel() for parameter in model.parameters())


def conv_flops(model: nn.Module, size: int) -> int:
    """2 x multiply-adds of every convolution for one square image of ``size`` pixels a side."""
    return _count(model, size)[0]


def paper_flops(model: nn.Module, size: int) -> int:
    """Operations by the paper's rule for one square image of ``size`` pixels a side.

    2 x multiply-adds of every convolution, 2 per output element of a convolution with bias, 4 per output
    element of a batch norm that stands apart, 2 per LeakyReLU element; nothing for SiLU, pooling, upsampling.
    """
    return sum(_count(model, size))


def complexity(architecture: Architecture) -> Complexity:
    """Build the variant on no device at all and count. Takes a fraction of a second for the largest."""
    with torch.device("meta"):
        training = Detector(architecture)
        deployed = fuse(training)
        convolutions_folded = Detector(architecture)
    for name, part in convolutions_folded.named_children():
        if name != "lead":
            reparameterize(part)
    graph = PAPER[architecture.name].graph if architecture.name in PAPER else "deployed"
    counted = {"deployed": deployed, "unfolded": training, "training": convolutions_folded}[graph]
    at_640 = round(paper_flops(counted, COUNTING_SIZE) / 1e9, 1)
    return Complexity(
        parameters_training=count_parameters(training),
        parameters_deployed=count_parameters(deployed),
        conv_gflops=conv_flops(deployed, architecture.size) / 1e9,
        # The paper rounds at 640 first and scales then.
        paper_gflops=round(at_640 * (architecture.size / COUNTING_SIZE) ** 2, 1),
        paper_parameters=count_parameters(training if graph == "training" else deployed),
        graph=graph,
    )


def beside_the_paper(architecture: Architecture) -> dict[str, str | int | float]:
    """A variant of the paper: what is counted here, and the paper's digits."""
    counts, paper = complexity(architecture), PAPER[architecture.name]
    return {
        "variant": architecture.name,
        "size": architecture.size,
        "parameters_training": counts.parameters_training,
        "parameters_deployed": counts.parameters_deployed,
        "conv_gflops": round(counts.conv_gflops, 2),
        "parameters_m": round(counts.paper_parameters / 1e6, 1),
        "paper_parameters_m": paper.parameters_m,
        "gflops": counts.paper_gflops,
        "paper_gflops": paper.gflops,
        "counted": counts.graph,
    }


def _count(model: nn.Module, size: int) -> tuple[int, int]:
    """(operations of convolutions, operations of everything else that counts), on the meta device."""
    convolutions = others = 0

    def count(module: nn.Module, _inputs: object, output: Tensor) -> None:
        nonlocal convolutions, others
        elements = output.numel()
        if isinstance(module, nn.Conv2d):
            kernel = module.kernel_size[0] * module.kernel_size[1] * module.in_channels // module.groups
            convolutions += 2 * kernel * elements
            others += 2 * elements if module.bias is not None else 0
        elif isinstance(module, nn.BatchNorm2d):
            others += 4 * elements
        elif isinstance(module, nn.LeakyReLU):
            others += 2 * elements

    counted = (nn.Conv2d, nn.BatchNorm2d, nn.LeakyReLU)
    hooks = [m.register_forward_hook(count) for m in model.modules() if isinstance(m, counted)]
    try:
        with torch.no_grad():
            model.eval()(torch.empty(1, 3, size, size, device="meta"))
    finally:
        for hook in hooks:
            hook.remove()
    return convolutions, others
