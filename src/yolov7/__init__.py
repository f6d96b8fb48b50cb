"""YOLOv7 detectors: safe checkpoints, exact numbers, boxes on images.

    predictor = yolov7.load("best.pt")
    for result in predictor.predict("photos/"):
        print(result.source, result.detections)

Everything public is here. Names are imported on first use: `import yolov7` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from yolov7.artefacts.exporting import export as export
    from yolov7.checkpoints.checkpoint import Checkpoint as Checkpoint
    from yolov7.checkpoints.checkpoint import load_checkpoint as load_checkpoint
    from yolov7.errors import Yolov7Error as Yolov7Error
    from yolov7.evaluating import evaluate as evaluate
    from yolov7.evaluation.coco import Metrics as Metrics
    from yolov7.evaluation.run import Evaluation as Evaluation
    from yolov7.inference.predictor import Predictor as Predictor
    from yolov7.loading import load as load
    from yolov7.models.architecture import Architecture as Architecture
    from yolov7.models.architecture import compound_scale as compound_scale
    from yolov7.models.detector import Detector as Detector
    from yolov7.models.detector import create as create
    from yolov7.models.detector import fuse as fuse
    from yolov7.nms import non_max_suppression as non_max_suppression
    from yolov7.plugins import register as register
    from yolov7.results.result import Result as Result
    from yolov7.thresholds import Thresholds as Thresholds
    from yolov7.training.config import TrainConfig as TrainConfig
    from yolov7.training.fit import train as train
    from yolov7.training.recipes import Recipe as Recipe
    from yolov7.types import Detections as Detections
    from yolov7.types import Predictions as Predictions

_HOMES = {
    "Architecture": "yolov7.models.architecture",
    "Checkpoint": "yolov7.checkpoints.checkpoint",
    "Detections": "yolov7.types",
    "Detector": "yolov7.models.detector",
    "Evaluation": "yolov7.evaluation.run",
    "Metrics": "yolov7.evaluation.coco",
    "Predictions": "yolov7.types",
    "Predictor": "yolov7.inference.predictor",
    "Recipe": "yolov7.training.recipes",
    "Result": "yolov7.results.result",
    "Thresholds": "yolov7.thresholds",
    "TrainConfig": "yolov7.training.config",
    "Yolov7Error": "yolov7.errors",
    "compound_scale": "yolov7.models.architecture",
    "create": "yolov7.models.detector",
    "evaluate": "yolov7.evaluating",
    "export": "yolov7.artefacts.exporting",
    "fuse": "yolov7.models.detector",
    "load": "yolov7.loading",
    "load_checkpoint": "yolov7.checkpoints.checkpoint",
    "non_max_suppression": "yolov7.nms",
    "register": "yolov7.plugins",
    "train": "yolov7.training.fit",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__doc__", "__file__", "__name__", "__path__", "__spec__"]
