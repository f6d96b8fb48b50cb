"""Fast: ours and plain eager torch in turn, with the floor and the paper's frames per second beside them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from benchmarks.gpu.plain import PlainDetector
from benchmarks.gpu.right import moved, targets_for
from benchmarks.gpu.steps import Check, Row, Step, noise

from yolov7.benchmark.floor import peak
from yolov7.data.shapes import write_shapes
from yolov7.formats.opening import open_dataset
from yolov7.inference.backend import TorchBackend
from yolov7.losses.detection import one_process
from yolov7.models.complexity import conv_flops
from yolov7.models.detector import fuse
from yolov7.nms import non_max_suppression
from yolov7.reproduce.tables import TABLE_2
from yolov7.samples.loader import TrainingLoader
from yolov7.samples.sampling import EpochSampler
from yolov7.training.config import TrainConfig
from yolov7.training.module import TrainingModule
from yolov7.training.optim import Schedule
from yolov7.training.recipes import COCO_P5, COCO_P6

ORDER = (
    *("yolov7", "yolov7-tiny", "yolov7-w6", "yolov7-x", "yolov7-e6", "yolov7-d6", "yolov7-e6e"),
    "yolov7-tiny-silu",
)
CONF, IOU = 0.25, 0.45
PAPER = {row.architecture.name: row.paper["fps"] for row in TABLE_2.rows if "fps" in row.paper}
"""Frames per second on a V100 with batch 1, by variant."""


def medians(check: Check, ways: dict[str, Callable[[], object]], seconds: float) -> dict[str, float]:
    """Median seconds of each way, measured in turn, 3 to 200 times, for about as long as `seconds` says."""
    for run in ways.values():
        for _ in range(1 if check.dry else 4):
            run()
    times: dict[str, list[float]] = {way: [] for way in ways}
    end = time.perf_counter() + seconds
    for number in range(1 if check.dry else 200):
        if number >= 3 and time.perf_counter() > end:
            break
        for way, run in ways.items():
            check.wait()
            begun = time.perf_counter()
            run()
            check.wait()
            times[way].append(time.perf_counter() - begun)
    return {way: statistics.median(values) for way, values in times.items()}


def inference(check: Check) -> Iterator[Row]:
    """Batches of 1 and 32: the network alone, and pixels in memory to boxes."""
    dtype = torch.float16 if check.device.type == "cuda" else torch.float32
    peaks = [peak(dtype, check.device)]
    batches = [(1, ORDER), (2, ORDER[1:2])] if check.dry else [(1, ORDER), (32, ORDER)]
    for count, name in [(count, name) for count, names in batches for name in names]:
        yield _timed_network(check, name, count, peaks)
        peaks.append(peak(dtype, check.device))


def _timed_network(check: Check, name: str, count: int, peaks: list[float]) -> Row:
    model = check.network(name)
    side = check.size(model.architecture.size)
    images = noise(count, side)
    on_device = images.to(check.device)
    on_gpu = check.device.type == "cuda"
    plain = PlainDetector(model, check.device)
    ours = TorchBackend(model, check.device, half=on_gpu, graphs=on_gpu)
    network = ours._graphed or (lambda inputs: ours.model(inputs).lead)
    inputs = ours.to_input(on_device)

    @torch.inference_mode()
    def ours_network() -> object:
        return network(inputs)

    took = medians(
        check,
        {
            "network": ours_network,
            "plain network": lambda: plain.network(on_device),
            "path": lambda: non_max_suppression(ours(images, CONF), CONF, IOU, layout=ours.layout),
            "plain path": lambda: plain(images, CONF, IOU),
        },
        seconds=2.0 if count == 1 else 4.0,
    )
    floor = count * conv_flops(fuse(model).to("meta"), side) / max(peaks)
    return {
        "what": f"{name}, {side}, batch {count}",
        "network ms": 1e3 * took["network"] / count,
        "plain ms": 1e3 * took["plain network"] / count,
        "gain": took["plain network"] / took["network"],
        "path ms": 1e3 * took["path"] / count,
        "plain path ms": 1e3 * took["plain path"] / count,
        "path gain": took["plain path"] / took["path"],
        "floor ms": 1e3 * floor / count,
        "of floor": floor / took["network"],
        "images/s": count / took["path"],
        "paper": PAPER.get(name, float("nan")) if count == 1 else float("nan"),
    }


@dataclass
class _Watch:
    """Seconds of each part of a step."""

    check: Check
    parts: dict[str, list[float]] = field(default_factory=dict)

    def __call__(self, part: str, run: Callable[..., Any], *arguments: object) -> Any:
        self.check.wait()
        begun = time.perf_counter()
        result = run(*arguments)
        self.check.wait()
        self.parts.setdefault(part, []).append(time.perf_counter() - begun)
        return result

    def medians(self) -> dict[str, float]:
        return {part: statistics.median(times) for part, times in self.parts.items()}


def training(check: Check) -> Iterator[Row]:
    """A training step in bfloat16, and in its parts: YOLOv7, then W6 with auxiliary heads."""
    for name, side, count in (("yolov7", 640, 16), ("yolov7-w6", 1280, 4)):
        yield _timed_step(check, name, check.size(side), 2 if check.dry else count)


def _timed_step(check: Check, name: str, side: int, count: int) -> Row:
    model = check.network(name).train().to(check.device)
    recipe = replace(COCO_P5 if len(model.strides) == 3 else COCO_P6, epochs=100, nominal_batch=count)
    schedule = Schedule(recipe, iterations=100, batch_size=count)
    module = TrainingModule(model, schedule, side, TrainConfig())
    module.to(check.device)
    loss = replace(module.loss, mean_over_processes=one_process)  # without a trainer there is one
    optimizer = module.configure_optimizers()
    images = noise(count, side).to(check.device, memory_format=torch.channels_last)
    targets = moved(targets_for(count, side), check.device)
    watch = _Watch(check)
    if check.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(check.device)
    rounds = 1 if check.dry else 12
    for number in range(rounds + 3):
        if number == min(3, rounds):
            watch.parts.clear()  # what came before warmed up
        with torch.autocast(check.device.type, torch.bfloat16):
            predictions = watch("forward", model, images.float().div_(255))
            positives = watch("assignment", module.assigner, predictions, targets)
            losses = watch("loss", loss, predictions, positives, targets)
        watch("backward", (losses.total * count).backward)
        watch("step", _step, module, optimizer)
    took = watch.medians()
    total = sum(took.values())
    row: Row = {"what": f"{name}, {side}, batch {count}: training step", "step ms": 1e3 * total}
    row |= {f"{part} %": 100 * seconds / total for part, seconds in took.items()}
    row["loader %"] = 100 * _seconds_per_batch(check, side, count) / total
    if check.device.type == "cuda":
        row["memory GB"] = torch.cuda.max_memory_allocated(check.device) / 1e9
    return row


def _step(module: TrainingModule, optimizer: torch.optim.Optimizer) -> None:
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    module.average.update_parameters(module.model)


def _seconds_per_batch(check: Check, side: int, count: int) -> float:
    """Seconds per batch of the loader with eight processes; if that is more than a step, the GPU waits."""
    folder = check.scratch / f"loaded-{side}"
    data = open_dataset(write_shapes(folder, train=64, val=2, size=min(side, 640)))
    sampler = EpochSampler(len(data.images), batch_size=count, sizes=[side], seed=0)
    loader = TrainingLoader(data, sampler, COCO_P5.augmentation, workers=0 if check.dry else 8)
    try:
        begun, batches = time.perf_counter(), 0
        for epoch in range(1 if check.dry else 3):
            for _ in loader.epoch(epoch):
                batches += 1
                if batches == 1:
                    begun = time.perf_counter()  # processes have started
        return (time.perf_counter() - begun) / max(1, batches - 1)
    finally:
        loader.close()


SECTION = "Fast"
ALL = [Step(SECTION, "inference", inference, 170), Step(SECTION, "training", training, 100)]
