"""Settings for this machine: devices, processes, precision, and the batch size that fits a GPU's memory."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from typing import Any

import torch
from lightning.fabric.utilities.rank_zero import rank_zero_only

from yolov7.errors import UsageError
from yolov7.inference.backend import default_device, has_bfloat16
from yolov7.models.detector import Detector
from yolov7.training.config import TrainConfig

USABLE_MEMORY = 0.8
"""Fraction of the free memory to fill: crowded images need more, and other programs need some."""
MAX_BATCH_SIZE = 256
ACCELERATORS = ("auto", "cpu", "gpu", "mps")


def is_first_process() -> bool:
    """True on global rank 0. Works before the process group is initialised."""
    return int(getattr(rank_zero_only, "rank", 0)) == 0


def devices(config: TrainConfig) -> dict[str, Any]:
    """Arguments of Lightning's Trainer for devices and nodes; torchrun's settings win."""
    accelerator: str = config.accelerator
    if accelerator not in ACCELERATORS:
        raise UsageError("invalid accelerator", expected=", ".join(ACCELERATORS), found=repr(accelerator))
    if accelerator == "auto":
        accelerator = {"cuda": "gpu", "mps": "mps"}.get(default_device().partition(":")[0], "cpu")
    chosen = _parse_devices(str(config.devices))
    nodes = config.nodes
    if "TORCHELASTIC_RUN_ID" in os.environ:
        chosen = int(os.environ["LOCAL_WORLD_SIZE"])
        nodes = int(os.environ["WORLD_SIZE"]) // chosen
    elif chosen == "auto" and accelerator == "cpu":
        chosen = 1  # one process uses all cores
    return {"accelerator": accelerator, "devices": chosen, "num_nodes": nodes}


def _parse_devices(text: str) -> int | list[int] | str:
    """Number of devices, list of their indices, or "auto"."""
    if text == "auto":
        return text
    numbers = [int(part) for part in text.split(",") if part.strip().isdecimal()]
    is_list = "," in text
    parts = [part for part in text.split(",") if part.strip()]
    if not numbers or len(set(numbers)) != len(parts) or (not is_list and numbers[0] < 1):
        raise UsageError(
            "invalid devices",
            expected="auto, a number from 1, or a list of different indices such as 0,3 or 1,",
            found=repr(text),
        )
    return numbers if is_list else numbers[0]


def only_gpu(config: TrainConfig) -> torch.device | None:
    """The GPU of a run on exactly one, else None."""
    where = devices(config)
    chosen = torch.cuda.device_count() if where["devices"] == "auto" else where["devices"]
    numbers = chosen if isinstance(chosen, list) else list(range(chosen))
    alone = where["accelerator"] == "gpu" and where["num_nodes"] == 1 and len(numbers) == 1
    return torch.device("cuda", numbers[0]) if alone else None


def precision(config: TrainConfig, accelerator: str) -> Any:
    """Lightning's name of the precision. Auto: bfloat16 where the hardware has it, else float16 on a GPU."""
    if config.precision != "auto":
        names = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}
        if config.precision not in names:
            raise UsageError(
                "invalid precision", expected=f"auto, {', '.join(names)}", found=repr(config.precision)
            )
        return names[config.precision]
    if accelerator == "gpu":
        return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "16-mixed"
    return "bf16-mixed" if accelerator == "cpu" and has_bfloat16() else "32-true"


def workers(config: TrainConfig) -> int:
    """Number of processes that prepare images: with a GPU one per usable core, at most 8.

    Training on the CPU leaves no core to spare: 0, a thread prepares images between steps.
    """
    if config.workers is not None:
        return config.workers
    if devices(config)["accelerator"] == "cpu":
        return 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(8, cores or 1)


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
