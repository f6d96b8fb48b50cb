"""Values that the subpackages pass to each other.

    file -> Sample -> transforms -> Batch -> Detector -> Predictions -> decode, NMS -> Detections -> sinks

Boxes are ``xyxy`` in pixels, labels are contiguous from 0. Each value is validated once, on creation.
"""

from yolov7.types.batch import Assignment, Batch, Places, Predictions, Targets
from yolov7.types.detections import Detection, Detections
from yolov7.types.sample import FloatArray, Image, IntArray, Letterbox, Sample

__all__ = [
    "Assignment",
    "Batch",
    "Detection",
    "Detections",
    "FloatArray",
    "Image",
    "IntArray",
    "Letterbox",
    "Places",
    "Predictions",
    "Sample",
    "Targets",
]
