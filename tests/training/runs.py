"""Small real runs for the tests of training: a data set of shapes, and the command line in a process."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from yolov7.training.state import SafeState

PLAIN = ("augmentation.mosaic=0", "augmentation.mixup=0", "augmentation.scale=0", "augmentation.translate=0")
"""Images as they are, but for colour and mirror."""


def command(*arguments: object) -> list[str]:
    """The command line of `yolov7 train`."""
    return [sys.executable, "-m", "yolov7", "train", *map(str, arguments)]


def environment(cache: Path) -> dict[str, str]:
    """One thread a process: tests run beside each other, and sums in one order."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "YOLOV7_CACHE": str(cache)}


def run(cache: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run `yolov7 train` to its end."""
    return subprocess.run(
        command(*arguments), env=environment(cache), capture_output=True, text=True, timeout=300, check=False
    )


def start(cache: Path, *arguments: object) -> subprocess.Popen[str]:
    """Begin `yolov7 train`."""
    return subprocess.Popen(
        command(*arguments), env=environment(cache), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def wait_until(process: subprocess.Popen[str], is_so: Callable[[], bool]) -> None:
    """Wait for something that a running process does; not for long if it has ended."""
    give_up = time.monotonic() + 120
    while not is_so() and process.poll() is None:
        assert time.monotonic() < give_up
        time.sleep(0.02)


class StopAt(pl.Callback):
    """Presses Ctrl-C before a batch."""

    def __init__(self, epoch: int, batch: int) -> None:
        self.place = (epoch, batch)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if (trainer.current_epoch, batch_idx) == self.place:
            raise KeyboardInterrupt


def weights(directory: Path) -> dict[str, Tensor]:
    """Everything that the end of a run remembers of its network, its average and its optimiser."""
    state = SafeState().load_checkpoint(directory / "state.safetensors")
    momenta = {
        f"momentum.{number}": entry["momentum_buffer"]
        for number, entry in state["optimizer_states"][0]["state"].items()
        if isinstance(entry.get("momentum_buffer"), Tensor)
    }
    gradients = {f"gradient.{name}": gradient for name, gradient in state["gradients"].items()}
    return {**state["state_dict"], **momenta, **gradients}


def differing(a: dict[str, Tensor], b: dict[str, Tensor]) -> list[str]:
    """Names of tensors that are not equal bit for bit."""
    assert a.keys() == b.keys()
    return [name for name in a if not torch.equal(a[name], b[name])]
