"""Tables 1 to 10 without training: networks are counted; AP and speed are measured on demand."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from yolov7.checkpoints.checkpoint import load_checkpoint
from yolov7.errors import UsageError
from yolov7.evaluating import evaluate
from yolov7.inference.backend import TorchBackend, default_device
from yolov7.inference.speed import call_seconds, inputs_for
from yolov7.models.detector import create
from yolov7.reproduce.counting import complexity
from yolov7.reproduce.improvement import with_improvements
from yolov7.reproduce.result import Line, Number, Reproduction
from yolov7.reproduce.tables import TABLE_10, Row, Table
from yolov7.types import Image

Say = Callable[[str], None]
PERCENT = ("AP", "AP50", "AP75", "APs", "APm", "APl")


def reproduce_table(
    table: Table,
    *,
    weights: Sequence[str | os.PathLike[str]] = (),
    data: str | os.PathLike[str] | None = None,
    photos: Sequence[Image] = (),
    device: str | None = None,
    released_mapping: bool = False,
    say: Say,
) -> Reproduction:
    """Count parameters and operations of a table's networks, and measure AP and speed on demand.

    Args:
        weights: checkpoints of the table's networks, to evaluate on `data`.
        data: data set, as for ``yolov7 val``.
        photos: uint8 (H, W, 3) RGB, to measure frames per second of each network on, fresh weights, batch 1.
        device: device of torch; default: a GPU if there is one.
        released_mapping: map boxes back as the published numbers were measured, half a pixel off.

    Raises:
        UsageError: weights without data, data without weights, or weights of a network without a row.
        CheckpointError, DataError: with file, line, expected and found.
    """
    _require_both(weights, data)
    device = device or default_device()
    lines = [_counted(row) for row in table.rows]
    notes = [*table.notes, "computed: the network is built and counted by the paper's rule."]
    for path in weights:
        name = load_checkpoint(path).model.architecture.name
        mine = [i for i, row in enumerate(table.rows) if row.architecture.name == name]
        if not mine:
            known = dict.fromkeys(row.architecture.name for row in table.rows)
            raise UsageError(
                f"{table.name} has no such network", file=path, expected=", ".join(known), found=name
            )
        assert data is not None
        for i in mine:
            say(f"AP of {name} at {lines[i].size}")
            size = lines[i].size
            metrics = evaluate(path, data, size=size, device=device, released_mapping=released_mapping)
            percents = {each: round(100 * getattr(metrics, each), 1) for each in PERCENT}
            lines[i] = _with(lines[i], *(Number(each, "measured", ap) for each, ap in percents.items()))
        way = "as released, half a pixel off" if released_mapping else "exactly"
        notes.append(
            f"AP measured: {Path(path).name} on {Path(data).name}, by the COCO protocol; boxes are mapped "
            f"back {way}. The paper's were mapped as released (--released-mapping), by which AP is lower."
        )
    if photos:
        for i, row in enumerate(table.rows):
            say(f"frames per second of {row.architecture.name} at {row.size}")
            lines[i] = _with(lines[i], _fps(row, photos, device))
        notes.append(
            f"fps measured: {_machine(device)}, torch {torch.__version__}, batch 1; network and decoding, "
            f"median of {len(photos)} photos whose long side is the size."
        )
    return with_improvements(Reproduction(table.name, table.title, tuple(lines), tuple(notes)))


def reproduce_table_10(
    weights: str | os.PathLike[str] | None,
    data: str | os.PathLike[str] | None,
    *,
    device: str | None = None,
    released_mapping: bool = False,
    say: Say,
) -> Reproduction:
    """Evaluate weights by precision and IoU threshold; without weights and data, return the paper's rows.

    Raises:
        UsageError: weights without data, or data without weights.
        CheckpointError, DataError: with file, line, expected and found.
    """
    _require_both(weights, data)
    network, size = "yolov7-x", 640
    if weights is not None:
        checkpoint = load_checkpoint(weights)
        network, size = checkpoint.model.architecture.name, checkpoint.size
    lines = []
    for setting in TABLE_10:
        label = f"{'half' if setting.half else 'single'}, IoU {setting.iou:.2f}"
        numbers = [Number("AP", "paper", setting.AP)]
        if weights is not None and data is not None:
            say(f"{network}: {label}")
            metrics = evaluate(
                weights,
                data,
                half=setting.half,
                iou=setting.iou,
                device=device,
                released_mapping=released_mapping,
            )
            numbers.append(Number("AP", "measured", round(100 * metrics.AP, 2)))
        lines.append(Line(label, network, size, tuple(numbers)))
    notes = ["The paper's numbers are YOLOv7-X on COCO val2017."]
    if weights is not None and data is not None:
        on_gpu = (device or default_device()).startswith("cuda")
        kind = "float16" if on_gpu else "bfloat16, on a CPU"
        notes.append(f"measured: {Path(weights).name} on {Path(data).name}; half is {kind}.")
    title = "Comparison of different setting"
    return with_improvements(Reproduction("table10", title, tuple(lines), tuple(notes)))


def _require_both(weights: object, data: object) -> None:
    """Raise a UsageError if only one of weights and data is given."""
    if bool(weights) != (data is not None):
        raise UsageError(
            "AP needs weights and labelled images",
            expected="--weights and --data together",
            found="--weights" if weights else "--data",
        )


def from_paper(row: Row) -> tuple[Number, ...]:
    """The paper's numbers of a row."""
    return tuple(Number(name, "paper", value) for name, value in row.paper.items())


def _counted(row: Row) -> Line:
    architecture = row.architecture
    counts = complexity(architecture)
    gflops = counts.paper_gflops * (row.size / architecture.size) ** 2
    numbers = (
        Number("parameters_m", "computed", round(counts.paper_parameters / 1e6, 1)),
        Number("gflops", "computed", round(gflops, 1)),
        *from_paper(row),
    )
    return Line(row.label, architecture.name, row.size, numbers, row.note)


def _with(line: Line, *numbers: Number) -> Line:
    return replace(line, numbers=line.numbers + numbers)


def _fps(row: Row, photos: Sequence[Image], device: str) -> Number:
    """Frames per second of the deployed network, batch 1."""
    torch.manual_seed(0)
    backend = TorchBackend(create(row.architecture), device, half=device.startswith("cuda"))
    inputs = inputs_for(backend, photos, row.size)
    for shape in {tuple(batch.shape): batch for batch in inputs}.values():
        backend(shape, 0.25)
    times = call_seconds(lambda batch: backend(batch, 0.25), inputs, backend.device)
    return Number("fps", "measured", float(f"{1 / statistics.median(times):.3g}"))


def _machine(device: str) -> str:
    if device.startswith("cuda"):
        return f"{torch.cuda.get_device_name(device)}, 16 bits"
    return f"{device}, {platform.machine()}, {torch.get_num_threads()} threads, 32 bits"
