"""Table 10: the same weights, evaluated in two precisions and with two NMS thresholds."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from yolov7.checkpoints.checkpoint import load_checkpoint
from yolov7.evaluating import evaluate
from yolov7.inference.backend import default_device
from yolov7.reproduce.improvement import with_improvements
from yolov7.reproduce.result import Line, Number, Reproduction
from yolov7.reproduce.table import require_both
from yolov7.reproduce.tables import TABLE_10


def reproduce_table_10(
    weights: str | os.PathLike[str] | None,
    data: str | os.PathLike[str] | None,
    *,
    device: str | None = None,
    released_mapping: bool = False,
    say: Callable[[str], None],
) -> Reproduction:
    """Evaluate weights by precision and IoU threshold; without weights and data, return the paper's rows.

    Raises:
        UsageError: weights without data, or data without weights.
        CheckpointError, DataError: with file, line, expected and found.
    """
    require_both(weights, data)
    network = "yolov7-x"
    size = 640
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
    shown, explained = with_improvements("table10", lines)
    return Reproduction("table10", "Comparison of different setting", shown, (*notes, *explained))
