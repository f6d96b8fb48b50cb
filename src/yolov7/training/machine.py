"""Settings for this machine: devices, processes, precision, and the batch size that fits a GPU's memory."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from lightning.fabric.utilities.rank_zero import rank_zero_only

from yolov7.errors import UsageError
from yolov7.inference.backend import default_device, has_bfloat16
from yolov7.models.detector import Detector
from yolov7.training.config import TrainConfig

ACCELERATORS = ("auto", "cpu", "gpu", "mps")
PRECISIONS = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}
"""Lightning's names of the precisions."""
USABLE_MEMORY = 0.8
"""Fraction of the free memory to fill: crowded images need more, and other programs need memory too."""
MAX_BATCH_SIZE = 256


@dataclass(frozen=True)
class Machine:
    """Devices and precision of a run: arguments of Lightning's Trainer, under its names."""

    accelerator: str  # cpu, gpu or mps
    devices: int | list[int] | str  # number of devices or processes per machine, indices of devices, or auto
    num_nodes: int  # number of machines
    precision: Any  # Lightning's name of the precision

    @property
    def only_gpu(self) -> torch.device | None:
        """The GPU if the run uses exactly one, else None."""
        chosen = torch.cuda.device_count() if self.devices == "auto" else self.devices
        indices = chosen if isinstance(chosen, list) else list(range(int(chosen)))
        alone = self.accelerator == "gpu" and self.num_nodes == 1 and len(indices) == 1
        return torch.device("cuda", indices[0]) if alone else None

    @property
    def workers(self) -> int:
        """Default number of processes that prepare images: with a GPU, one per usable core, at most 8.

        On the CPU 0: training leaves no core to spare, so a thread prepares images between steps.
        """
        if self.accelerator == "cpu":
            return 0
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        return min(8, cores or 1)


def find_machine(config: TrainConfig) -> Machine:
    """Resolve the devices and the precision of a run; torchrun's settings win.

    Raises:
        UsageError: invalid accelerator, devices or precision.

    >>> find_machine(TrainConfig(accelerator="cpu", precision="32"))
    Machine(accelerator='cpu', devices=1, num_nodes=1, precision='32-true')
    """
    accelerator, devices, nodes = config.accelerator, _parse_devices(str(config.devices)), config.nodes
    if accelerator not in ACCELERATORS:
        raise UsageError("invalid accelerator", expected=", ".join(ACCELERATORS), found=repr(accelerator))
    if accelerator == "auto":
        accelerator = {"cuda": "gpu", "mps": "mps"}.get(default_device().partition(":")[0], "cpu")
    if "TORCHELASTIC_RUN_ID" in os.environ:
        devices = int(os.environ["LOCAL_WORLD_SIZE"])
        nodes = int(os.environ["WORLD_SIZE"]) // devices
    elif devices == "auto" and accelerator == "cpu":
        devices = 1  # one process uses all cores
    return Machine(accelerator, devices, nodes, _precision(config.precision, accelerator))


def _parse_devices(text: str) -> int | list[int] | str:
    """Number of devices, list of their indices, or "auto"."""
    if text == "auto":
        return text
    parts = [part for part in text.split(",") if part.strip()]
    numbers = [int(part) for part in parts if part.strip().isdecimal()]
    is_list = "," in text
    if not numbers or len(set(numbers)) != len(parts) or (not is_list and numbers[0] < 1):
        raise UsageError(
            "invalid devices",
            expected="auto, a number from 1, or a list of different indices such as 0,3 or 1,",
            found=repr(text),
        )
    return numbers if is_list else numbers[0]


def _precision(asked: str, accelerator: str) -> str:
    """Lightning's name. Auto: bfloat16 if the hardware has it, else float16 on a GPU, else 32 bits."""
    if asked in PRECISIONS:
        return PRECISIONS[asked]
    if asked != "auto":
        raise UsageError("invalid precision", expected=f"auto, {', '.join(PRECISIONS)}", found=repr(asked))
    if accelerator == "gpu":
        return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "16-mixed"
    return "bf16-mixed" if accelerator == "cpu" and has_bfloat16() else "32-true"


def is_first_process() -> bool:
    """True on global rank 0. Works before the process group is initialised."""
    return int(getattr(rank_zero_only, "rank", 0)) == 0


def fitting_batch(memory_of: Callable[[int], int], available: int) -> int:
    """Largest batch size that fits into free bytes: a multiple of 8, or 1 to 7.

    ``memory_of`` gives the bytes that a step takes for a batch size; they are assumed to grow linearly.

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
    network = copy.deepcopy(model).train()
    dtype = torch.bfloat16 if "bf16" in precision else torch.float16

    def memory_of(count: int) -> int:
        torch.cuda.reset_peak_memory_stats(device)
        images = torch.rand(count, 3, size, size, device=device)
        with torch.autocast(device.type, dtype, enabled="mixed" in precision):
            predictions = network(images.contiguous(memory_format=torch.channels_last))
        levels = (*predictions.lead, *predictions.aux)
        torch.autograd.backward([level.float().square().mean() for level in levels])
        network.zero_grad(set_to_none=True)
        return torch.cuda.max_memory_allocated(device)

    try:
        network.to(device)
        return fitting_batch(memory_of, torch.cuda.mem_get_info(device)[0])
    except torch.cuda.OutOfMemoryError:  # a measured batch did not fit
        return 1
    finally:
        torch.cuda.empty_cache()
