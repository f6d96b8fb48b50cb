"""How many images fit into a GPU's memory at once: measured, not guessed."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch

from yolov7.models.detector import Detector

SHARE = 0.8
"""Of the free memory that is used: crowded images need more, and so do other programs."""
LARGEST = 256


def fitting_batch(memory_of: Callable[[int], int], available: int) -> int:
    """The largest batch whose memory, a line through two measurements, fits: 8, 16, 24, ..., or 1 to 7.

    Args:
        memory_of: bytes that a step with so many images needs.
        available: bytes that there are.
    """
    few, more = memory_of(2), memory_of(6)
    each = max(1, (more - few) // 4)
    count = int((SHARE * available - few) // each) + 2
    count = max(1, min(count, LARGEST))
    return count if count < 8 else count // 8 * 8


def fitting_batch_on(device: torch.device, model: Detector, size: int, precision: str) -> int:
    """The same for a training step of a network on a GPU."""
    try:
        return _measured(device, copy.deepcopy(model).to(device).train(), size, precision)
    except torch.cuda.OutOfMemoryError:  # not even six
        return 1
    finally:
        torch.cuda.empty_cache()


def _measured(device: torch.device, model: Detector, size: int, precision: str) -> int:
    kind = torch.bfloat16 if "bf16" in precision else torch.float16

    def memory_of(count: int) -> int:
        torch.cuda.reset_peak_memory_stats(device)
        images = torch.rand(count, 3, size, size, device=device)
        with torch.autocast(device.type, kind, enabled="mixed" in precision):
            predictions = model(images.contiguous(memory_format=torch.channels_last))
        levels = (*predictions.lead, *predictions.aux)
        torch.autograd.backward([level.float().square().mean() for level in levels])
        model.zero_grad(set_to_none=True)
        return torch.cuda.max_memory_allocated(device)

    return fitting_batch(memory_of, torch.cuda.mem_get_info(device)[0])
