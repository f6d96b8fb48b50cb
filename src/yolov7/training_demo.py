"""Training demo: a small network learns drawn shapes from scratch, in a few minutes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from yolov7.data.shapes import write_shapes
from yolov7.files import new_run_directory, write_file
from yolov7.formats.opening import open_dataset
from yolov7.loading import load
from yolov7.results.output import encoded
from yolov7.training.config import TrainConfig
from yolov7.training.fit import TrainResult, train

SIZE, EPOCHS, SHOWN = 192, 30, 8
RECIPE = ("nominal_batch=8", "learning_rate=0.02")
"""One step per batch: the recipe's nominal batch of 64 would leave this short run only a hundred steps."""


def run(out: Path, *, epochs: int = EPOCHS, say: Callable[[str], None], progress: bool = True) -> TrainResult:
    """Draw a data set, train yolov7-tiny on it, evaluate it, and draw detections.

    All results are in `out`, or in a new directory beside it if it is not empty.
    """
    directory = new_run_directory(out)
    data = write_shapes(directory / "shapes", train=240, val=40, size=SIZE)
    say(f"drew 280 images of shapes: {data}")
    config = TrainConfig(
        data=data,
        model="yolov7-tiny",
        size=SIZE,
        epochs=epochs,
        batch_size=8,
        set=RECIPE,
        evaluate_every=3,
        cache=False,
        out=directory / "run",
    )
    result = train(config, say=say, progress=progress)
    overview = directory / "overview.jpg"
    predictor = load(result.best)
    samples = open_dataset(data, "val")
    pictures = [predictor(samples[i].image).plot(samples[i].image) for i in range(SHOWN)]
    rows = [np.hstack(pictures[i : i + SHOWN // 2]) for i in range(0, SHOWN, SHOWN // 2)]
    write_file(overview, encoded(np.vstack(rows), ".jpg"))
    say(f"pictures: {overview}, the run's page: {result.directory / 'report.html'}")
    return result
