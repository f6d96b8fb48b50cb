"""Devices, processes and precision: Lightning's settings for this machine."""

from __future__ import annotations

import os
from typing import Any

import torch
from lightning.fabric.utilities.rank_zero import rank_zero_only

from yolov7.errors import UsageError
from yolov7.inference.backend import default_device, has_bfloat16
from yolov7.training.config import TrainConfig

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
