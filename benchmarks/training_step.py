"""One step of training against the plain eager float32 step, in turn, in one run.

    python benchmarks/training_step.py [--model yolov7-tiny] [--size 320] [--batch-size 8] [--rounds 5]

Ours is the step that `yolov7 train` takes, through Lightning: 16 bits where the processor has them, channels
last, a fused optimiser, the average of the weights. The plain one is the loop that a tutorial shows: the same
network, assigner and loss in float32 and in the default memory format, SGD, no average of the weights.

Floor: forward and backward pass of the convolutions are three times the operations of the forward pass; their
time at the speed of a large matrix product, measured here in both precisions, is what no step can beat.
"""

from __future__ import annotations

import argparse
import logging
import platform
import statistics
import time
import warnings
from collections.abc import Iterator
from dataclasses import replace

import lightning.pytorch as pl
import torch
from torch.utils.flop_counter import FlopCounterMode

import yolov7
from yolov7.assign.guidance import Assigner
from yolov7.benchmark.floor import peak
from yolov7.losses.detection import DetectionLoss
from yolov7.training.config import TrainConfig
from yolov7.training.machine import find_machine
from yolov7.training.module import TrainingModule
from yolov7.training.optim import Schedule
from yolov7.training.recipes import TINY
from yolov7.types import Batch, Targets

STEPS = 8


def batch_of(size: int, count: int, classes: int) -> Batch:
    """Noise with ten boxes an image."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.rand(count * 10, 2, generator=generator) * size
    sides = torch.rand(count * 10, 2, generator=generator) * size / 4 + 8
    boxes = torch.cat((centres - sides / 2, centres + sides / 2), 1).clamp(0, size)
    return Batch(
        images=torch.randint(0, 256, (count, size, size, 3), dtype=torch.uint8, generator=generator).permute(
            0, 3, 1, 2
        ),
        targets=Targets(
            torch.arange(count).repeat_interleave(10),
            boxes,
            torch.randint(0, classes, (count * 10,), generator=generator),
        ),
    )


class Plain:
    """The loop of a tutorial."""

    def __init__(self, name: str, size: int, batch: Batch) -> None:
        torch.manual_seed(0)
        self.model = yolov7.create(name, classes=80).train()
        levels = len(self.model.strides)
        self.assigner = Assigner(self.model.anchors, self.model.strides)
        self.loss = DetectionLoss(self.model.anchors, self.model.strides, TINY.gains.scaled(levels, 80, size))
        self.optimizer = torch.optim.SGD(self.model.parameters(), 0.001, momentum=0.937, nesterov=True)
        self.batch = batch

    def steps(self) -> list[float]:
        """Milliseconds of each step."""
        assert self.batch.targets is not None
        images = self.batch.images.contiguous()
        times = []
        for _ in range(STEPS):
            begun = time.perf_counter()
            predictions = self.model(images.float() / 255)
            labels = self.assigner(predictions, self.batch.targets)
            loss = self.loss(predictions, labels, self.batch.targets).total * len(images)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            times.append(1e3 * (time.perf_counter() - begun))
        return times


class Ours(pl.Callback):
    """The step of `yolov7 train`."""

    def __init__(self, name: str, size: int, batch: Batch, bits: str) -> None:
        torch.manual_seed(0)
        recipe = replace(TINY, epochs=10_000, nominal_batch=len(batch.images))
        schedule = Schedule(recipe, iterations=STEPS, batch_size=len(batch.images))
        self.module = TrainingModule(yolov7.create(name, classes=80), schedule, size, TrainConfig())
        self.batch, self.bits = batch, bits
        self.times: list[float] = []

    def on_train_batch_end(self, *_: object) -> None:
        now = time.perf_counter()
        self.times.append(1e3 * (now - self.begun))
        self.begun = now

    def on_train_batch_start(self, *_: object) -> None:
        self.begun = time.perf_counter()

    def steps(self) -> list[float]:
        """Milliseconds of each step."""
        self.times = []
        trainer = pl.Trainer(
            accelerator="cpu",
            max_epochs=1,
            precision=self.bits,
            logger=False,
            callbacks=[self],
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(self.module, _Repeated(self.batch))
        return self.times


class _Repeated:
    def __init__(self, batch: Batch) -> None:
        self.batch = batch

    def __len__(self) -> int:
        return STEPS

    def __iter__(self) -> Iterator[Batch]:
        return iter([self.batch] * STEPS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="yolov7-tiny")
    parser.add_argument("--size", type=int, default=320)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")

    batch = batch_of(options.size, options.batch_size, 80)
    bits = find_machine(TrainConfig(accelerator="cpu")).precision
    ours, plain = Ours(options.model, options.size, batch, bits), Plain(options.model, options.size, batch)
    ours.steps(), plain.steps()
    mine, theirs = [], []
    for _ in range(options.rounds):
        mine += ours.steps()[1:]  # Lightning sets up at its first
        theirs += plain.steps()[1:]
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        plain.model(batch.images.float())
    work = 3e-9 * counter.get_total_flops()
    print(
        f"{options.model} at {options.size}, batch {options.batch_size}, {platform.machine()}, "
        f"torch {torch.__version__}, {torch.get_num_threads()} threads; ours in {bits}"
    )
    dtypes = torch.float32, torch.bfloat16 if "bf16" in bits else torch.float32
    slow, fast = (peak(dtype) / 1e9 for dtype in dtypes)
    for name, times, speed in (("plain", theirs, slow), ("ours", mine, fast)):
        median = statistics.median(times)
        print(
            f"  {name:<6}{median:8.1f} ms a step   floor {1e3 * work / speed:6.1f} ms "
            f"at {speed:.0f} GFLOP/s, {1e3 * work / speed / median:.0%} of it reached"
        )
    print(f"  plain / ours  {statistics.median(theirs) / statistics.median(mine):.2f}   (wanted: at least 2)")


if __name__ == "__main__":
    main()
