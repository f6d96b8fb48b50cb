"""YOLOv7 detectors: safe checkpoints, exact numbers, boxes on images.

    predictor = yolov7.load("best.pt")
    for result in predictor.predict("photos/"):
        print(result.source, result.detections)

Everything public is here. Names load what they need when they are first used: `import yolov7` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from yolov7.artefacts.exporting import export
    from yolov7.checkpoints.checkpoint import Checkpoint, load_checkpoint
    from yolov7.errors import Yolov7Error
    from yolov7.evaluating import evaluate
    from yolov7.evaluation.coco import Metrics
    from yolov7.evaluation.run import Evaluation
    from yolov7.inference.predictor import Predictor
    from yolov7.loading import load
    from yolov7.models.architecture import Architecture, compound_scale
    from yolov7.models.detector import Detector, create, fuse
    from yolov7.nms import non_max_suppression
    from yolov7.plugins import register
    from yolov7.results.result import Result
    from yolov7.thresholds import Thresholds
    from yolov7.training.config import TrainConfig
    from yolov7.training.fit import train
    from yolov7.training.recipes import Recipe
    from yolov7.types import Detections, Predictions

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

__all__ = [
    "Architecture",
    "Checkpoint",
    "Detections",
    "Detector",
    "Evaluation",
    "Metrics",
    "Predictions",
    "Predictor",
    "Recipe",
    "Result",
    "Thresholds",
    "TrainConfig",
    "Yolov7Error",
    "compound_scale",
    "create",
    "evaluate",
    "export",
    "fuse",
    "load",
    "load_checkpoint",
    "non_max_suppression",
    "register",
    "train",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__doc__", "__file__", "__name__", "__path__", "__spec__"]
