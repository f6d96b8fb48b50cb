"""The automatic batch size: the memory of two small batches, measured, gives the largest that fits."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch

from yolov7.models.detector import Detector

USABLE_MEMORY = 0.8
"""Fraction of the free memory to fill: crowded images need more, and other programs need some."""
MAX_BATCH_SIZE = 256


def fitting_batch(memory_of: Callable[[int], int], available: int) -> int:
    """Largest batch size that fits, if memory grows linearly: a multiple of 8, or 1 to 7.

    Args:
        memory_of: bytes that a step takes, by batch size.
        available: free bytes.

    >>> fitting_batch(lambda batch_size: 1000 + 100 * batch_size, available=8000)
    48
    """
    few, more = memory_of(2), memory_of(6)
    each = max(1, (more - few) // 4)
    count = int((USABLE_MEMORY * available - few) // each) + 2
    count = max(1, min(count, MAX_BATCH_SIZE))
    return count if count < 8 else count // 8 * 8


def fitting_batch_on(device: torch.device, model: Detector, size: int, precision: str) -> int:
    """Largest batch size of (3, size, size) images whose training step fits into a GPU's memory."""
    try:
        return _measured(device, copy.deepcopy(model).to(device).train(), size, precision)
    except torch.cuda.OutOfMemoryError:  # a measured batch did not fit
        return 1
    finally:
        torch.cuda.empty_cache()


def _measured(device: torch.device, model: Detector, size: int, precision: str) -> int:
    dtype = torch.bfloat16 if "bf16" in precision else torch.float16

    def memory_of(count: int) -> int:
        torch.cuda.reset_peak_memory_stats(device)
        images = torch.rand(count, 3, size, size, device=device)
        with torch.autocast(device.type, dtype, enabled="mixed" in precision):
            predictions = model(images.contiguous(memory_format=torch.channels_last))
        levels = (*predictions.lead, *predictions.aux)
        torch.autograd.backward([level.float().square().mean() for level in levels])
        model.zero_grad(set_to_none=True)
        return torch.cuda.max_memory_allocated(device)

    return fitting_batch(memory_of, torch.cuda.mem_get_info(device)[0])
