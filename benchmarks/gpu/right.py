"""Right: what the GPU computes is what the processor computes, within stated tolerances."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from benchmarks.gpu.steps import Check, Row, Step, compared, difference, noise, stated
from safetensors.torch import load_file
from torch import Tensor

import yolov7
from yolov7.assign.guidance import Assigner
from yolov7.checkpoints.checkpoint import Checkpoint
from yolov7.data.shapes import write_shapes
from yolov7.inference.backend import TorchBackend
from yolov7.losses.detection import DetectionLoss
from yolov7.models.architecture import VARIANTS
from yolov7.models.detector import Detector
from yolov7.nms import non_max_suppression
from yolov7.training.config import TrainConfig
from yolov7.training.fit import train
from yolov7.training.machine import fitting_batch_on
from yolov7.training.recipes import TINY
from yolov7.types import Assignment, Predictions, Targets

FLOAT32 = 10
"""Differences that are allowed, in multiples of what float32 itself differs from float64 on the processor."""
HALF = 0.1
"""Mean difference of logits in float16 that is allowed, in standard deviations of the logits."""
FULL = ("yolov7-tiny", "yolov7", "yolov7-e6e")
STEPS = 20


def networks(check: Check) -> Iterator[Row]:
    """Logits of the eight networks, an eighth as wide, and of three at their full width."""
    full = [] if check.dry else FULL
    for name, narrow in [(variant.name, True) for variant in VARIANTS] + [(name, False) for name in full]:
        model = check.network(name, narrow=narrow)
        images = noise(2, check.size(256 if narrow else 320)).float() / 255
        expected, rounding = _on_processor(model, images)
        found = _logits(model.to(check.device), images.to(check.device))
        what = f"{name}{', narrow' if narrow else ''}: logits over rounding"
        yield compared(what, _worst(found, expected) / rounding, FLOAT32)


def deployed(check: Check) -> Iterator[Row]:
    """Fused networks in 32 and 16 bits, and rows decoded on the device."""
    for name in FULL[:1] if check.dry else FULL:
        model = check.network(name)
        images = noise(2, check.size(320))
        expected, rounding = _on_processor(model, images.float() / 255)
        fused = TorchBackend(model, check.device)
        found = _logits(fused.model, fused.to_input(images))
        yield compared(f"{name}: fused, logits over rounding", _worst(found, expected) / rounding, FLOAT32)
        half = TorchBackend(model, check.device, half=True)
        found = _logits(half.model, half.to_input(images))
        mean, spread = _mean_difference(found, expected)
        yield compared(f"{name}: 16 bits, logits over their spread", mean / spread, 1 if check.dry else HALF)
        rows = model.decode(Predictions(expected))
        decoded = fused.model.decode(Predictions(tuple(level.to(check.device) for level in expected)))
        yield compared(f"{name}: decoded on the device, boxes", _pixels(decoded, rows), 0.01, "px")


@torch.no_grad()
def _logits(model: Detector, images: Tensor) -> tuple[Tensor, ...]:
    torch.backends.cudnn.allow_tf32 = False
    return tuple(model(images).lead)


def _on_processor(model: Detector, images: Tensor) -> tuple[tuple[Tensor, ...], float]:
    """Logits by level, and their rounding error, which networks that were not trained amplify."""
    logits = _logits(model, images)
    exact = _logits(copy.deepcopy(model).double(), images.double())
    return logits, _worst(exact, logits)


def _worst(found: tuple[Tensor, ...], expected: tuple[Tensor, ...]) -> float:
    return max(difference(*pair) for pair in zip(found, expected, strict=True))


def _mean_difference(found: tuple[Tensor, ...], expected: tuple[Tensor, ...]) -> tuple[float, float]:
    """Mean absolute difference of all logits, and the standard deviation of the expected ones."""
    a, b = (torch.cat([level.float().cpu().flatten() for level in levels]) for levels in (found, expected))
    return float((a - b).abs().mean()), float(b.std())


def _pixels(found: Tensor, expected: Tensor) -> float:
    return float((found[..., :4].cpu() - expected[..., :4]).abs().max())


def suppression(check: Check) -> Iterator[Row]:
    """NMS of crowded random rows: the same boxes in the same order."""
    generator = torch.Generator().manual_seed(2)
    count = 2_000 if check.dry else 25_200
    rows = torch.rand(4, count, 85, generator=generator)
    rows[..., :2] *= 640
    rows[..., 2:4] = rows[..., 2:4] * 90 + 10
    for multi_label, conf in ((False, 0.25), (True, 0.6)):
        expected = non_max_suppression(rows, conf, 0.65, multi_label=multi_label)
        found = non_max_suppression(rows.to(check.device), conf, 0.65, multi_label=multi_label)
        other = sum(
            any(len(x) != len(y) or not torch.equal(x.cpu(), y) for x, y in zip(a, b, strict=True))
            for a, b in zip(found, expected, strict=True)
        )
        kept = sum(len(image.boxes) for image in expected)
        yield compared(
            f"NMS{', several labels a box' if multi_label else ''}: {kept} kept, images that differ", other, 0
        )


def preparation(check: Check) -> Iterator[Row]:
    """Pixels as the network gets them: letterboxes are made by the processor, the rest on the device."""
    images = noise(3, check.size(320))
    model = check.network("yolov7-tiny", narrow=True)
    for half in (False, True):
        found = TorchBackend(model, check.device, half=half).to_input(images)
        # What bfloat16 on a processor, or float16 on a GPU, tells apart below 1.
        allowed = (2**-8 if check.device.type == "cpu" else 2**-11) if half else 1e-7
        worst = difference(found, images.float() / 255)
        yield compared(f"pixels in {16 if half else 32} bits", worst, allowed)


def targets_for(count: int, side: int, each: int = 12) -> Targets:
    """Random boxes, `each` per image, of sides from a fortieth to a half of the image's."""
    generator = torch.Generator().manual_seed(3)
    centres = torch.rand(count * each, 2, generator=generator) * side
    sides = torch.rand(count * each, 2, generator=generator) * side / 2 + side / 40
    boxes = torch.cat((centres - sides / 2, centres + sides / 2), 1).clamp(0, side)
    labels = torch.randint(0, 80, (count * each,), generator=generator)
    return Targets(torch.arange(count).repeat_interleave(each), boxes, labels)


