"""Lower bound of a network's time: its convolutions at the speed of a large matrix product.

floor = operations / peak        reached = floor / time of the network
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch

from yolov7.inference.backend import has_bfloat16
from yolov7.models.complexity import conv_flops
from yolov7.models.detector import Detector, fuse

SIDE, GPU_SIDE = 2048, 8192
"""Sides of the matrices; a GPU is only busy with large ones."""


def flops_per_pixel(model: Detector) -> float:
    """2 x multiply-adds of the deployed network's convolutions per input pixel."""
    side = model.strides[-1]
    return conv_flops(fuse(model).to("meta"), side) / side**2


def peak(dtype: torch.dtype, device: torch.device | str = "cpu") -> float:
    """Operations per second of a product of two large matrices, the best of three."""
    device = torch.device(device)
    side = SIDE if device.type == "cpu" else GPU_SIDE
    a = torch.rand(side, side, device=device).to(dtype)
    seconds = []
    with _as_convolutions_do(device):
        for _ in range(3):
            begun = time.perf_counter()
            float((a @ a)[0, 0])  # waits for the product
            seconds.append(time.perf_counter() - begun)
    return 2 * side**3 / min(seconds)


def peaks(device: torch.device) -> dict[str, float]:
    """Peak by precision: float32, and 16 bits if the device has them."""
    dtypes = [torch.float32]
    if device.type == "cuda":
        dtypes.append(torch.float16)
    elif device.type == "cpu" and has_bfloat16():
        dtypes.append(torch.bfloat16)
    return {str(dtype).removeprefix("torch."): peak(dtype, device) for dtype in dtypes}


def peak_of(precision: str, peaks: Mapping[str, float]) -> float:
    """Peak to compare a precision with; INT8 is compared with the fastest known."""
    if precision == "int8":
        return max(peaks.values())
    return peaks.get(precision, peaks["float32"])


@contextmanager
def _as_convolutions_do(device: torch.device) -> Iterator[None]:
    """Let matrix products round float32 to 19 bits (TF32) on a GPU, as torch lets convolutions."""
    if device.type != "cuda":
        yield
        return
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
