"""Backends: the protocol of everything that runs a network, and torch as the first backend."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from yolov7.errors import UsageError
from yolov7.inference.graphs import GraphedNetwork
from yolov7.layout import RowLayout
from yolov7.models.detector import Detector, fuse
from yolov7.types import Predictions


class Backend(Protocol):
    """A network on some runtime, from pixels to decoded rows."""

    stride: int
    """Height and width of images must be multiples of this."""
    layout: RowLayout
    """Columns of the rows."""
    shape: tuple[int, int] | None
    """The only accepted (height, width) of images; None if any is accepted."""
    variant: str
    """Name of the network."""
    runtime: str
    """Runtime, device and precision, as text."""

    def __call__(self, images: Tensor, objectness: float) -> tuple[Tensor, ...]:
        """Decode the rows whose objectness exceeds a threshold.

        Args:
            images: (B, 3, H, W), uint8, or float in [0, 1].
            objectness: threshold.

        Returns:
            Per image float32 (N, 5 + C): cx, cy, w, h in pixels, objectness, class probabilities.
        """
        ...


class TorchBackend:
    """The fused network on a torch device, in the memory format that is fastest there.

    Args:
        model: network in any form, which is copied and fused.
        device: ``cpu``, ``cuda``, ``cuda:1``, ``mps``...
        half: 16 bits: float16 on a GPU, bfloat16 on a CPU, where float16 is slow.
        graphs: replay CUDA graphs on an NVIDIA GPU: see :mod:`yolov7.inference.graphs`.

    Raises:
        UsageError: an unknown or missing device.
    """

    def __init__(
        self, model: Detector, device: str | torch.device = "cpu", *, half: bool = False, graphs: bool = False
    ) -> None:
        self.device = find_device(device)
        self.dtype = torch.float32
        if half:
            self.dtype = torch.bfloat16 if self.device.type == "cpu" else torch.float16
        # Convolutions are faster with channels last: docs/performance.md has the ratios.
        # The stubs of torch lack the argument.
        self.model = fuse(model).to(self.device, self.dtype)
        self.model = self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        # Anchors keep their precision: rounding 459 to 16 bits would move boxes.
        self.model.anchors = model.anchors.to(self.device, torch.float32)
        self.stride, self.layout = model.strides[-1], model.layout
        self.shape: tuple[int, int] | None = None
        self.variant = model.architecture.name
        self.runtime = f"torch, {self.device.type}, {str(self.dtype).removeprefix('torch.')}"
        recorded = graphs and self.device.type == "cuda"
        self._graphed = GraphedNetwork(lambda images: self.model(images).lead) if recorded else None

    @torch.inference_mode()
    def __call__(self, images: Tensor, objectness: float) -> tuple[Tensor, ...]:
        images = self.to_input(images)
        if self._graphed is None:
            return self.model.decode_above(self.model(images), objectness)
        with self._graphed.lock:
            return self.model.decode_above(Predictions(tuple(self._graphed(images))), objectness)

    def to_input(self, images: Tensor) -> Tensor:
        """Move images (B, 3, H, W) to the device, in the network's dtype, scaled to [0, 1]."""
        scale = 255 if images.dtype == torch.uint8 else 1
        if self.device.type == "cuda" and not images.is_cuda:
            images = images.pin_memory()  # or else the copy waits for the GPU
        images = images.to(self.device, non_blocking=True).to(self.dtype)
        return images.div_(scale) if scale != 1 else images


def find_device(device: str | torch.device) -> torch.device:
    """Find a device by its torch name or GPU number.

    Raises:
        UsageError: an unknown or missing device.

    >>> find_device("cpu")
    device(type='cpu')
    """
    try:
        found = torch.device(f"cuda:{device}" if isinstance(device, str) and device.isdecimal() else device)
        torch.empty(0, device=found)
    # In this order: unknown name or number; torch was built without the device; no kernels for it.
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise UsageError(
            "this device cannot be used", expected=", ".join(_available()), found=f"{device} ({error})"
        ) from None
    return found


def _available() -> list[str]:
    devices = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
    return [*devices, "mps"] if torch.backends.mps.is_available() else devices


def default_device() -> str:
    """Name of the first GPU of this machine, or ``cpu``."""
    return _available()[1] if len(_available()) > 1 else "cpu"


def has_bfloat16() -> bool:
    """Test if this processor has bfloat16 instructions; others emulate them."""
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # not in older torch
    if not capabilities and Path("/proc/cpuinfo").is_file():
        flags = Path("/proc/cpuinfo").read_text()
        return "avx512_bf16" in flags or "amx_bf16" in flags
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