def moved(targets: Targets, device: torch.device) -> Targets:
    """The same ground truths on a device."""
    return Targets(targets.image_index.to(device), targets.boxes.to(device), targets.labels.to(device))


def learning(check: Check) -> Iterator[Row]:
    """Positives, losses and gradients of a batch, with and without auxiliary heads."""
    for name in ("yolov7-tiny", "yolov7-w6"):
        side, count = check.size(320 if name == "yolov7-tiny" else 256), 4
        model = check.network(name, narrow=name != "yolov7-tiny")
        images, targets = noise(count, side).float() / 255, targets_for(count, side)
        expected = _learnt(model, images, targets)
        found = _learnt(
            copy.deepcopy(model).to(check.device), images.to(check.device), moved(targets, check.device)
        )
        for head, mine, theirs in zip(("lead", "auxiliary"), found[0], expected[0], strict=True):
            if theirs is not None and mine is not None:
                a, b = _places(mine), _places(theirs)
                yield compared(f"{name}: {len(b)} positives, {head}, that differ", len(a ^ b) / len(b), 0.002)
        yield compared(f"{name}: loss", difference(found[1], expected[1]), 1e-3)
        yield compared(f"{name}: gradients, 1 - cosine", 1 - _cosine(found[2], expected[2]), 1e-3)


def _cosine(found: Tensor, expected: Tensor) -> float:
    return float(torch.nn.functional.cosine_similarity(found.cpu().double(), expected.double(), dim=0))


def _learnt(
    model: Detector, images: Tensor, targets: Targets
) -> tuple[tuple[Assignment, Assignment | None], Tensor, Tensor]:
    """Positives of the lead and the auxiliary head, loss, and all gradients as one vector."""
    torch.backends.cudnn.allow_tf32 = False
    predictions = model(images)
    positives = Assigner(model.anchors, model.strides)(predictions, targets)
    gains = TINY.gains.scaled(len(model.strides), model.classes, images.shape[-1])
    loss = DetectionLoss(model.anchors, model.strides, gains)(predictions, positives, targets).total
    gradients = torch.autograd.grad(loss, list(model.parameters()), allow_unused=True)
    return positives, loss.detach(), torch.cat([g.flatten() for g in gradients if g is not None])


def _places(labels: Assignment) -> set[tuple[int, ...]]:
    columns = (labels.level, labels.image, labels.anchor, labels.row, labels.column, labels.target)
    return set(zip(*(column.tolist() for column in columns), strict=True))


@torch.no_grad()
def graphs(check: Check) -> Iterator[Row]:
    """CUDA graphs: replayed from the third image of a shape on, with the outputs of the network itself."""
    if check.device.type != "cuda":
        yield stated("CUDA graphs", True, "-: only a GPU has them")
        return
    model = check.network("yolov7-tiny")
    plain = TorchBackend(model, check.device, half=True)
    graphed = TorchBackend(model, check.device, half=True, graphs=True)
    recorder = graphed._graphed
    assert recorder is not None
    for count, side in ((1, 640), (1, 320), (4, 320)):
        images = noise(count, side)
        for _ in range(3):
            found = graphed(images, 0.0)
        expected = plain(images, 0.0)
        yield stated(
            f"graph of {count} x {side}", (count, 3, side, side) in recorder._graphs, "recorded and replayed"
        )
        worst = max(_pixels(*pair) for pair in zip(found, (rows.cpu() for rows in expected), strict=True))
        yield compared(f"graph of {count} x {side}: boxes", worst, 1.0, "px")


