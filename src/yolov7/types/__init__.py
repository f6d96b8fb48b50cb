"""Values that the subpackages pass to each other.

    file -> Sample -> transforms -> Batch -> Detector -> Predictions -> decode, NMS -> Detections -> sinks

Boxes are ``xyxy`` in pixels, labels are contiguous from 0. Each value is validated once, on creation.
"""

from yolov7.types.batch import Assignment as Assignment
from yolov7.types.batch import Batch as Batch
from yolov7.types.batch import Places as Places
from yolov7.types.batch import Predictions as Predictions
from yolov7.types.batch import Targets as Targets
from yolov7.types.detections import Detection as Detection
from yolov7.types.detections import Detections as Detections
from yolov7.types.sample import FloatArray as FloatArray
from yolov7.types.sample import Image as Image
from yolov7.types.sample import IntArray as IntArray
from yolov7.types.sample import Letterbox as Letterbox
from yolov7.types.sample import Sample as Sample
