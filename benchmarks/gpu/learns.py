"""Learns: what is left of the time goes into a training run, with its AP at the end."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.gpu.steps import Check, Row, Step

from yolov7.data.shapes import write_shapes
from yolov7.training.config import TrainConfig
from yolov7.training.fit import train

LONGEST = 120
"""Seconds of training."""
END = 30
"""Seconds that a run needs for its last epoch and evaluation."""


def learning(check: Check) -> Iterator[Row]:
    """Train yolov7-tiny on shapes, or on a data set of your own."""
    data = check.data or write_shapes(check.scratch / "learnt", train=8 if check.dry else 640, val=8)
    budget = max(10.0, min(LONGEST, check.left - END))
    config = TrainConfig(
        data=data,
        model="yolov7-tiny",
        width=0.25 if check.dry else None,
        size=check.size(320),
        epochs=1 if check.dry else 1000,
        batch_size=4 if check.dry else 32,
        out=check.scratch / "run",
        time_budget=budget / 60,
        report=False,
        accelerator="gpu" if check.device.type == "cuda" else "cpu",
        devices="1",
    )
    result = train(config, progress=False)
    metrics = result.evaluation
    yield {
        "what": f"yolov7-tiny, {config.size}, {len(result.history)} epochs",
        "seconds": budget,
        "AP": metrics.AP if metrics else float("nan"),
        "AP50": metrics.AP50 if metrics else float("nan"),
    }


ALL = [Step("Learns", "training", learning, 260)]