def automatic(check: Check) -> Iterator[Row]:
    """`auto` picks 16 bits with graphs on a GPU."""
    path = check.scratch / "tiny.safetensors"
    names = tuple(str(number) for number in range(80))
    Checkpoint(check.network("yolov7-tiny"), names, check.size(640), "open-yolov7", "float32").save(path)
    backend = yolov7.load(path, runtime="auto", device=str(check.device)).backend
    wanted = ("cuda", "float16") if check.device.type == "cuda" else ()
    yield stated("auto picks", all(word in backend.runtime for word in wanted), backend.runtime)


class _StopAfter(pl.Callback):
    """Interrupt a run after some batches, as Ctrl-C does."""

    def __init__(self, batches: int) -> None:
        self.left = batches

    def on_train_batch_end(self, *_: object) -> None:
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


def _settings(check: Check, out: Path, epochs: int = 2, **options: Any) -> TrainConfig:
    data = check.scratch / "shapes"
    if not data.exists():
        write_shapes(data, train=2 * STEPS, val=4, size=check.size(160))
    settings: dict[str, Any] = {
        "data": data,
        "model": "yolov7-tiny",
        "width": 0.25,
        "size": check.size(160),
        "batch_size": 4,
        "epochs": epochs,
        "set": ("nominal_batch=4",),
        "workers": 0,
        "save_interval": 0,
        "report": False,
        "cache": False,
        "out": out,
        "accelerator": "gpu" if check.device.type == "cuda" else "cpu",
        "devices": "1",
    }
    return TrainConfig(**settings | options)


def resuming(check: Check) -> Iterator[Row]:
    """A run of 20 batches that is interrupted once and resumed ends with the same bits."""
    train(_settings(check, check.scratch / "calm"), progress=False)
    stopped = check.scratch / "stopped"
    try:
        train(_settings(check, stopped), callbacks=[_StopAfter(STEPS // 2 + 3)], progress=False)
    except KeyboardInterrupt:
        train(TrainConfig(resume=stopped), progress=False)
    else:
        raise RuntimeError("the run was not interrupted")
    calm, resumed = (load_file(run / "last.safetensors") for run in (check.scratch / "calm", stopped))
    differ = [name for name, value in calm.items() if not torch.equal(value, resumed[name])]
    yield compared(f"interrupted and resumed: of {len(calm)} tensors differ", len(differ), 0)


def precisions(check: Check) -> Iterator[Row]:
    """Training in 16 bits stays finite."""
    for precision in ("bf16", "16") if check.device.type == "cuda" else ("bf16",):
        out = check.scratch / f"precision-{precision}"
        result = train(_settings(check, out, 1, precision=precision), progress=False)
        tensors = load_file(out / "last.safetensors").values()
        finite = all(bool(torch.isfinite(tensor).all()) for tensor in tensors if tensor.is_floating_point())
        yield stated(f"training in {precision}: every weight finite", finite and result.finished, str(finite))


def batch_size(check: Check) -> Iterator[Row]:
    """Search for the batch size that fits."""
    if check.device.type != "cuda":
        yield stated("batch size that fits", True, "-: only for a GPU's memory")
        return
    for name in ("yolov7-tiny", "yolov7"):
        found = fitting_batch_on(check.device, check.network(name), 640, "bf16-mixed")
        yield stated(f"{name} at 640: batch size that fits", 1 <= found <= 256, str(found))


def two_cards(check: Check) -> Iterator[Row]:
    """Two processes, where there are two cards."""
    if torch.cuda.device_count() < 2:
        yield stated("two processes on two cards", True, f"-: {torch.cuda.device_count()} here")
        return
    result = train(_settings(check, check.scratch / "two", devices="2"), progress=False)
    yield stated("two processes on two cards", result.finished, "finished")


SECTION = "Right"
ALL = [
    Step(SECTION, "networks", networks, 60),
    Step(SECTION, "fused, 16 bits, decoding", deployed, 60),
    Step(SECTION, "NMS", suppression, 40),
    Step(SECTION, "preparation", preparation, 20),
    Step(SECTION, "positives, loss, gradients", learning, 60),
    Step(SECTION, "CUDA graphs", graphs, 40),
    Step(SECTION, "auto", automatic, 60),
    Step(SECTION, "resuming", resuming, 60),
    Step(SECTION, "training in 16 bits", precisions, 60),
    Step(SECTION, "batch size", batch_size, 40),
    Step(SECTION, "two cards", two_cards, 60),
]
