"""Timing of networks: inputs as prediction prepares them, and seconds per call."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from yolov7.inference.backend import Backend
from yolov7.inference.pipeline import batched, prepare
from yolov7.types import Image


def inputs_for(backend: Backend, photos: Sequence[Image], size: int, batch: int = 1) -> list[Tensor]:
    """Prepare photos as prediction does, in batches of uint8 (B, 3, H, W); the last may have fewer images.

    ``size`` is the longest side in pixels. It is ignored if the backend takes one shape only.
    """
    views = [prepare(photo, size, backend.stride, backend.shape) for photo in photos]
    return [batched(views[start : start + batch])[0] for start in range(0, len(views), batch)]


def call_seconds(
    call: Callable[[Tensor], object], inputs: Sequence[Tensor], device: torch.device
) -> list[float]:
    """Seconds of each call, until the device has finished."""
    _wait(device)
    seconds = []
    for images in inputs:
        begun = time.perf_counter()
        call(images)
        _wait(device)
        seconds.append(time.perf_counter() - begun)
    return seconds


def _wait(device: torch.device) -> None:
    """Wait for the queue of the device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
