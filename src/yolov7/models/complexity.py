"""Parameters and operations of a network."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def count_parameters(model: nn.Module) -> int:
    """Number of parameters, without buffers such as anchors and running statistics."""
    return sum(parameter.numel() for parameter in model.parameters())


def conv_flops(model: nn.Module, size: int) -> int:
    """Twice the multiply-adds of all convolutions for one (3, size, size) image."""
    return count_operations(model, size)[0]


def demand(model: nn.Module, size: int) -> tuple[int, int]:
    """Elements of the largest convolution's output, and multiply-adds of all, for one (3, size, size) image.

    The network is on the meta device.
    """
    operations, _, largest = count_operations(model, size)
    return largest, operations // 2


def count_operations(model: nn.Module, size: int) -> tuple[int, int, int]:
    """Count operations on the meta device, for one (3, size, size) image.

    Returns:
        Twice the multiply-adds of convolutions; 2 per output element of a convolution with bias, 4 of a batch
        norm and 2 of a LeakyReLU; elements of the largest convolution's output.
    """
    convolutions = others = largest = 0

    def count(module: nn.Module, _inputs: object, output: Tensor) -> None:
        nonlocal convolutions, others, largest
        elements = output.numel()
        if isinstance(module, nn.Conv2d):
            kernel = module.kernel_size[0] * module.kernel_size[1] * module.in_channels // module.groups
            convolutions += 2 * kernel * elements
            largest = max(largest, elements)
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
    return convolutions, others, largest
